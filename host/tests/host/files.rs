//! Program files and device files that are not what they should be.

use crate::fake::{Fake, Start, WINDOW, meta, write_program};
use cnna_host::files::{check_places, map_program, write_whole};
use cnna_host::serve::Server;
use cnna_host::{HostError, SharedFile};
use cnna_machine::program::{Program, ProgramMeta};
use cnna_machine::regs;

#[test]
fn a_program_cut_short_anywhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(write_program(folder.path(), &meta())).unwrap();
    let path = folder.path().join("cut.cnna");
    for len in (0..whole.len())
        .step_by(97)
        .chain([1, 31, 32, whole.len() - 1])
    {
        std::fs::write(&path, &whole[..len]).unwrap();
        match map_program(&path) {
            Err(HostError::Io { .. }) => assert_eq!(len, 0),
            Err(e) => panic!("{e}"),
            Ok(bytes) => {
                let text = Program::parse(&path, &bytes).unwrap_err().to_string();
                assert!(text.contains("cut.cnna"), "{text}");
            }
        }
    }
}

#[test]
fn a_program_with_any_bit_flipped_is_refused_unless_the_bit_is_padding() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_program(folder.path(), &meta());
    let whole = std::fs::read(&path).unwrap();
    let refused = (0..whole.len())
        .step_by(7)
        .filter(|&at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            match Program::parse(&path, &bytes) {
                Err(_) => true,
                Ok(p) => {
                    // Bytes between sections carry nothing: what is read is unchanged.
                    assert_eq!(whole[at], 0, "byte {at}");
                    assert_eq!(p.meta, meta());
                    assert_eq!(p.image.len(), 600);
                    false
                }
            }
        })
        .count();
    // Header, meta, image and network at the least.
    assert!(refused > 1500 / 7, "{refused} of {}", whole.len());
}

#[test]
fn a_program_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_program(folder.path(), &meta());
    let bytes = map_program(&path).unwrap();
    let program = Program::parse(&path, &bytes).unwrap();
    assert_eq!(program.meta, meta());
    let image: Vec<u8> = (0..600).map(|i| i as u8).collect();
    assert_eq!(program.image, image);
    assert_eq!(program.network, [&b"{}"[..], b""]);
}

#[test]
fn a_program_of_the_format_before_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_program(folder.path(), &meta());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8..12].copy_from_slice(&2u32.to_le_bytes());
    let text = Program::parse(&path, &bytes).unwrap_err().to_string();
    for part in [
        "format version 2, this build reads 3",
        "compile the model again",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn streams_and_tensors_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |part: &str, change: &dyn Fn(&mut ProgramMeta)| {
        let mut meta = meta();
        change(&mut meta);
        let path = write_program(folder.path(), &meta);
        let bytes = map_program(&path).unwrap();
        let text = Program::parse(&path, &bytes).unwrap_err().to_string();
        assert!(text.contains(part), "{text}");
    };
    let window = "memory map leaves its window";
    refused(window, &|m| m.image_pitch = 30 * 1024);
    refused(window, &|m| m.image_pitch = usize::MAX / 4);
    refused(window, &|m| m.layers[1].output.offset = 60_000);
    refused(window, &|m| m.streams[1].commands_offset = 600 - 6 * 64);
    refused(window, &|m| m.streams[0].commands = usize::MAX / 4);
    let layout = "layout is not that of its shape";
    refused(layout, &|m| m.layers[0].output.layout.padded_w -= 1);
    refused(layout, &|m| m.layers[0].output.layout.word_bytes = 1);
    refused(layout, &|m| m.inputs[0].tensor.layout.shape.h = 0);
    refused(layout, &|m| m.inputs[0].tensor.layout.shape.c = usize::MAX);
    refused("input is too large", &|m| m.layers[1].input.w = usize::MAX);
    refused("board is out of range", &|m| m.board.clock_mhz = 0.0);
    refused("board is out of range", &|m| m.board.accelerator.tiles = 3);
    refused("beyond any run", &|m| {
        m.streams[0].estimated_cycles = u64::MAX
    });
    let streams = "its streams are not";
    refused(streams, &|m| m.streams.clear());
    refused(streams, &|m| m.streams.swap(0, 1));
    refused(streams, &|m| m.streams[1].images = 5);
    refused("no layer", &|m| m.layers.clear());
}

#[test]
fn a_missing_program_is_named() {
    let error = map_program("/nowhere/x.cnna".as_ref()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/x.cnna"), "{error}");
}

#[test]
fn a_server_never_replaces_a_file_that_is_no_device() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_program(folder.path(), &meta());
    let before = std::fs::read(&path).unwrap();
    let mut engine = Fake::new(&[Start::After(1)]);
    let error = Server::new(&path, WINDOW, &mut engine)
        .err()
        .expect("refused");
    assert!(error.to_string().contains("name another path"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = SharedFile::open(&path).err().expect("refused");
    assert!(error.to_string().contains("not a device"), "{error}");
}

#[test]
fn a_device_file_left_by_a_killed_server_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    let copy = folder.path().join("left");
    let mut engine = Fake::new(&[Start::After(1)]);
    let server = Server::new(&path, WINDOW, &mut engine).unwrap();
    std::fs::copy(&path, &copy).unwrap();
    drop(server);
    assert!(!path.exists());
    drop(Server::new(&copy, WINDOW, &mut engine).unwrap());
    assert!(!copy.exists());
}

/// The memory of an emulated machine: everything outside of registers and window is another's.
#[test]
fn a_server_within_a_file_touches_its_part_alone_and_leaves_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory");
    let (offset, end) = (0x3000, 0x3000 + regs::BLOCK_BYTES + WINDOW);
    std::fs::write(&path, vec![0xa5; end + 4096]).unwrap();
    let mut engine = Fake::new(&[Start::After(1)]);
    for (offset, message) in [
        (0x3004, "whole page"),
        (0x5000, "larger"),
        (!0xfff, "larger"),
    ] {
        let error = Server::within(&path, offset, WINDOW, &mut engine).err();
        let text = error.expect("refused").to_string();
        assert!(text.contains(message), "{text}");
    }
    let server = Server::within(&path, offset as u64, WINDOW, &mut engine).unwrap();
    let mut other = Fake::new(&[Start::After(1)]);
    let second = Server::within(&path, offset as u64, WINDOW, &mut other).err();
    assert!(matches!(second, Some(HostError::Served { .. })));
    let memory = std::fs::read(&path).unwrap();
    assert_eq!(memory[offset..offset + 4], regs::ID_VALUE.to_ne_bytes());
    drop(server);
    let memory = std::fs::read(&path).unwrap();
    assert!(memory[..offset].iter().all(|b| *b == 0xa5));
    assert!(memory[end..].iter().all(|b| *b == 0xa5));
    // Its lock is gone, the file is not.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_fails_half_way_leaves_the_old_one_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("y.npy");
    std::fs::write(&path, b"old").unwrap();
    let result = write_whole(&path, |w| {
        w.write_all(&[1; 3 << 20])?;
        Err(std::io::Error::other("disk full"))
    });
    assert!(result.unwrap_err().to_string().contains("disk full"));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    write_whole(&path, |w| w.write_all(b"new")).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"new");
}

#[test]
fn outputs_and_inputs_are_told_apart_by_what_they_are_not_by_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["a", "b"] {
        std::fs::write(path(name), name).unwrap();
    }
    std::os::unix::fs::symlink("a", path("link")).unwrap();
    std::os::unix::fs::symlink("missing", path("dangling")).unwrap();
    let refused = |inputs: &[&str], outputs: &[&str]| {
        let inputs: Vec<_> = inputs.iter().map(|n| path(n)).collect();
        let outputs: Vec<_> = outputs.iter().map(|n| path(n)).collect();
        let inputs: Vec<_> = inputs.iter().map(|p| p.as_path()).collect();
        let outputs: Vec<_> = outputs.iter().map(|p| p.as_path()).collect();
        check_places(&inputs, &outputs).err().map(|e| e.to_string())
    };
    assert_eq!(refused(&["a"], &["b", "missing"]), None);
    for (inputs, outputs, part) in [
        (&["a"][..], &["a"][..], "is the input"),
        (&["a"], &["link"], "is the input"),
        (&["link"], &["a"], "is the input"),
        (&[], &["a", "link"], "but so is"),
        (&[], &["missing", "dangling"], "but so is"),
        (&[], &["missing", "./missing"], "but so is"),
        (&[], &["no/y"], "does not exist"),
        (&[], &["."], "a folder"),
    ] {
        let text = refused(inputs, outputs).unwrap_or_default();
        assert!(text.contains(part), "{inputs:?} {outputs:?}: {text}");
    }
    // What several may write to is no loss.
    let null = std::path::Path::new("/dev/null");
    check_places(&[], &[null, null]).unwrap();
    let dash = std::path::Path::new("-");
    assert!(check_places(&[], &[dash, dash]).is_err());
}

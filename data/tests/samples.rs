//! Folders, arrays and data sets as images of one input.

use cnna_data::{Pixels, Preprocess, Samples};
use cnna_machine::layout::{ArrayLayout, Shape};
use image::GrayImage;
use std::path::{Path, PathBuf};

const GREY: Shape = Shape { c: 1, h: 2, w: 3 };

fn bytes() -> Preprocess {
    Preprocess {
        pixels: Pixels::Bytes,
        ..Preprocess::default()
    }
}

fn open(paths: &[PathBuf], array: &ArrayLayout) -> Result<Samples, String> {
    Samples::open(paths, GREY, array, &bytes()).map_err(|e| e.to_string())
}

fn picture(path: &Path, value: u8) {
    GrayImage::from_pixel(3, 2, image::Luma([value]))
        .save(path)
        .expect("a temporary folder can be written");
}

fn npy(path: &Path, descr: &str, shape: &str, data: &[u8]) {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    std::fs::write(path, bytes).expect("a temporary folder can be written");
}

#[test]
fn class_folders_give_their_names_and_a_share_of_each() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (class, value) in [("b", 20), ("a", 10)] {
        let folder = dir.path().join(class);
        std::fs::create_dir(&folder).expect("a folder");
        (0..3).for_each(|i| picture(&folder.join(format!("{i}.png")), value + i));
        std::fs::write(folder.join("notes.txt"), "no picture").expect("a file");
    }
    let s = open(&[dir.path().into()], &ArrayLayout::plain(GREY)).expect("six pictures");
    assert_eq!(s.len(), 6);
    assert_eq!((s.class(0), s.class(5)), (Some("a"), Some("b")));
    assert_eq!(s.image(4).expect("a picture"), [21.0; 6]);
    let two = s.spread(2);
    assert_eq!((two.class(0), two.class(1)), (Some("a"), Some("b")));
}

#[test]
fn arrays_of_every_number_type_come_in_the_tensors_order() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("x.npy");
    let plain = ArrayLayout::plain(GREY);
    npy(
        &path,
        "|u1",
        "(2, 1, 2, 3)",
        &[0, 1, 2, 3, 4, 255, 9, 9, 9, 9, 9, 9],
    );
    let s = open(std::slice::from_ref(&path), &plain).expect("bytes");
    assert_eq!((s.len(), s.class(0)), (2, None));
    assert_eq!(
        s.image(0).expect("in memory"),
        [0.0, 1.0, 2.0, 3.0, 4.0, 255.0]
    );
    // One image without a batch, its columns before its rows.
    let turned = ArrayLayout {
        dims: vec![3, 2],
        axes: vec![(3, 1), (2, 3)],
        first: 0,
    };
    let data: Vec<u8> = [0i16, 3, 1, 4, 2, -5]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    npy(&path, "<i2", "(3, 2)", &data);
    let s = open(std::slice::from_ref(&path), &turned).expect("words");
    assert_eq!(
        s.image(0).expect("in memory"),
        [0.0, 1.0, 2.0, 3.0, 4.0, -5.0]
    );
    npy(
        &path,
        "<f4",
        "(1, 1, 2, 3)",
        &f32::NAN.to_le_bytes().repeat(6),
    );
    let e = open(std::slice::from_ref(&path), &plain).expect_err("NaN");
    assert!(e.contains("x.npy: element 0 is NaN"), "{e}");
    npy(&path, "<f4", "(900000000, 1, 2, 3)", &[0; 24]);
    assert!(
        open(std::slice::from_ref(&path), &plain)
            .expect_err("short")
            .contains("cut short")
    );
    npy(&path, "<f4", "(3, 2, 1)", &[0; 24]);
    assert!(
        open(std::slice::from_ref(&path), &plain)
            .expect_err("turned")
            .contains("its shape is [3, 2, 1]")
    );
    std::fs::write(&path, "text").expect("a file");
    assert!(
        open(&[path], &plain)
            .expect_err("text")
            .contains("not an npy file")
    );
}

#[test]
fn nothing_to_read_is_said_with_what_was_expected() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let plain = ArrayLayout::plain(GREY);
    let e = open(&[dir.path().into()], &plain).expect_err("empty");
    assert!(e.contains("no image in it") && e.contains("npy"), "{e}");
    let e = open(&[dir.path().join("none.png")], &plain).expect_err("missing");
    assert!(e.contains("none.png: there is no such file"), "{e}");
    let broken = dir.path().join("broken.jpg");
    std::fs::write(&broken, b"no picture").expect("a file");
    let s = open(&[broken], &plain).expect("its name is a picture's");
    let e = s.image(0).expect_err("damaged").to_string();
    assert!(e.contains("broken.jpg: not a readable PNG or JPEG"), "{e}");
}

#[test]
fn a_folder_of_idx_files_gives_its_test_images() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (prefix, n) in [("train", 4u32), ("t10k", 2)] {
        let write = |stem: &str, sizes: &[u32], data: Vec<u8>| {
            let mut bytes = vec![0, 0, 8, sizes.len() as u8];
            sizes.iter().for_each(|s| bytes.extend(s.to_be_bytes()));
            bytes.extend(data);
            std::fs::write(dir.path().join(format!("{prefix}-{stem}-ubyte")), bytes)
                .expect("a file");
        };
        write("images-idx3", &[n, 2, 3], (0..n as u8 * 6).collect());
        write("labels-idx1", &[n], (0..n as u8).map(|l| l % 2).collect());
    }
    let s = open(&[dir.path().into()], &ArrayLayout::plain(GREY)).expect("two images");
    assert_eq!((s.len(), s.class(1)), (2, Some("1")));
    assert_eq!(
        s.image(1).expect("in memory"),
        [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]
    );
}

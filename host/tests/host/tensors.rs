//! npy files in and out: types, shapes, rounding, and what is refused.

use crate::fake::meta;
use cnna_host::HostError;
use cnna_host::tensor::{Images, Inputs, Results, port_files, read_inputs};
use cnna_machine::config::Board;
use cnna_machine::layout::{ArrayLayout, Shape};
use cnna_machine::program::{PortInfo, ProgramMeta};
use npyz::{AutoSerialize, Order, WriterBuilder};
use std::path::Path;

fn save<T: AutoSerialize>(path: &Path, dims: &[u64], order: Order, values: Vec<T>) {
    let mut npy = npyz::WriteOptions::new()
        .default_dtype()
        .shape(dims)
        .order(order)
        .writer(std::fs::File::create(path).unwrap())
        .begin_nd()
        .unwrap();
    npy.extend(values).unwrap();
    npy.finish().unwrap();
}

/// An input file's words, read as numbers or as words.
fn read_as<T: AutoSerialize>(
    raw: bool,
    meta: &ProgramMeta,
    dims: &[u64],
    values: Vec<T>,
) -> Result<(Vec<i16>, u64), HostError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    save(&path, dims, Order::C, values);
    let mut inputs = Inputs::open(&[path], meta, raw)?;
    let words = inputs.next(inputs.count())?;
    Ok((words, inputs.clipped()))
}

fn read<T: AutoSerialize>(
    meta: &ProgramMeta,
    dims: &[u64],
    values: Vec<T>,
) -> Result<Vec<i16>, HostError> {
    Ok(read_as(false, meta, dims, values)?.0)
}

#[test]
fn real_numbers_are_rounded_half_to_even_and_saturate_and_the_clipped_are_counted() {
    // 8 fraction bits.
    let mut x = vec![0.0f32; 30];
    x[..6].copy_from_slice(&[0.5 / 256.0, 1.5 / 256.0, -1.0, 1e9, -1e9, 32767.25 / 256.0]);
    let (q, clipped) = read_as(false, &meta(), &[2, 3, 5], x).unwrap();
    assert_eq!(q[..6], [0, 2, -256, 32767, -32768, 32767]);
    assert_eq!(
        clipped, 2,
        "a quarter of a step beyond the last word is rounding"
    );
}

#[test]
fn numbers_of_every_type_are_numbers_one_image_or_a_batch() {
    fn all<T: AutoSerialize>(of: impl Fn(i32) -> T) {
        let dims = [2, 2, 3, 5];
        let q = read(&meta(), &dims, (0..60).map(of).collect()).unwrap();
        let want: Vec<i16> = (0..60).map(|i| i * 256).collect();
        assert_eq!(q, want);
    }
    all(|i| i as f32);
    all(f64::from);
    all(|i| i as i8);
    all(|i| i as i16);
    all(|i| i);
    all(i64::from);
    all(|i| i as u8);
    all(|i| i as u16);
    let bits: Vec<bool> = (0..30).map(|i| i % 3 == 0).collect();
    let want: Vec<i16> = bits.iter().map(|&b| i16::from(b) * 256).collect();
    assert_eq!(read(&meta(), &[1, 2, 3, 5], bits).unwrap(), want);
    // Beyond the format an integer saturates as a real does.
    let (q, clipped) = read_as(false, &meta(), &[2, 3, 5], vec![-200i16; 30]).unwrap();
    assert_eq!((q, clipped), (vec![-32768; 30], 30));
}

#[test]
fn small_integers_are_words_when_raw_and_other_types_stay_numbers() {
    let raw = |x: Vec<i16>| read_as(true, &meta(), &[2, 2, 3, 5], x).unwrap().0;
    let x: Vec<i16> = (0..60).map(|i: i32| (i * 1000 - 30000) as i16).collect();
    assert_eq!(raw(x.clone()), x);
    let x: Vec<i8> = (-128..-98).collect();
    let want: Vec<i16> = x.iter().map(|&v| v.into()).collect();
    let words = read_as(true, &meta(), &[1, 2, 3, 5], x).unwrap().0;
    assert_eq!(words, want);
    let words = read_as(true, &meta(), &[2, 3, 5], vec![2.0f32; 30])
        .unwrap()
        .0;
    assert_eq!(words, vec![512; 30]);
    let words = read_as(true, &meta(), &[2, 3, 5], vec![2u16; 30])
        .unwrap()
        .0;
    assert_eq!(words, vec![512; 30]);
}

#[test]
fn what_does_not_fit_is_refused_and_says_where_and_what_instead() {
    let text = |r: Result<Vec<i16>, HostError>| r.unwrap_err().to_string();
    for (bad, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let mut x = vec![0.0f32; 60];
        x[30 + 16] = bad;
        let t = text(read(&meta(), &[2, 2, 3, 5], x));
        assert!(t.contains(&format!("{name} at index [1, 1, 0, 1]")), "{t}");
    }
    let t = text(read(&meta(), &[2, 5, 3], vec![0.0f32; 30]));
    assert!(t.contains("[2, 5, 3]") && t.contains("(N, 2, 3, 5)"), "{t}");
    let t = text(read(&meta(), &[0, 2, 3, 5], Vec::<f32>::new()));
    assert!(t.contains("[0, 2, 3, 5]"), "{t}");
    let t = text(read(&meta(), &[2, 3, 5], vec![0u32; 30]));
    assert!(t.contains("u4") && t.contains("float32"), "{t}");
    let mut narrow = meta();
    narrow.board = Board::load("ultra96", &[("word".into(), "8".into())]).unwrap();
    let mut x = vec![0i16; 30];
    x[7] = 128;
    let raw = read_as(true, &narrow, &[2, 3, 5], x);
    let t = text(raw.map(|(words, _)| words));
    assert!(
        t.contains("128 at index [0, 1, 2]") && t.contains("8-bit"),
        "{t}"
    );
}

/// As an exporter stores pictures: [row][column][channel], whatever the machine does.
fn channels_last() -> PortInfo {
    let mut port = meta().inputs[0].clone();
    port.array = ArrayLayout {
        dims: vec![3, 5, 2],
        axes: vec![(3, 5), (5, 1), (2, 15)],
        first: 0,
    };
    port
}

#[test]
fn arrays_keep_the_order_of_the_model() {
    let mut meta = meta();
    meta.inputs[0] = channels_last();
    meta.outputs[0] = channels_last();
    let x: Vec<i16> = (0..60).collect();
    let words = read_as(true, &meta, &[2, 3, 5, 2], x.clone()).unwrap().0;
    let at = |c: usize, y: usize, x: usize| ((y * 5 + x) * 2 + c) as i16;
    let places = (0..2).flat_map(|c| (0..3).flat_map(move |y| (0..5).map(move |x| at(c, y, x))));
    let first: Vec<i16> = places.collect();
    assert_eq!(words[..30], first);
    let second: Vec<i16> = first.iter().map(|v| v + 30).collect();
    assert_eq!(words[30..], second);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("y.npy");
    let mut results = Results::create(&path, &meta.outputs[0], 2, true).unwrap();
    for words in words.chunks(30) {
        results.push(words).unwrap();
    }
    results.finish().unwrap();
    let npy = npyz::NpyFile::new(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(npy.shape(), [2, 3, 5, 2]);
    assert_eq!(npy.into_vec::<i16>().unwrap(), x);
    // The machine's shape is none of the model's.
    let text = read(&meta, &[2, 3, 5], vec![0f32; 30])
        .unwrap_err()
        .to_string();
    assert!(text.contains("(3, 5, 2)"), "{text}");
}

#[test]
fn several_inputs_lie_side_by_side_and_have_equally_many_images() {
    let mut meta = meta();
    let mut other = meta.inputs[0].clone();
    other.name = "mask".into();
    other.tensor.frac = 0;
    meta.inputs.push(other);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    save(&path("x.npy"), &[2, 2, 3, 5], Order::C, vec![1f32; 60]);
    save(
        &path("m.npy"),
        &[2, 2, 3, 5],
        Order::C,
        (0..60i32).collect(),
    );
    let batch = read_inputs(&[path("x.npy"), path("m.npy")], &meta).unwrap();
    assert_eq!((batch.image_len, batch.len()), (60, 2));
    for (n, image) in batch.images().enumerate() {
        assert_eq!(image[..30], [256; 30]);
        let mask: Vec<i16> = (0..30).map(|i| i + 30 * n as i16).collect();
        assert_eq!(image[30..], mask);
    }
    save(&path("m.npy"), &[2, 3, 5], Order::C, vec![0f32; 30]);
    let text = read_inputs(&[path("x.npy"), path("m.npy")], &meta);
    let text = text.unwrap_err().to_string();
    for part in ["m.npy", "it has 1 images", "x.npy has 2"] {
        assert!(text.contains(part), "{part} in {text}");
    }

    let files = |given: &[&str]| {
        let given: Vec<String> = given.iter().map(|g| g.to_string()).collect();
        port_files(&given, &meta.inputs, "input").map_err(|e| e.to_string())
    };
    let both = files(&["mask=m.npy", "x=x.npy"]).unwrap();
    assert_eq!(both, [Path::new("x.npy"), Path::new("m.npy")]);
    for (given, part) in [
        (&["x.npy"][..], "2 inputs (x, mask)"),
        (&["x=x.npy"], "`mask` has no file"),
        (&["x=x.npy", "mask=a", "mask=b"], "`mask` has two files"),
        (&["x=x.npy", "y=a", "mask=b"], "`y=a`"),
    ] {
        let text = files(given).unwrap_err();
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let text = || {
        let read = read_inputs(std::slice::from_ref(&path), &meta());
        read.unwrap_err().to_string()
    };
    assert!(text().contains("x.npy"));
    std::fs::write(&path, b"not numpy").unwrap();
    assert!(text().contains("not an npy file"), "{}", text());
    save(&path, &[2, 3, 5], Order::Fortran, vec![0.0f32; 30]);
    assert!(text().contains("Fortran"), "{}", text());
    save(&path, &[2, 3, 5], Order::C, vec![0.0f32; 30]);
    let whole = std::fs::read(&path).unwrap();
    for len in 0..whole.len() {
        std::fs::write(&path, &whole[..len]).unwrap();
        assert!(text().contains("x.npy"), "{len} bytes");
    }
    // A header that promises an absurd batch takes no memory.
    let promise = |n: &str| {
        let mut bytes = whole.clone();
        let header = String::from_utf8_lossy(&bytes[..128]).into_owned();
        let at = header.find("(2, 3, 5").expect("the shape");
        bytes.splice(at..at + 8, n.bytes());
        std::fs::write(&path, &bytes).unwrap();
    };
    promise("(99999999999999999, 2, 3, 5");
    assert!(!text().is_empty());
}

#[test]
fn results_are_written_as_reals_or_integers_with_their_shape() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("y.npy");
    let mut port = meta().outputs[0].clone();
    let words: Vec<i16> = (0..60).map(|i| i - 20).collect();
    let write = |port: &PortInfo, count: usize, raw: bool| {
        let mut results = Results::create(&path, port, count, raw).unwrap();
        for words in words.chunks(words.len() / count) {
            results.push(words).unwrap();
        }
        assert!(raw == path.exists(), "nothing is there before the end");
        results.finish().unwrap();
    };
    write(&port, 2, false);
    let npy = npyz::NpyFile::new(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(npy.shape(), [2, 2, 3, 5]);
    let reals: Vec<f32> = npy.into_vec().unwrap();
    assert!(
        reals
            .iter()
            .zip(&words)
            .all(|(r, &w)| *r == f32::from(w) / 256.0)
    );
    let shape = Shape { c: 1, h: 1, w: 10 };
    port.tensor.layout.shape = shape;
    port.array = ArrayLayout {
        dims: vec![10],
        ..ArrayLayout::plain(shape)
    };
    write(&port, 6, true);
    let npy = npyz::NpyFile::new(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(npy.shape(), [6, 10]);
    assert_eq!(npy.into_vec::<i16>().unwrap(), words);
}

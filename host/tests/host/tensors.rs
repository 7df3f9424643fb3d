//! npy files in and out: types, shapes, rounding, and what is refused.

use crate::fake::meta;
use cnna_host::HostError;
use cnna_host::tensor::{Results, read_input};
use cnna_machine::config::Board;
use cnna_machine::layer::Shape;
use cnna_machine::program::{ProgramMeta, TensorInfo};
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

fn read<T: AutoSerialize>(
    meta: &ProgramMeta,
    dims: &[u64],
    values: Vec<T>,
) -> Result<Vec<i16>, HostError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    save(&path, dims, Order::C, values);
    let batch = read_input(&path, meta)?;
    assert_eq!(batch.images().count(), batch.len());
    Ok(batch.words)
}

#[test]
fn real_numbers_are_rounded_half_to_even_and_saturate() {
    // 8 fraction bits.
    let mut x = vec![0.0f32; 30];
    x[..6].copy_from_slice(&[0.5 / 256.0, 1.5 / 256.0, -1.0, 1e9, -1e9, f32::INFINITY]);
    let q = read(&meta(), &[2, 3, 5], x).unwrap();
    assert_eq!(q[..6], [0, 2, -256, 32767, -32768, 32767]);
}

#[test]
fn integers_are_taken_as_they_are_one_image_or_a_batch() {
    let x: Vec<i16> = (0..60).map(|i: i32| (i * 1000 - 30000) as i16).collect();
    assert_eq!(read(&meta(), &[2, 2, 3, 5], x.clone()).unwrap(), x);
    let x: Vec<i8> = (-128..-98).collect();
    let want: Vec<i16> = x.iter().map(|&v| v.into()).collect();
    assert_eq!(read(&meta(), &[1, 2, 3, 5], x).unwrap(), want);
}

#[test]
fn what_does_not_fit_is_refused_and_says_where_and_what_instead() {
    let text = |r: Result<Vec<i16>, HostError>| r.unwrap_err().to_string();
    let mut x = vec![0.0f32; 60];
    x[30 + 16] = f32::NAN;
    let t = text(read(&meta(), &[2, 2, 3, 5], x));
    assert!(t.contains("NaN at index [1, 1, 0, 1]"), "{t}");
    let t = text(read(&meta(), &[2, 5, 3], vec![0.0f32; 30]));
    assert!(t.contains("[2, 5, 3]") && t.contains("(N, 2, 3, 5)"), "{t}");
    let t = text(read(&meta(), &[0, 2, 3, 5], Vec::<f32>::new()));
    assert!(t.contains("[0, 2, 3, 5]"), "{t}");
    let t = text(read(&meta(), &[2, 3, 5], vec![0.0f64; 30]));
    assert!(t.contains("f8") && t.contains("float32"), "{t}");
    let mut narrow = meta();
    narrow.board = Board::load("ultra96", &[("word".into(), "8".into())]).unwrap();
    let mut x = vec![0i16; 30];
    x[7] = 128;
    let t = text(read(&narrow, &[2, 3, 5], x));
    assert!(
        t.contains("128 at index [0, 1, 2]") && t.contains("8-bit"),
        "{t}"
    );
}

#[test]
fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let text = || read_input(&path, &meta()).unwrap_err().to_string();
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
    let mut info = meta().output().clone();
    let words: Vec<i16> = (0..60).map(|i| i - 20).collect();
    let write = |info: &TensorInfo, count: usize, raw: bool| {
        let mut results = Results::create(&path, info, count, raw).unwrap();
        for words in words.chunks(words.len() / count) {
            results.push(words).unwrap();
        }
        assert!(raw == path.exists(), "nothing is there before the end");
        results.finish().unwrap();
    };
    write(&info, 2, false);
    let npy = npyz::NpyFile::new(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(npy.shape(), [2, 2, 3, 5]);
    let reals: Vec<f32> = npy.into_vec().unwrap();
    assert!(
        reals
            .iter()
            .zip(&words)
            .all(|(r, &w)| *r == f32::from(w) / 256.0)
    );
    info.layout.shape = Shape { c: 1, h: 1, w: 10 };
    write(&info, 6, true);
    let npy = npyz::NpyFile::new(std::fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(npy.shape(), [6, 10]);
    assert_eq!(npy.into_vec::<i16>().unwrap(), words);
}

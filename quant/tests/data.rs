//! Data sets: the real one is complete; bad files are refused with their path, the reason and a remedy.

mod common;

use cnna_quant::Dataset;
use common::{fashion, tiny_folder, write_idx};
use std::io::Write as _;

fn refused(dir: &std::path::Path) -> String {
    Dataset::load(&dir.to_string_lossy())
        .expect_err("a bad folder")
        .to_string()
}

#[test]
fn fashion_mnist_has_seventy_thousand_balanced_images() {
    let d = fashion();
    assert_eq!(
        (d.train.len(), d.test.len(), d.classes),
        (60_000, 10_000, 10)
    );
    assert_eq!(
        (d.test.shape.c, d.test.shape.h, d.test.shape.w),
        (1, 28, 28)
    );
    for class in 0..10 {
        let count = |labels: &[u16]| labels.iter().filter(|&&l| l == class).count();
        assert_eq!(
            (count(&d.train.labels), count(&d.test.labels)),
            (6_000, 1_000)
        );
    }
    assert_eq!(d.test.images.iter().max(), Some(&255));
}

#[test]
fn a_folder_may_hold_plain_or_packed_files() {
    let dir = tiny_folder(4, 2);
    let plain = Dataset::load(&dir.path().to_string_lossy()).expect("plain files");
    let file = dir.path().join("train-images-idx3-ubyte");
    let bytes = std::fs::read(&file).expect("just written");
    let packed = std::fs::File::create(file.with_extension("gz")).expect("a file");
    let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
    packed
        .write_all(&bytes)
        .and_then(|()| packed.finish().map(drop))
        .expect("packing");
    std::fs::remove_file(&file).expect("just written");
    let both = Dataset::load(&dir.path().to_string_lossy()).expect("one packed file");
    assert_eq!((both.train, both.test), (plain.train.clone(), plain.test));
    assert_eq!(
        (plain.train.len(), plain.train.image(1)),
        (4, &[222, 3, 40, 77, 114, 151][..])
    );
}

#[test]
fn missing_files_name_the_path_and_the_remedy() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let e = refused(dir.path());
    assert!(
        e.contains("train-images-idx3-ubyte.gz")
            && e.contains("expected the name of a data set (fashion-mnist)"),
        "{e}"
    );
}

#[test]
fn damaged_files_are_refused_for_what_is_wrong() {
    type Spoil = dyn Fn(&std::path::Path);
    let cases: [(&str, &Spoil, &str); 6] = [
        (
            "train-images-idx3-ubyte",
            &|p| truncate(p, 3),
            "truncated or damaged",
        ),
        (
            "t10k-labels-idx1-ubyte",
            &|p| truncate(p, 7),
            "begins [00, 00, 08, 01]",
        ),
        (
            "train-labels-idx1-ubyte",
            &|p| write_idx(p, &[3], &[0, 1, 0]),
            "its labels file 3",
        ),
        (
            "t10k-labels-idx1-ubyte",
            &|p| write_idx(p, &[2], &[0, 9]),
            "label 9",
        ),
        (
            "t10k-images-idx3-ubyte",
            &|p| write_idx(p, &[2, 1, 1], &[0, 9]),
            "1x1x1",
        ),
        (
            "t10k-images-idx3-ubyte",
            &|p| std::fs::write(p, "PK").expect("a file"),
            "not an idx file",
        ),
    ];
    for (file, spoil, want) in cases {
        let dir = tiny_folder(4, 2);
        spoil(&dir.path().join(file));
        let e = refused(dir.path());
        assert!(e.contains(want), "{file}: {e}");
    }
}

/// Keeps all but the last `n` bytes (or the first five, where `n` is 7).
fn truncate(path: &std::path::Path, n: usize) {
    let bytes = std::fs::read(path).expect("just written");
    let keep = if n == 7 { 5 } else { bytes.len() - n };
    std::fs::write(path, &bytes[..keep]).expect("a file");
}

#[test]
fn a_packed_file_that_breaks_off_is_refused() {
    let dir = tiny_folder(4, 2);
    let file = dir.path().join("train-images-idx3-ubyte");
    let bytes = std::fs::read(&file).expect("just written");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&bytes).expect("packing");
    let packed = packed.finish().expect("packing");
    std::fs::remove_file(&file).expect("just written");
    std::fs::write(file.with_extension("gz"), &packed[..packed.len() - 6]).expect("a file");
    let e = refused(dir.path());
    assert!(e.contains("truncated or damaged"), "{e}");
}

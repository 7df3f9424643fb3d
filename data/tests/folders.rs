//! Training sets from folders of one's own: class folders of pictures, npy arrays; what is wrong is named.

use cnna_data::{Dataset, Preprocess};
use cnna_machine::layout::Shape;
use image::{GrayImage, RgbImage};
use npyz::WriterBuilder as _;
use std::path::Path;

fn load(dir: &Path) -> Result<Dataset, String> {
    Dataset::load(&dir.to_string_lossy()).map_err(|e| e.to_string())
}

fn folder(path: &Path) {
    std::fs::create_dir_all(path).expect("a temporary folder can be written");
}

fn colour(path: &Path, w: u32, first: u8) {
    RgbImage::from_fn(w, 2, |x, y| image::Rgb([first, x as u8, y as u8]))
        .save(path)
        .expect("a temporary folder can be written");
}

fn npy<T: npyz::AutoSerialize>(path: &Path, dims: &[u64], values: Vec<T>) {
    let file = std::fs::File::create(path).expect("a temporary folder can be written");
    let options = npyz::WriteOptions::new().default_dtype().shape(dims);
    let mut npy = options.writer(file).begin_nd().expect("a header");
    npy.extend(values).expect("values");
    npy.finish().expect("all values");
}

#[test]
fn class_folders_of_pictures_are_a_data_set() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (part, class, first) in [("train", "dog", 7), ("train", "cat", 5), ("test", "dog", 9)] {
        let class = dir.path().join(part).join(class);
        folder(&class);
        colour(&class.join("0.png"), 3, first);
    }
    // A grey picture among coloured ones.
    let grey = GrayImage::from_pixel(3, 2, image::Luma([200]));
    grey.save(dir.path().join("train/cat/1.png"))
        .expect("a picture");
    let d = load(dir.path()).expect("a data set");
    assert_eq!(
        (d.classes, &d.train.labels[..], &d.test.labels[..]),
        (2, &[0, 0, 1][..], &[1][..])
    );
    assert_eq!(
        (d.train.shape.c, d.train.shape.h, d.train.shape.w),
        (3, 2, 3)
    );
    assert_eq!(d.train.image(1), [200; 18]);
    let planes = [[9; 6], [0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1]].concat();
    assert_eq!(d.test.image(0), planes);

    colour(&dir.path().join("train/dog/large.png"), 4, 1);
    let e = load(dir.path()).expect_err("two sizes");
    assert!(
        e.contains("large.png: 4x2 pixels, those before are 3x2"),
        "{e}"
    );
    std::fs::remove_file(dir.path().join("train/dog/large.png")).expect("a file");
    let other = dir.path().join("test/bird");
    folder(&other);
    let e = load(dir.path()).expect_err("a class of its own");
    assert!(
        e.contains("bird: no training picture has this class"),
        "{e}"
    );
    std::fs::remove_dir(other).expect("a folder");
    std::fs::remove_file(dir.path().join("test/dog/0.png")).expect("a file");
    let e = load(dir.path()).expect_err("no test picture");
    assert!(e.contains("test: no PNG or JPEG picture"), "{e}");
}

#[test]
fn pictures_of_any_size_become_the_input_that_is_known() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (part, w) in [("train", 3), ("train", 6), ("test", 9)] {
        folder(&dir.path().join(part).join("any"));
        colour(&dir.path().join(format!("{part}/any/{w}.png")), w, 51);
    }
    let preprocess = Preprocess {
        mean: vec![0.2, 0.0, 0.0],
        std: vec![0.5],
        ..Preprocess::default()
    };
    let input = Some(Shape { c: 3, h: 2, w: 2 });
    let path = dir.path().to_string_lossy();
    let d = Dataset::load_for(&path, &preprocess, input).expect("a data set");
    assert_eq!((d.train.len(), Some(d.train.shape)), (2, input));
    // The middle of nine columns: from the third on.
    assert_eq!(d.test.image(0), [51, 51, 51, 51, 3, 4, 3, 4, 0, 0, 1, 1]);
    let reals = d.test.through(0, &d.test.reals());
    assert_eq!(reals[..4], [0.0; 4], "51 / 255 is the mean");
    assert_eq!(reals[4], 3.0 / 255.0 / 0.5);
    let cropped = Preprocess {
        crop: Some(2),
        ..Preprocess::default()
    };
    let d = Dataset::load_for(&path, &cropped, None).expect("a data set");
    assert_eq!((d.train.shape.h, d.train.shape.w), (2, 2));
    let wrong = Preprocess {
        mean: vec![0.5; 2],
        ..Preprocess::default()
    };
    let e = Dataset::load_for(&path, &wrong, input).expect_err("two of three channels");
    assert!(e.to_string().contains("has 2 values"), "{e}");
}

#[test]
fn arrays_of_bytes_are_a_data_set() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| dir.path().join(name);
    npy(&at("train-images.npy"), &[2, 3, 1, 2], (0..12u8).collect());
    npy(&at("train-labels.npy"), &[2], vec![1i64, 0]);
    npy(&at("test-images.npy"), &[1, 3, 1, 2], vec![9u8; 6]);
    npy(&at("test-labels.npy"), &[1], vec![1u8]);
    let d = load(dir.path()).expect("a data set");
    assert_eq!((d.classes, d.train.shape.c), (2, 3));
    assert_eq!(d.train.image(1), [6, 7, 8, 9, 10, 11]);
    assert_eq!(
        (&d.train.labels[..], &d.test.labels[..]),
        (&[1, 0][..], &[1][..])
    );

    npy(&at("test-labels.npy"), &[1], vec![-1i32]);
    let e = load(dir.path()).expect_err("a negative label");
    assert!(
        e.contains("test-labels.npy: label 0 is not 0 to 65535"),
        "{e}"
    );
    npy(&at("test-labels.npy"), &[2], vec![0u8; 2]);
    let e = load(dir.path()).expect_err("too many labels");
    assert!(e.contains("its shape is [2], expected [1]"), "{e}");
    npy(&at("train-images.npy"), &[2, 1, 2], vec![0.5f32; 4]);
    let e = load(dir.path()).expect_err("reals");
    assert!(
        e.contains("train-images.npy: its shape is [2, 1, 2] and its type '<f4'"),
        "{e}"
    );
    let packed = std::fs::read(at("test-images.npy")).expect("a file");
    std::fs::write(at("train-images.npy"), &packed[..packed.len() - 1]).expect("a file");
    let e = load(dir.path()).expect_err("cut short");
    assert!(e.contains("train-images.npy"), "{e}");
}

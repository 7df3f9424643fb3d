//! Labelled images from a folder of one's own: class folders of pictures, or npy arrays.
//!
//! ```text
//! DIR/train/CLASS/x.png, DIR/test/CLASS/y.jpg        classes are numbered by name; of one size, or resized
//! DIR/{train,test}-images.npy, DIR/{train,test}-labels.npy    bytes [N, rows, columns] or [N, channels, rows, columns]; [N]
//! ```

use crate::idx::Split;
use crate::picture::{decode, is_picture};
use crate::samples::sorted;
use crate::{DataError, Preprocess};
use cnna_machine::layout::Shape;
use npyz::{DType, NpyFile, Order, TypeChar};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Labels have 16 bits.
const MOST_CLASSES: usize = 1 << 16;

/// What the folder holds as class folders or arrays, none where it has neither. Errors: a part is missing, damaged or does not
/// fit the other.
pub fn read(
    dir: &Path,
    preprocess: &Preprocess,
    input: Option<Shape>,
) -> Option<Result<[Split; 2], DataError>> {
    if ["train", "test"].iter().all(|p| dir.join(p).is_dir()) {
        return Some(pictures(dir, preprocess, input));
    }
    dir.join("train-images.npy")
        .is_file()
        .then(|| Ok([arrays(dir, "train")?, arrays(dir, "test")?]))
}

/// The name that a class folder has.
fn name(path: &Path) -> String {
    path.file_name()
        .map_or(String::new(), |n| n.to_string_lossy().into_owned())
}

/// The class folders of a part.
fn classes(part: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut all = sorted(part)?;
    all.retain(|p| p.is_dir());
    match all.len() {
        0 => Err(DataError::file(
            part,
            "no folder in it: expected one a class, with PNG or JPEG pictures",
        )),
        n if n > MOST_CLASSES => Err(DataError::file(
            part,
            format!("{n} class folders: at most {MOST_CLASSES} are trained"),
        )),
        _ => Ok(all),
    }
}

fn pictures(
    dir: &Path,
    preprocess: &Preprocess,
    input: Option<Shape>,
) -> Result<[Split; 2], DataError> {
    let names: Vec<String> = classes(&dir.join("train"))?
        .iter()
        .map(|p| name(p))
        .collect();
    let mut shape = input;
    let mut read = |part: &str| {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        for folder in classes(&dir.join(part))? {
            let label = names
                .iter()
                .position(|n| *n == name(&folder))
                .ok_or_else(|| {
                    DataError::file(
                        &folder,
                        "no training picture has this class: name it as there",
                    )
                })?;
            for path in sorted(&folder)?.iter().filter(|p| is_picture(p)) {
                let picture = decode(path)?;
                let (h, w) = (picture.height() as usize, picture.width() as usize);
                // The first decides between grey and colour.
                let c = if picture.color().has_color() { 3 } else { 1 };
                let s = *shape.get_or_insert(match preprocess.crop.map(|s| s as usize) {
                    Some(side) => Shape {
                        c,
                        h: side,
                        w: side,
                    },
                    None => Shape { c, h, w },
                });
                let sized = input.is_some() || preprocess.crop.is_some();
                if !sized && (s.h, s.w) != (h, w) {
                    return Err(DataError::file(
                        path,
                        format!(
                            "{w}x{h} pixels, those before are {}x{}: training images have one size, say --crop or resize it",
                            s.w, s.h
                        ),
                    ));
                }
                images.extend(preprocess.bytes(&picture, s, path)?);
                labels.push(label as u16);
            }
        }
        match shape {
            Some(shape) if !labels.is_empty() => Ok(Split {
                shape,
                images,
                labels,
                preprocess: preprocess.clone(),
            }),
            _ => Err(DataError::file(
                &dir.join(part),
                "no PNG or JPEG picture in its class folders",
            )),
        }
    };
    Ok([read("train")?, read("test")?])
}

/// An npy file whose header was read.
struct Header {
    file: NpyFile<BufReader<std::fs::File>>,
    dims: Vec<usize>,
    /// `u` or `i` for integers without and with a sign, else another character.
    kind: char,
    /// Bytes of an element.
    size: u64,
}

/// Opens an npy file. Errors: not one, cut short, in Fortran order.
fn npy(path: &Path) -> Result<Header, DataError> {
    let bad = |reason: String| DataError::file(path, reason);
    let file = std::fs::File::open(path).map_err(|e| bad(e.to_string()))?;
    let len = file.metadata().map_err(|e| bad(e.to_string()))?.len();
    let npy = NpyFile::new(BufReader::new(file))
        .map_err(|e| bad(format!("not an npy file ({e}): write it with numpy.save")))?;
    let dims: Vec<usize> = npy.shape().iter().map(|&d| d as usize).collect();
    if npy.order() == Order::Fortran && dims.len() > 1 {
        return Err(bad(
            "it is in Fortran order: save numpy.ascontiguousarray(x)".into(),
        ));
    }
    let (kind, size) = match npy.dtype() {
        DType::Plain(t) if t.type_char() == TypeChar::Uint => ('u', t.size_field()),
        DType::Plain(t) if t.type_char() == TypeChar::Int => ('i', t.size_field()),
        _ => ('?', 1),
    };
    // The header alone decides how much memory is taken: believe it only as far as the file goes.
    let needed = dims.iter().fold(size, |n, &d| n.saturating_mul(d as u64));
    match needed > len {
        true => Err(bad(format!(
            "cut short: shape {dims:?} does not fit in {len} bytes"
        ))),
        false => Ok(Header {
            file: npy,
            dims,
            kind,
            size,
        }),
    }
}

fn arrays(dir: &Path, part: &str) -> Result<Split, DataError> {
    let path = dir.join(format!("{part}-images.npy"));
    let Header {
        file,
        dims,
        kind,
        size,
    } = npy(&path)?;
    let shape = match dims[..] {
        [_, h, w] => Some(Shape { c: 1, h, w }),
        [_, c, h, w] => Some(Shape { c, h, w }),
        _ => None,
    };
    let shape = shape.filter(|_| (kind, size) == ('u', 1) && !dims.contains(&0));
    let Some(shape) = shape else {
        return Err(DataError::file(
            &path,
            format!(
                "its shape is {dims:?} and its type {}: expected bytes (uint8, 0 to 255) of [N, rows, columns] or [N, channels, \
                 rows, columns]",
                file.dtype().descr()
            ),
        ));
    };
    let images: Vec<u8> = file
        .into_vec()
        .map_err(|e| DataError::file(&path, format!("unreadable: {e}")))?;
    let labels = labels(&dir.join(format!("{part}-labels.npy")), dims[0])?;
    Ok(Split {
        shape,
        images,
        labels,
        preprocess: Preprocess::default(),
    })
}

/// One class an image, of so many images.
fn labels(path: &Path, images: usize) -> Result<Vec<u16>, DataError> {
    let Header {
        file,
        dims,
        kind,
        size,
    } = npy(path)?;
    if dims != [images] {
        return Err(DataError::file(
            path,
            format!("its shape is {dims:?}, expected [{images}]: a label an image"),
        ));
    }
    let unreadable = |e: std::io::Error| DataError::file(path, format!("unreadable: {e}"));
    macro_rules! integers {
        ($t:ty) => {{
            let values: Vec<$t> = file.into_vec().map_err(unreadable)?;
            values.into_iter().map(|v| u16::try_from(v).ok()).collect()
        }};
    }
    let labels: Vec<Option<u16>> = match (kind, size) {
        ('u', 1) => integers!(u8),
        ('i', 1) => integers!(i8),
        ('i', 2) => integers!(i16),
        ('i', 4) => integers!(i32),
        ('i', 8) => integers!(i64),
        _ => {
            return Err(DataError::file(
                path,
                format!(
                    "its type is {}: save labels.astype(numpy.int64)",
                    file.dtype().descr()
                ),
            ));
        }
    };
    let bad = labels.iter().position(Option::is_none);
    match bad {
        Some(i) => Err(DataError::file(
            path,
            format!(
                "label {i} is not 0 to {}: number the classes so",
                MOST_CLASSES - 1
            ),
        )),
        None => Ok(labels.into_iter().flatten().collect()),
    }
}

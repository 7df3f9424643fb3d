//! Labelled images: [image][channel][row][column] bytes, read from idx files (plain or gzip).
//!
//! Format: Yann LeCun's idx: magic 0x0000_08nn (unsigned bytes, nn dimensions), big-endian sizes, then the bytes.

use crate::{DataError, Preprocess, folders};
use cnna_machine::layout::Shape;
use flate2::read::MultiGzDecoder;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Where Debian's data set packages install.
const DEBIAN_DATASETS: &str = "/usr/share/datasets";
/// Environment variable with the folder that holds a folder per data set, instead of Debian's.
pub const DATA_VARIABLE: &str = "CNNA_DATA";
/// The data sets known by name, and the Debian package of each.
pub const DATASETS: [(&str, &str); 1] = [("fashion-mnist", "dataset-fashion-mnist")];
/// No more bytes than this are unpacked from one file: a damaged header must not fill the memory.
const MAX_BYTES: u64 = 1 << 30;

/// Images and their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Shape of one image.
    pub shape: Shape,
    /// [image][channel][row][column], 0 to 255.
    pub images: Vec<u8>,
    /// One class an image.
    pub labels: Vec<u16>,
    /// What a byte is for the network; without sizes, which the images have.
    pub preprocess: Preprocess,
}

impl Split {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }
    /// True without images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }
    /// Bytes of image `i`.
    pub fn image(&self, i: usize) -> &[u8] {
        &self.images[i * self.shape.len()..(i + 1) * self.shape.len()]
    }
    /// The first `n` images, or all.
    pub fn first(&self, n: usize) -> Split {
        let n = n.min(self.len());
        Split {
            shape: self.shape,
            images: self.images[..n * self.shape.len()].to_vec(),
            labels: self.labels[..n].to_vec(),
            preprocess: self.preprocess.clone(),
        }
    }

    /// Takes the images from number `n` on away.
    pub fn split_off(&mut self, n: usize) -> Split {
        Split {
            shape: self.shape,
            images: self.images.split_off(n * self.shape.len()),
            labels: self.labels.split_off(n),
            preprocess: self.preprocess.clone(),
        }
    }

    /// Of each channel the reals that the bytes 0 to 255 are for the network: without a preprocessing `byte / 255`.
    pub fn reals(&self) -> Vec<[f32; 256]> {
        let of = |c| std::array::from_fn(|b| self.preprocess.real(c, b as u8));
        (0..self.shape.c).map(of).collect()
    }

    /// Image `i`, [channel][row][column], with each byte as its channel's table has it: [`Split::reals`], or words of them.
    pub fn through<T: Copy>(&self, i: usize, tables: &[[T; 256]]) -> Vec<T> {
        let channels = self.image(i).chunks_exact(self.shape.h * self.shape.w);
        channels
            .zip(tables)
            .flat_map(|(bytes, table)| bytes.iter().map(|&b| table[usize::from(b)]))
            .collect()
    }
}

/// Training and test images.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name, or its folder's.
    pub name: String,
    /// Number of classes.
    pub classes: usize,
    /// For training and calibration.
    pub train: Split,
    /// For measuring only.
    pub test: Split,
}

impl Dataset {
    /// A data set by name (Debian's package, or `$CNNA_DATA/NAME`), or a folder: of class folders of pictures, of npy
    /// arrays, or of the four idx files.
    ///
    /// Errors: unknown name, missing, truncated or damaged file, counts or shapes that disagree.
    pub fn load(name_or_dir: &str) -> Result<Dataset, DataError> {
        Self::load_for(name_or_dir, &Preprocess::default(), None)
    }

    /// The same, preprocessed: pictures also resized and cropped to an input of that shape, where it is known.
    pub fn load_for(
        name_or_dir: &str,
        preprocess: &Preprocess,
        input: Option<Shape>,
    ) -> Result<Dataset, DataError> {
        let known = DATASETS.iter().find(|(n, _)| *n == name_or_dir);
        let (dir, hint) = match known {
            Some((name, package)) => {
                let root =
                    std::env::var_os(DATA_VARIABLE).unwrap_or_else(|| DEBIAN_DATASETS.into());
                let hint = format!(
                    "install it with `apt-get install {package}`, or set {DATA_VARIABLE} to the folder that holds {name}/"
                );
                (PathBuf::from(root).join(name), hint)
            }
            None => {
                let names: Vec<_> = DATASETS.iter().map(|(n, _)| *n).collect();
                let hint = format!(
                    "expected the name of a data set ({}) or a folder with train/CLASS and test/CLASS of pictures, with \
                     {{train,test}}-{{images,labels}}.npy, or with {{train,t10k}}-{{images-idx3,labels-idx1}}-ubyte[.gz]",
                    names.join(", ")
                );
                (PathBuf::from(name_or_dir), hint)
            }
        };
        let mut set = Self::read(&dir, name_or_dir, &hint, preprocess, input)?;
        preprocess.check(set.train.shape.c)?;
        for part in [&mut set.train, &mut set.test] {
            part.preprocess = Preprocess {
                resize: None,
                crop: None,
                ..preprocess.clone()
            };
        }
        Ok(set)
    }

    fn read(
        dir: &Path,
        name: &str,
        hint: &str,
        preprocess: &Preprocess,
        input: Option<Shape>,
    ) -> Result<Dataset, DataError> {
        let [train, test] = match folders::read(dir, preprocess, input) {
            Some(parts) => parts?,
            None => [split(dir, "train", hint)?, split(dir, "t10k", hint)?],
        };
        let classes = train.labels.iter().max().map_or(0, |&l| usize::from(l) + 1);
        let bad = |reason| DataError::Set {
            path: dir.into(),
            reason,
            hint: hint.into(),
        };
        if train.shape != test.shape {
            return Err(bad(format!(
                "training images are {} and test images {}",
                train.shape, test.shape
            )));
        }
        if let Some(l) = test.labels.iter().find(|&&l| usize::from(l) >= classes) {
            return Err(bad(format!(
                "a test image has label {l}, the training images have {classes} classes"
            )));
        }
        let name = Path::new(name)
            .file_name()
            .map_or(name.into(), |n| n.to_string_lossy());
        Ok(Dataset {
            name: name.into_owned(),
            classes,
            train,
            test,
        })
    }
}

fn split(dir: &Path, prefix: &str, hint: &str) -> Result<Split, DataError> {
    let (images, dims, path) = idx(dir, &format!("{prefix}-images-idx3-ubyte"), 3, hint)?;
    let (labels, counts, _) = idx(dir, &format!("{prefix}-labels-idx1-ubyte"), 1, hint)?;
    if dims[0] != counts[0] || dims.contains(&0) {
        return Err(DataError::Set {
            path,
            reason: format!(
                "holds {dims:?} (images, rows, columns), its labels file {}",
                counts[0]
            ),
            hint: hint.into(),
        });
    }
    let shape = Shape {
        c: 1,
        h: dims[1],
        w: dims[2],
    };
    Ok(Split {
        shape,
        images,
        labels: labels.into_iter().map(u16::from).collect(),
        preprocess: Preprocess::default(),
    })
}

/// Reads one idx file of unsigned bytes: the bytes, its sizes, and the path that was found.
fn idx(
    dir: &Path,
    stem: &str,
    dims: usize,
    hint: &str,
) -> Result<(Vec<u8>, Vec<usize>, PathBuf), DataError> {
    let packed = dir.join(format!("{stem}.gz"));
    let plain = dir.join(stem);
    let path = if plain.exists() { plain } else { packed };
    let bad = |reason: String| DataError::Set {
        path: path.clone(),
        reason,
        hint: hint.into(),
    };
    let file = std::fs::File::open(&path).map_err(|e| bad(e.to_string()))?;
    let mut bytes = Vec::new();
    let read = if path.extension().is_some_and(|e| e == "gz") {
        MultiGzDecoder::new(file)
            .take(MAX_BYTES)
            .read_to_end(&mut bytes)
    } else {
        file.take(MAX_BYTES).read_to_end(&mut bytes)
    };
    read.map_err(|e| bad(format!("truncated or damaged ({e})")))?;
    let header = 4 + 4 * dims;
    let magic = [0, 0, 8, dims as u8];
    if bytes.len() < header || bytes[..4] != magic {
        return Err(bad(format!(
            "not an idx file of bytes with {dims} dimensions: it begins {:02x?}, expected {magic:02x?}",
            &bytes[..bytes.len().min(4)]
        )));
    }
    let sizes: Vec<usize> = bytes[4..header]
        .chunks_exact(4)
        .map(|b| u32::from_be_bytes(b.try_into().expect("chunks of 4")) as usize)
        .collect();
    let want = sizes.iter().try_fold(1usize, |a, &s| a.checked_mul(s));
    if want != Some(bytes.len() - header) {
        return Err(bad(format!(
            "holds {} bytes after its header, its sizes {sizes:?} need {}: truncated or damaged",
            bytes.len() - header,
            want.map_or("more than memory".into(), |w| w.to_string())
        )));
    }
    bytes.drain(..header);
    Ok((bytes, sizes, path))
}

//! Images from whatever a user names: pictures, folders of pictures, folders of class folders, npy arrays, idx data sets.

use crate::npy::Array;
use crate::picture::{decode, is_picture};
use crate::{DataError, Dataset, Preprocess, Split};
use cnna_machine::layout::{ArrayLayout, Shape};
use image::{DynamicImage, GrayImage};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Images for one input of a network; each is read when it is asked for.
#[derive(Clone, Debug)]
pub struct Samples {
    shape: Shape,
    array: ArrayLayout,
    preprocess: Preprocess,
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
struct Item {
    source: Source,
    class: Option<String>,
}

#[derive(Clone, Debug)]
enum Source {
    Picture(PathBuf),
    Array(Arc<Array>, PathBuf, usize),
    Set(Arc<Split>, PathBuf, usize),
}

impl Samples {
    /// What `paths` hold, as images of an input of that `shape`, whose array the user sees as `array`.
    ///
    /// Pictures and idx images pass `preprocess`; npy arrays hold what the network takes. In a folder of folders the inner
    /// ones name the classes; a folder with idx files gives its test images. Everything is sorted by name.
    /// Errors: nothing there, a file that is neither, an array of another shape.
    pub fn open(
        paths: &[PathBuf],
        shape: Shape,
        array: &ArrayLayout,
        preprocess: &Preprocess,
    ) -> Result<Samples, DataError> {
        let mut samples = Samples {
            shape,
            array: array.clone(),
            preprocess: preprocess.clone(),
            items: Vec::new(),
        };
        for path in paths {
            samples.add(path)?;
        }
        if samples.has_pictures() {
            preprocess.check(shape.c)?;
        }
        match (samples.items.is_empty(), paths.first()) {
            (true, Some(p)) => Err(DataError::file(
                p,
                "no image in it: expected PNG or JPEG pictures, class folders, npy or idx files",
            )),
            _ => Ok(samples),
        }
    }

    /// The images of a part of the data set `name`, as they are.
    pub fn of(split: &Split, name: &str, array: &ArrayLayout) -> Samples {
        let shared = Arc::new(split.clone());
        let item = |i: usize| Item {
            source: Source::Set(shared.clone(), name.into(), i),
            class: Some(shared.labels[i].to_string()),
        };
        Samples {
            shape: split.shape,
            array: array.clone(),
            preprocess: split.preprocess.clone(),
            items: (0..split.len()).map(item).collect(),
        }
    }

    fn add(&mut self, path: &Path) -> Result<(), DataError> {
        let known = path
            .to_str()
            .filter(|p| crate::DATASETS.iter().any(|(n, _)| n == p));
        if known.is_some() || has_idx(path) {
            let set = Dataset::load(&path.to_string_lossy())?;
            let split = Arc::new(set.test);
            for i in 0..split.len() {
                self.items.push(Item {
                    source: Source::Set(split.clone(), path.into(), i),
                    class: Some(split.labels[i].to_string()),
                });
            }
            return Ok(());
        }
        if !path.is_dir() {
            return self.add_file(path, None);
        }
        let entries = sorted(path)?;
        for p in entries
            .iter()
            .filter(|p| !p.is_dir() && (is_picture(p) || is_npy(p)))
        {
            self.add_file(p, None)?;
        }
        for folder in entries.iter().filter(|p| p.is_dir()) {
            let class = folder.file_name().map(|n| n.to_string_lossy().into_owned());
            for p in sorted(folder)?
                .iter()
                .filter(|p| is_picture(p) || is_npy(p))
            {
                self.add_file(p, class.as_deref())?;
            }
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path, class: Option<&str>) -> Result<(), DataError> {
        let class = class.map(str::to_owned);
        if is_npy(path) {
            let array = Arc::new(Array::read(path, &self.array)?);
            let count = array.count();
            self.items.extend((0..count).map(|i| Item {
                source: Source::Array(array.clone(), path.into(), i),
                class: class.clone(),
            }));
            return Ok(());
        }
        if !path.exists() {
            return Err(DataError::file(path, "there is no such file or folder"));
        }
        self.items.push(Item {
            source: Source::Picture(path.into()),
            class,
        });
        Ok(())
    }

    /// True where an image is not an array: then it passes [`Preprocess`].
    pub fn has_pictures(&self) -> bool {
        self.items
            .iter()
            .any(|i| !matches!(i.source, Source::Array(..)))
    }

    /// Images.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True without an image.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// At most `most` images, evenly spread over all of them, so that each class has its share.
    pub fn spread(mut self, most: usize) -> Samples {
        let (n, k) = (self.items.len(), most.max(1));
        if n > k {
            self.items = (0..k).map(|i| self.items[i * n / k].clone()).collect();
        }
        self
    }

    /// The class that image `i` lies in: its folder's name, or its number in a data set.
    pub fn class(&self, i: usize) -> Option<&str> {
        self.items[i].class.as_deref()
    }

    /// Where image `i` comes from.
    pub fn name(&self, i: usize) -> String {
        match &self.items[i].source {
            Source::Picture(p) => p.display().to_string(),
            Source::Array(_, p, i) | Source::Set(_, p, i) => format!("{}[{i}]", p.display()),
        }
    }

    /// The picture that image `i` is; none in an array or a data set.
    pub fn picture(&self, i: usize) -> Option<&Path> {
        match &self.items[i].source {
            Source::Picture(p) => Some(p),
            _ => None,
        }
    }

    /// Image `i`, [channel][row][column]. Errors: a picture that is damaged or too small.
    pub fn image(&self, i: usize) -> Result<Vec<f32>, DataError> {
        match &self.items[i].source {
            Source::Picture(p) => self.preprocess.apply(&decode(p)?, self.shape, p),
            Source::Array(a, _, i) => Ok(a.image(*i, &self.array, self.shape)),
            Source::Set(split, p, i) => {
                let s = split.shape;
                let grey = GrayImage::from_raw(s.w as u32, s.h as u32, split.image(*i).to_vec())
                    .ok_or_else(|| {
                        DataError::file(p, format!("its images are {s}, expected one channel"))
                    })?;
                self.preprocess
                    .apply(&DynamicImage::from(grey), self.shape, p)
            }
        }
    }
}

fn is_npy(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

fn has_idx(folder: &Path) -> bool {
    ["", ".gz"].iter().any(|end| {
        folder
            .join(format!("t10k-images-idx3-ubyte{end}"))
            .is_file()
    })
}

/// What a folder holds, by name. Errors: it cannot be read.
pub(crate) fn sorted(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let unreadable = |e: std::io::Error| DataError::file(folder, e.to_string());
    let mut entries = std::fs::read_dir(folder)
        .and_then(|d| {
            d.map(|e| e.map(|e| e.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(unreadable)?;
    entries.sort();
    Ok(entries)
}

//! Pictures as a program's input, and classes as its answer.

use anyhow::{Result, bail, ensure};
use cnna_data::{Pixels, Preprocess, Samples, Wanted, class_of};
use cnna_flow::Pictures;
use cnna_host::files;
use cnna_machine::num::dequantise;
use cnna_machine::program::{PortInfo, ProgramMeta};
use cnna_quant::ptq::FileModel;
use serde::Serialize;

/// From pictures to a network's input.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Pictures")]
pub struct PictureArguments {
    /// What a pixel's largest value is for the network: 1, or 255 for bytes [default: as the model or program says, else 1].
    #[arg(long, value_name = "MOST", value_parser = ["1", "255"])]
    pixels: Option<String>,
    /// Subtracted from pixels: one value, or one a channel, as in 0.485,0.456,0.406.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "VALUES",
        allow_hyphen_values = true
    )]
    mean: Option<Vec<f32>>,
    /// Divides what is left: one value, or one a channel.
    #[arg(long, value_delimiter = ',', value_name = "VALUES")]
    std: Option<Vec<f32>>,
    /// Resize the shorter side to so many pixels [default: as the crop needs].
    #[arg(long, value_name = "PIXELS")]
    resize: Option<u32>,
    /// Cut a square of so many pixels from the centre [default: the network's input].
    #[arg(long, value_name = "PIXELS")]
    crop: Option<u32>,
}

impl PictureArguments {
    /// For the data room.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            pixels: self.pixels.as_deref().map(|p| match p {
                "255" => Pixels::Bytes,
                _ => Pixels::Unit,
            }),
            mean: self.mean.clone(),
            std: self.std.clone(),
            resize: self.resize,
            crop: self.crop,
        }
    }

    /// What holds for a program: these options, then what it keeps. Where they differ that is said, if `used`. Errors: damaged
    /// metadata.
    pub fn over(&self, meta: &ProgramMeta, used: bool) -> Result<Preprocess> {
        let stored = cnna_flow::model::stored(meta)?;
        let wanted = self.wanted();
        for change in wanted.changes(stored.as_ref()).iter().filter(|_| used) {
            files::note(&format!("note: {change}, which the program says"));
        }
        Ok(wanted.over(stored.as_ref()))
    }
}

/// One class of an answer.
#[derive(Clone, Debug, Serialize)]
pub struct Guess {
    /// Its number.
    pub class: usize,
    /// Its name, or its number.
    pub label: String,
    /// The network's value of it.
    pub value: f64,
}

/// One image's answer.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// The image's file, or its number.
    pub image: String,
    /// Best first.
    pub top: Vec<Guess>,
    /// Whether the class that the image's folder names is the best.
    pub right: Option<bool>,
    /// The float network's best, with --float.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub float: Vec<Guess>,
}

/// The best classes of each image.
pub struct Classifier {
    top: usize,
    labels: Vec<String>,
    frac: i32,
    offsets: Vec<usize>,
    /// Name and folder of each image; empty for arrays.
    names: Vec<(String, Option<usize>)>,
    /// So far.
    pub answers: Vec<Answer>,
}

impl Classifier {
    /// For a program whose one output has a value a class. Errors: another output, labels of another number, folders that
    /// name no class.
    pub fn new(
        top: usize,
        labels: Vec<String>,
        meta: &ProgramMeta,
        pictures: Option<&Pictures>,
    ) -> Result<Self> {
        let [port] = &meta.outputs[..] else {
            bail!(
                "--top is for programs with one output, this has {}",
                meta.outputs.len()
            );
        };
        let port: &PortInfo = port;
        let classes = port.array.len();
        ensure!(
            port.array.dims.iter().filter(|d| **d > 1).count() <= 1,
            "--top is for outputs of one value a class, `{}` has the shape {:?}",
            port.name,
            port.array.dims
        );
        ensure!(
            labels.is_empty() || labels.len() == classes,
            "--labels has {} lines, output `{}` has {classes} values: give one line a class",
            labels.len(),
            port.name
        );
        let mut names = Vec::new();
        if let Some(p) = pictures {
            // Where no folder's name says which class it is, and there are as many folders, their order does.
            let mut folders: Vec<&str> = (0..p.samples().len())
                .filter_map(|i| p.samples().class(i))
                .collect();
            folders.sort_unstable();
            folders.dedup();
            let named = folders
                .iter()
                .all(|f| class_of(f, &labels).is_some_and(|c| c < classes));
            ensure!(
                named || folders.len() == classes,
                "the folders name no classes: call each by its number or its line of --labels, or have {classes} of them"
            );
            for i in 0..p.samples().len() {
                let class = p.samples().class(i).and_then(|f| match named {
                    true => class_of(f, &labels),
                    false => folders.binary_search(&f).ok(),
                });
                names.push((p.samples().name(i), class));
            }
        }
        Ok(Classifier {
            top: top.min(classes),
            labels,
            frac: port.tensor.frac,
            offsets: port.array.offsets().collect(),
            names,
            answers: Vec::new(),
        })
    }

    /// Adds one image's words.
    pub fn push(&mut self, words: &[i16]) {
        let values = self
            .offsets
            .iter()
            .map(|&at| dequantise(words[at], self.frac));
        let top = self.best(&values.collect::<Vec<_>>());
        let i = self.answers.len();
        let (image, class) = self
            .names
            .get(i)
            .cloned()
            .unwrap_or((format!("image {i}"), None));
        self.answers.push(Answer {
            image,
            right: class.map(|c| top.first().is_some_and(|g| g.class == c)),
            top,
            float: Vec::new(),
        });
    }

    /// The best classes of one value a class.
    fn best(&self, values: &[f64]) -> Vec<Guess> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        // Of equal values the first.
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
        let guess = |&c: &usize| Guess {
            class: c,
            label: self.labels.get(c).cloned().unwrap_or_else(|| c.to_string()),
            value: values[c],
        };
        order[..self.top.min(order.len())]
            .iter()
            .map(guess)
            .collect()
    }

    /// Puts the float network's answers beside those there are. Errors: as the float engine, or an output of another size.
    pub fn compare(&mut self, float: &FileModel, samples: &Samples) -> Result<()> {
        for i in 0..self.answers.len() {
            let outputs = float.run(&[samples.image(i)?])?;
            let values: Vec<f64> = outputs.iter().flatten().map(|&v| v.into()).collect();
            ensure!(
                values.len() == self.offsets.len(),
                "the float model has {} values for {} classes: name the one that the program was made of",
                values.len(),
                self.offsets.len()
            );
            self.answers[i].float = self.best(&values);
        }
        Ok(())
    }

    /// For the screen.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let list = |guesses: &[Guess]| {
            let all = guesses
                .iter()
                .map(|g| format!("{} ({:.3})", g.label, g.value));
            all.collect::<Vec<_>>().join(", ")
        };
        let tops: Vec<String> = self.answers.iter().map(|a| list(&a.top)).collect();
        let width = |texts: &mut dyn Iterator<Item = &String>| {
            texts.map(|t| t.chars().count()).max().unwrap_or(0)
        };
        let names = width(&mut self.answers.iter().map(|a| &a.image));
        let most = width(&mut tops.iter());
        for (a, top) in self.answers.iter().zip(&tops) {
            // Columns only where there are two to compare.
            text += &match a.float.is_empty() {
                true => format!("{}: {top}\n", a.image),
                false => format!(
                    "{:names$}  {top:most$}  float: {}\n",
                    a.image,
                    list(&a.float)
                ),
            };
        }
        let (right, of) = self.accuracy();
        if of > 0 {
            text += &format!(
                "{right} of {of} right: {:.2} %\n",
                100.0 * right as f64 / of as f64
            );
        }
        if let Some((same, of)) = self.agreement() {
            text += &format!("the float network's best class: the same on {same} of {of}\n");
        }
        text
    }

    /// Images on which the float network's best class is the same, of how many; none without it.
    pub fn agreement(&self) -> Option<(usize, usize)> {
        let compared = self.answers.iter().filter(|a| !a.float.is_empty());
        let same = compared
            .clone()
            .filter(|a| a.top.first().map(|g| g.class) == a.float.first().map(|g| g.class));
        let of = compared.clone().count();
        (of > 0).then(|| (same.count(), of))
    }

    /// Right answers, of how many whose class is known.
    pub fn accuracy(&self) -> (usize, usize) {
        let known = self.answers.iter().filter_map(|a| a.right);
        known.fold((0, 0), |(r, n), right| (r + usize::from(right), n + 1))
    }
}

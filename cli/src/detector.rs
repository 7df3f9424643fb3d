//! `cnna run --boxes`: a program's outputs as boxes, and pictures with them drawn in.

use crate::boxes::{Detection, Suppression, decode_v4_tiny, decode_v8, suppress};
use anyhow::{Context, Result, bail, ensure};
use cnna_data::{Preprocess, draw_boxes};
use cnna_flow::Pictures;
use cnna_machine::layout::Shape;
use cnna_machine::num::dequantise;
use cnna_machine::program::ProgramMeta;
use serde::Serialize;
use std::path::PathBuf;

/// Which heads the outputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Head {
    /// One output, [4 + classes, boxes]: YOLOv8 and its successors as their exporter writes them.
    V8,
    /// Two outputs, [3 * (5 + classes), rows, columns], as their convolutions leave them.
    V4Tiny,
}

/// From outputs to boxes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Boxes")]
pub struct BoxArguments {
    /// Read the outputs as a detector's and print its boxes.
    #[arg(long, value_name = "HEAD", conflicts_with = "top")]
    pub boxes: Option<Head>,
    /// Least score of a box, 0 to 1.
    #[arg(long, default_value_t = 0.25, requires = "boxes", value_parser = share)]
    score: f64,
    /// Of boxes of a class that overlap by more than this only the best stays.
    #[arg(long, value_name = "IOU", default_value_t = 0.45, requires = "boxes", value_parser = share)]
    nms: f64,
    /// Instead lower their scores by exp(-IoU^2 / SIGMA), as Soft-NMS does; 0.5 is usual.
    #[arg(long, value_name = "SIGMA", requires = "boxes", conflicts_with = "nms", value_parser = share)]
    soft_nms: Option<f64>,
    /// A folder for the pictures with the boxes drawn in, as PNG.
    #[arg(long, value_name = "FOLDER", requires = "boxes")]
    draw: Option<PathBuf>,
}

/// A number above 0, at most 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(v) if v > 0.0 && v <= 1.0 => Ok(v),
        _ => Err(format!("`{text}` is not a number above 0 and at most 1")),
    }
}

/// The boxes of one image.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The image's file, or its number.
    pub image: String,
    /// Best first.
    pub boxes: Vec<Labelled>,
}

/// A box and its class's name.
#[derive(Clone, Debug, Serialize)]
pub struct Labelled {
    #[serde(flatten)]
    detection: Detection,
    label: String,
}

/// One output's place among an image's words.
struct Port {
    dims: Vec<usize>,
    offsets: Vec<usize>,
    words: usize,
    frac: i32,
}

/// The boxes of each image.
pub struct Detector {
    arguments: BoxArguments,
    head: Head,
    labels: Vec<String>,
    input: Shape,
    ports: Vec<Port>,
    names: Vec<(String, Option<PathBuf>)>,
    /// So far.
    pub found: Vec<Found>,
}

impl Detector {
    /// For a program of those heads. Errors: other outputs, `--draw` without pictures.
    pub fn new(
        arguments: &BoxArguments,
        head: Head,
        labels: Vec<String>,
        meta: &ProgramMeta,
        pictures: Option<&Pictures>,
    ) -> Result<Self> {
        let [input] = &meta.inputs[..] else {
            bail!(
                "--boxes is for programs with one input, this has {}",
                meta.inputs.len()
            );
        };
        ensure!(
            head != Head::V8 || meta.outputs.len() == 1,
            "--boxes v8 is for programs with one output, this has {}: export the model with its decoding",
            meta.outputs.len()
        );
        ensure!(
            arguments.draw.is_none() || pictures.is_some(),
            "--draw needs pictures as --input: an array has none to draw in"
        );
        let port = |p: &cnna_machine::program::PortInfo| Port {
            dims: p.array.dims.clone(),
            offsets: p.array.offsets().collect(),
            words: p.tensor.layout.shape.len(),
            frac: p.tensor.frac,
        };
        let detector = Detector {
            arguments: arguments.clone(),
            head,
            labels,
            input: input.tensor.layout.shape,
            ports: meta.outputs.iter().map(port).collect(),
            names: pictures.map(Pictures::names).unwrap_or_default(),
            found: Vec::new(),
        };
        // Shapes are known before anything runs.
        let nothing: usize = detector.ports.iter().map(|p| p.words).sum();
        detector.decode(&vec![0; nothing])?;
        Ok(detector)
    }

    /// All boxes of one image's words, unthinned.
    fn decode(&self, mut words: &[i16]) -> Result<Vec<Detection>> {
        let (mut all, least) = (Vec::new(), self.arguments.score);
        for p in &self.ports {
            let (mine, rest) = words.split_at(p.words);
            words = rest;
            let values: Vec<f64> = p
                .offsets
                .iter()
                .map(|&at| dequantise(mine[at], p.frac))
                .collect();
            all.extend(match self.head {
                Head::V8 => decode_v8(&values, &p.dims, least)?,
                Head::V4Tiny => decode_v4_tiny(&values, &p.dims, self.input.w, least)?,
            });
        }
        Ok(all)
    }

    /// Adds one image's words.
    pub fn push(&mut self, words: &[i16]) {
        let a = &self.arguments;
        let how = a
            .soft_nms
            .map_or(Suppression::Hard(a.nms), Suppression::Soft);
        // The shapes were checked.
        let all = self.decode(words).unwrap_or_default();
        let label = |c: usize| self.labels.get(c).cloned().unwrap_or_else(|| c.to_string());
        let boxes = suppress(all, how, a.score).into_iter().map(|d| Labelled {
            label: label(d.class),
            detection: d,
        });
        let i = self.found.len();
        let image = self.names.get(i).map(|n| n.0.clone());
        self.found.push(Found {
            image: image.unwrap_or_else(|| format!("image {i}")),
            boxes: boxes.collect(),
        });
    }

    /// Draws the boxes, where asked; returns a line of what it wrote. Errors: a picture that is not readable or writable.
    pub fn draw(&self, preprocess: &Preprocess) -> Result<String> {
        let Some(folder) = &self.arguments.draw else {
            return Ok(String::new());
        };
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let mut drawn = 0;
        for (i, (f, name)) in self.found.iter().zip(&self.names).enumerate() {
            let Some(picture) = &name.1 else { continue };
            let stem = picture.file_stem().unwrap_or_default().to_string_lossy();
            // Numbered: folders may hold files of the same name.
            let to = folder.join(format!("{i:04}-{stem}.png"));
            let boxes: Vec<_> = f
                .boxes
                .iter()
                .map(|b| (b.detection.corners, b.detection.class))
                .collect();
            draw_boxes(picture, &boxes, preprocess, self.input, &to)?;
            drawn += 1;
        }
        Ok(format!(
            "{drawn} picture(s) drawn in {}\n",
            folder.display()
        ))
    }

    /// For the screen.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for f in &self.found {
            text += &format!("{}: {} box(es)\n", f.image, f.boxes.len());
            for b in &f.boxes {
                // Plus 0: no -0 for people.
                let [l, t, r, d] = b.detection.corners.map(|v| v.round() + 0.0);
                text += &format!(
                    "  {} {:.2} from ({l}, {t}) to ({r}, {d})\n",
                    b.label, b.detection.score
                );
            }
        }
        text
    }
}

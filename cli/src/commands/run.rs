//! `cnna run`: a program on a device, images in, results out.

use super::JsonArguments;
use crate::detector::{BoxArguments, Detector, Found};
use crate::pictures::{Answer, Classifier, PictureArguments};
use crate::progress::Bar;
use anyhow::{Result, bail};
use cnna_data::{Preprocess, Samples};
use cnna_flow::devices::REFERENCE;
use cnna_flow::pictures::{Pictures, is_pictures};
use cnna_flow::{Session, devices, images, trace};
use cnna_host::report::Summary;
use cnna_host::tensor::{self, AllResults, Images};
use cnna_host::{files, signals};
use cnna_machine::program::{Program, ProgramMeta};
use cnna_quant::ptq::FileModel;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Arguments of `cnna run`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cnna run model.cnna --device reference --input x.npy -o y.npy
  cnna run model.cnna --device cycle --input x.npy -o y.npy --json run.json
  cnna run model.cnna --device cycle --input x.npy --images 1 -o y.npy --trace t.json   # then open t.json in Perfetto
  cnna run model.cnna --device rtl --input x.npy --images 3 -o y.npy --raw
  cnna run model.cnna --device uio0 --input x.npy -o y.npy
  cnna run model.cnna --device cycle --input photo.jpg --top 5 --labels imagenet.txt
  cnna run yolo.cnna --device cycle --input street.jpg --boxes v8 --labels coco.txt --draw found
  cnna run model.cnna --device reference --input photos --top 1      # class folders: prints how many are right
  cnna run model.cnna --device cycle --input photos --top 1 --float float.onnx     # and what the float network says

Columns, in cycles of the layer: busy (the array takes a step), wait load (it waits for activations), wait weigh (for weights),
wait store (for the store). MAC/*: multiply-accumulates per DSP and cycle; saturated: results that saturation changed.")]
pub struct Run {
    /// A program file written by `cnna compile`.
    program: PathBuf,
    /// reference, cycle, rtl, a UIO device (uio0), or the path of a file served by `cnna serve`.
    #[arg(long)]
    device: String,
    /// Images: npy of the model's shape, alone or as a batch, numbers of any type; with several inputs NAME=FILE for each.
    /// Or PNG and JPEG pictures, a folder of them or of class folders, a data set.
    #[arg(long, required = true, value_name = "FILE", num_args = 1..)]
    input: Vec<String>,
    /// Only the first images of the batch.
    #[arg(long, value_name = "N", value_parser = super::images)]
    images: Option<usize>,
    /// Results: npy, (N, the model's shape), float32; with several outputs NAME=FILE for each.
    #[arg(short, long, required_unless_present_any = ["top", "boxes"], value_name = "FILE")]
    output: Vec<String>,
    /// Print the so many best classes of each image.
    #[arg(long, value_name = "N", value_parser = super::images)]
    top: Option<usize>,
    /// Names of the classes, one a line.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Print beside them what the float model says, the ONNX file that the program was made of.
    #[arg(long, value_name = "MODEL", requires = "top", conflicts_with = "raw")]
    float: Option<PathBuf>,
    #[command(flatten)]
    detection: BoxArguments,
    #[command(flatten)]
    pictures: PictureArguments,
    /// Take int16 and int8 inputs as the format's words, and write words (int16) instead of float32.
    #[arg(long)]
    raw: bool,
    /// Also write a timeline of all queues and AXI ports, for Perfetto (device cycle only).
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Seconds without progress after which a device counts as hung.
    #[arg(long, default_value_t = 10)]
    timeout: u64,
    #[command(flatten)]
    json: JsonArguments,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    summary: &'a Summary<'a>,
    /// With --top.
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<&'a [Answer]>,
    /// Images whose best class is that of their folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    right: Option<usize>,
    /// Images whose folder names a class.
    #[serde(skip_serializing_if = "Option::is_none")]
    labelled: Option<usize>,
    /// Images whose best class is the float network's, with --float.
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as_float: Option<usize>,
    /// With --boxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    boxes: Option<&'a [Found]>,
}

impl Run {
    /// Runs the batch and writes the results.
    pub fn run(self) -> Result<ExitCode> {
        if self.trace.is_some() && self.device != "cycle" {
            bail!(
                "--trace needs --device cycle: {} does not tell when its queues work",
                self.device
            );
        }
        let bytes = files::map_program(&self.program)?;
        let program = Program::parse(&self.program, &bytes)?;
        let meta = &program.meta;
        let pictured = self.input.iter().any(|i| is_pictures(i));
        let preprocess = self.pictures.over(meta, pictured)?;
        let input_files = match pictured {
            true => self.input.iter().map(PathBuf::from).collect(),
            false => tensor::port_files(&self.input, &meta.inputs, "input")?,
        };
        let output_files = match self.output.is_empty() {
            true => Vec::new(),
            false => tensor::port_files(&self.output, &meta.outputs, "output")?,
        };
        let mut inputs: Vec<&Path> = input_files.iter().map(PathBuf::as_path).collect();
        inputs.extend([self.program.as_path(), Path::new(&self.device)]);
        inputs.extend(self.labels.as_deref());
        inputs.extend(self.float.as_deref());
        let mut outputs: Vec<&Path> = output_files.iter().map(PathBuf::as_path).collect();
        outputs.extend(self.trace.as_deref());
        self.json.check_places(&inputs, &outputs)?;
        let labels = self
            .labels
            .as_deref()
            .map(cnna_data::read_labels)
            .transpose()?;
        let classifier = |pictures| {
            let labels = labels.clone().unwrap_or_default();
            self.top
                .map(|n| Classifier::new(n, labels, meta, pictures))
                .transpose()
        };
        let detector = |pictures| {
            let labels = labels.clone().unwrap_or_default();
            let new = |head| Detector::new(&self.detection, head, labels, meta, pictures);
            self.detection.boxes.map(new).transpose()
        };
        if labels.is_some() && self.top.is_none() && self.detection.boxes.is_none() {
            bail!("--labels names classes: give --top or --boxes with it");
        }
        let (mut images, mut classes, mut boxes): (Box<dyn Images>, _, _) = match pictured {
            true => {
                let pictures = Pictures::open(&input_files, meta, &preprocess, self.images)?;
                let classes = classifier(Some(&pictures))?;
                let boxes = detector(Some(&pictures))?;
                (Box::new(pictures), classes, boxes)
            }
            false => {
                let arrays = images::read(&input_files, meta, self.images, self.raw)?;
                (Box::new(arrays), classifier(None)?, detector(None)?)
            }
        };
        // Opened before work that takes minutes.
        let float = self
            .float
            .as_deref()
            .map(|f| self.float_network(f, &input_files, meta, &preprocess));
        let float = float.transpose()?;
        let images = &mut *images;
        let stop = signals::stop_flag()?;
        let session = Session {
            stop: &stop,
            progress: &Bar::new(),
            timeout: Duration::from_secs(self.timeout),
        };
        let mut results = match output_files.is_empty() {
            true => None,
            false => Some(AllResults::create(
                &output_files,
                meta,
                images.count(),
                self.raw,
            )?),
        };
        let sink = &mut |words: &[i16]| {
            classes.iter_mut().for_each(|c| c.push(words));
            boxes.iter_mut().for_each(|b| b.push(words));
            results.iter_mut().try_for_each(|r| r.push(words))
        };
        let report = match (self.device.as_str(), &self.trace) {
            ("cycle", Some(path)) => {
                let (report, timeline) = devices::run_recorded(&program, images, sink, &session)?;
                trace::write(path, &timeline, meta)?;
                report
            }
            (name, _) => devices::run(name, &program, images, sink, &session)?,
        };
        results.map_or(Ok(()), AllResults::finish)?;
        if let (Some(c), Some((model, samples))) = (&mut classes, &float) {
            c.compare(model, samples)?;
        }
        if images.clipped() > 0 {
            files::note(&format!(
                "warning: {} input numbers lie beyond the input's format and were clipped: are they of the range that the network was quantised for?",
                images.clipped()
            ));
        }
        let summary = Summary::new(&meta.name, &meta.board, &self.device, &report);
        let text = match self.device.as_str() {
            REFERENCE => format!(
                "{} image(s) by the reference model, {} results saturated",
                report.images, report.saturated
            ),
            _ => summary.table(meta.accelerator().dsps()),
        };
        let answers = classes.as_ref().map(|c| c.answers.as_slice());
        let text = classes.as_ref().map_or(String::new(), Classifier::text) + &text;
        let text = match &boxes {
            Some(b) => b.text() + &b.draw(&preprocess)? + &text,
            None => text,
        };
        let (right, of) = classes.as_ref().map_or((0, 0), Classifier::accuracy);
        let report = Report {
            summary: &summary,
            answers,
            right: (of > 0).then_some(right),
            labelled: (of > 0).then_some(of),
            boxes: boxes.as_ref().map(|b| b.found.as_slice()),
            same_as_float: classes.as_ref().and_then(|c| c.agreement()).map(|(n, _)| n),
        };
        self.json.report(&text, &report, &outputs)?;
        Ok(ExitCode::SUCCESS)
    }

    /// The float network and the images that it runs. Errors: several inputs, not readable, another network.
    fn float_network(
        &self,
        path: &Path,
        images: &[PathBuf],
        meta: &ProgramMeta,
        preprocess: &Preprocess,
    ) -> Result<(FileModel, Samples)> {
        let [port] = &meta.inputs[..] else {
            bail!(
                "--float is for programs with one input, this has {}",
                meta.inputs.len()
            );
        };
        let outputs = meta.outputs.iter().map(|p| &p.name[..]);
        let model = FileModel::open(path, [(&port.name[..], &port.array)], outputs)?;
        let shape = port.tensor.layout.shape;
        let samples = Samples::open(images, shape, &port.array, preprocess)?;
        Ok((model, samples))
    }
}

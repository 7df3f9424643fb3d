//! Models and the images that go with them.

use crate::error::{exception, explored};
use crate::program::json;
use crate::work::work;
use cnna_data::{Pixels, Wanted};
use cnna_explore::{Network, Request};
use cnna_flow::model::{CALIBRATION_IMAGES, Model, QuantiseReport, write_quantised};
use cnna_machine::num::Word;
use cnna_quant::ptq::{Calibration, Method, Narrow};
use pyo3::prelude::*;
use std::path::PathBuf;

/// Pictures, arrays and folders, and what becomes of their pixels; see `cnna.Images`.
#[pyclass(frozen, from_py_object, module = "cnna._native")]
#[derive(Clone)]
pub struct Images {
    /// The input's name where there are several, and a picture, array, folder or data set.
    pub paths: Vec<(Option<String>, PathBuf)>,
    bytes: Option<bool>,
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
    resize: Option<u32>,
    crop: Option<u32>,
    most: Option<usize>,
    method: Option<String>,
}

#[pymethods]
impl Images {
    #[new]
    #[allow(clippy::too_many_arguments)] // Each is one field of the public class.
    fn new(
        paths: Vec<(Option<String>, PathBuf)>,
        bytes: Option<bool>,
        mean: Option<Vec<f32>>,
        std: Option<Vec<f32>>,
        resize: Option<u32>,
        crop: Option<u32>,
        most: Option<usize>,
        method: Option<String>,
    ) -> Self {
        Images {
            paths,
            bytes,
            mean,
            std,
            resize,
            crop,
            most,
            method,
        }
    }
}

impl Images {
    /// From pixels to numbers, as far as the user says.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            pixels: self.bytes.map(|bytes| match bytes {
                true => Pixels::Bytes,
                false => Pixels::Unit,
            }),
            mean: self.mean.clone(),
            std: self.std.clone(),
            resize: self.resize,
            crop: self.crop,
        }
    }
}

/// The model of that name with its images. Errors: a method that is none.
pub fn model(py: Python<'_>, name: String, seed: u64, images: Images) -> PyResult<Model> {
    let method = match images.method.as_deref() {
        None => None,
        Some("max") => Some(Method::Max),
        Some("mse") => Some(Method::Mse),
        Some("percentile") => Some(Method::Percentile),
        Some(other) => {
            let message = format!("method `{other}`: use max, percentile or mse");
            return Err(exception(py, "ModelError", message));
        }
    };
    Ok(Model {
        name,
        seed,
        calibration: Calibration {
            preprocess: images.wanted(),
            most: images.most.unwrap_or(CALIBRATION_IMAGES),
            paths: images.paths,
        },
        method,
        narrow: Narrow::Off,
        per_channel: false,
    })
}

/// Quantises a model and writes it: `cnna quantize --json`'s report, the table as text, the notes.
#[pyfunction]
pub fn quantize(
    py: Python<'_>,
    name: String,
    output: PathBuf,
    word: u32,
    images: Images,
    progress: Option<Py<PyAny>>,
) -> PyResult<(String, String, Vec<String>)> {
    let word = Word::try_from(word).map_err(|e| exception(py, "ModelError", e))?;
    let model = model(py, name, 0, images)?;
    work(py, progress, 60.0, |session| {
        let front = model.quantised(word, session)?;
        write_quantised(
            &model.name,
            &front.graph,
            front.preprocess.as_ref(),
            &output,
        )?;
        let path = PathBuf::from(&model.name);
        let report = json(&QuantiseReport::new(&path, &output, &front));
        let table = front.quantised.as_ref();
        let table = table.map_or(String::new(), |q| q.table.text());
        Ok((report, table, front.notes))
    })
}

/// Plans and simulates machines for models and writes the page: `explore.json`.
#[pyfunction]
#[allow(clippy::too_many_arguments)] // Each is one keyword of the public function.
pub fn explore(
    py: Python<'_>,
    names: Vec<String>,
    board: String,
    set: Vec<(String, String)>,
    images: Images,
    seed: u64,
    vary: Vec<String>,
    machines: usize,
    output: PathBuf,
    progress: Option<Py<PyAny>>,
) -> PyResult<String> {
    let models = names
        .into_iter()
        .map(|name| model(py, name, seed, images.clone()))
        .collect::<PyResult<Vec<_>>>()?;
    work(py, progress, 60.0, |session| {
        let axes = cnna_explore::axes(&vary).map_err(explored)?;
        let board = cnna_flow::model::board(&board, &set)?;
        let mut networks = Vec::with_capacity(models.len());
        for m in &models {
            networks.push(Network {
                name: m.name.clone(),
                graph: m.network(board.accelerator.word, session)?.graph,
            });
        }
        let request = Request {
            networks: &networks,
            board: &board,
            axes: &axes,
            machines,
            seed,
        };
        let found = cnna_explore::explore(&request, session).map_err(explored)?;
        cnna_explore::write(&found, &output).map_err(explored)?;
        Ok(json(&found))
    })
}

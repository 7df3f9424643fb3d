//! A program in memory: compiled or opened once, run as often as wanted.

use crate::arrays::{Given, Results};
use crate::error::Failure;
use crate::model::{Images, model};
use crate::work::work;
use cnna_compile::Options;
use cnna_flow::arrays::Arrays;
use cnna_flow::compare::compare;
use cnna_flow::model::CompileReport;
use cnna_flow::{FlowError, Pictures, Session, Simulated, cost, devices, images, reference, trace};
use cnna_host::report::Summary;
use cnna_host::tensor::Images as _;
use cnna_host::{RunReport, files};
use cnna_machine::program::Program as Parsed;
use cnna_net::Graph;
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use self_cell::self_cell;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// The bytes of a program file.
pub enum Bytes {
    File(memmap2::Mmap),
    Memory(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Bytes::File(map) => map,
            Bytes::Memory(bytes) => bytes,
        }
    }
}

/// A program file's bytes and the name that errors give it.
pub struct Source {
    path: PathBuf,
    bytes: Bytes,
}

self_cell! {
    struct Cell {
        owner: Source,
        #[covariant]
        dependent: Parsed,
    }
}

/// A checked program with what its runs need again and again.
pub struct Shared {
    cell: Cell,
    graph: OnceLock<Graph>,
}

impl Shared {
    fn new(source: Source) -> Result<Self, FlowError> {
        let cell = Cell::try_new(source, |s| Parsed::parse(&s.path, &s.bytes))?;
        Ok(Shared {
            cell,
            graph: OnceLock::new(),
        })
    }

    /// The program.
    pub fn program(&self) -> &Parsed<'_> {
        self.cell.borrow_dependent()
    }

    /// The network in it, decoded once.
    fn graph(&self) -> Result<&Graph, FlowError> {
        if let Some(g) = self.graph.get() {
            return Ok(g);
        }
        let graph = reference::graph(self.program())?;
        Ok(self.graph.get_or_init(|| graph))
    }

    fn name(&self) -> String {
        self.cell.borrow_owner().path.display().to_string()
    }

    /// All `images` on a device: the results and the run's JSON, whose seconds include reading the images.
    fn run(
        &self,
        device: &str,
        images: &mut dyn cnna_host::tensor::Images,
        raw: bool,
        session: &Session<'_>,
    ) -> Result<(Results, String), Failure> {
        let program = self.program();
        let mut results = Results::new(&program.meta, images.count(), raw);
        let sink = &mut |words: &[i16]| {
            results.push(words);
            Ok(())
        };
        let begin = Instant::now();
        let report = match device {
            devices::REFERENCE => {
                reference::run_graph(self.graph()?, &program.meta, images, sink, session)?
            }
            name => devices::run_on(name, program, images, sink, session)?,
        };
        let seconds = begin.elapsed().as_secs_f64();
        let cost = cost_json(program, device, &report, images.clipped(), seconds);
        Ok((results, cost))
    }
}

/// What a run cost, as `cnna run --json` says it, and more.
#[derive(Serialize)]
struct Cost<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    /// Input numbers beyond the input's format.
    clipped: u64,
    /// From the first image's words to the last one's results.
    seconds: f64,
}

/// The JSON of a run.
pub fn cost_json(
    program: &Parsed<'_>,
    device: &str,
    report: &RunReport,
    clipped: u64,
    seconds: f64,
) -> String {
    json(&Cost {
        summary: Summary::new(&program.meta.name, &program.meta.board, device, report),
        clipped,
        seconds,
    })
}

/// Reports hold numbers and names only.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a report can be written as JSON")
}

/// A compiled network; see `cnna.Program`.
#[pyclass(frozen, module = "cnna._native")]
pub struct Program(pub Arc<Shared>);

/// Compiles a model for a board: the program, `cnna compile --json`'s report, and notes.
#[pyfunction]
#[pyo3(signature = (name, board, set, images, seed, options, tune, progress))]
#[allow(clippy::too_many_arguments)] // Each is one keyword of the public function.
pub fn compile(
    py: Python<'_>,
    name: String,
    board: String,
    set: Vec<(String, String)>,
    images: Images,
    seed: u64,
    options: (bool, bool, bool, bool, Option<usize>),
    tune: bool,
    progress: Option<Py<PyAny>>,
) -> PyResult<(Program, String, Vec<String>)> {
    let model = model(py, name, seed, images)?;
    let (winograd, fuse, host, keep, batch) = options;
    let options = Options {
        winograd,
        fuse,
        host,
        keep,
        batch: batch.unwrap_or(usize::MAX),
        ..Options::default()
    };
    let (program, report, notes) = work(py, progress, 60.0, |session| {
        let board = cnna_flow::model::board(&board, &set)?;
        let front = model.network_on(&board, &options, session)?;
        let compiled = match tune {
            true => model.tune(&front, &board, &options, session)?.0,
            false => model.compile(&front, &board, &options, session)?,
        };
        let path = PathBuf::from(format!("program of {}", model.name));
        let report = json(&CompileReport::new(&path, &compiled));
        let bytes = cnna_flow::program::bytes(&compiled, &front.graph)?;
        let shared = Shared::new(Source {
            path,
            bytes: Bytes::Memory(bytes),
        })?;
        Ok((shared, report, front.notes))
    })?;
    Ok((Program(Arc::new(program)), report, notes))
}

/// Opens a program file.
#[pyfunction]
pub fn open(py: Python<'_>, path: PathBuf) -> PyResult<Program> {
    let shared = work(py, None, 60.0, |_| {
        let bytes = Bytes::File(files::map_program(&path)?);
        Ok(Shared::new(Source { path, bytes })?)
    })?;
    Ok(Program(Arc::new(shared)))
}

#[pymethods]
impl Program {
    /// Everything but the bytes, as JSON.
    fn meta(&self) -> String {
        json(&self.0.program().meta)
    }

    /// Identity of the machine, 16 hexadecimal digits.
    fn config(&self) -> String {
        format!("{:016x}", self.0.program().meta.accelerator().hash())
    }

    /// Writes the program file.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let bytes = &self.0.cell.borrow_owner().bytes;
        work(py, None, 60.0, |_| {
            Ok(files::write_whole(&path, |w| w.write_all(bytes))?)
        })
    }

    /// Runs arrays, one an input: the outputs' arrays (N, ...) and the run's JSON.
    #[pyo3(signature = (arrays, device, raw, timeout, progress))]
    fn run(
        &self,
        py: Python<'_>,
        arrays: Vec<Bound<'_, PyUntypedArray>>,
        device: &str,
        raw: bool,
        timeout: f64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Vec<Py<PyAny>>, String)> {
        let given = Given::all(&arrays)?;
        let arrays = Given::arrays(&given)?;
        let shared = &*self.0;
        let (results, cost) = work(py, progress, timeout, |session| {
            let mut images = Arrays::new(arrays, &shared.program().meta, raw)?;
            shared.run(device, &mut images, raw, session)
        })?;
        Ok((results.arrays(py)?, cost))
    }

    /// Runs pictures, folders of them or a data set: the outputs' arrays, the run's JSON, each image's name and class folder.
    #[pyo3(signature = (images, device, most, raw, timeout, progress))]
    #[allow(clippy::type_complexity, clippy::too_many_arguments)] // A tuple is what Python unpacks.
    fn run_pictures(
        &self,
        py: Python<'_>,
        images: Images,
        device: &str,
        most: Option<usize>,
        raw: bool,
        timeout: f64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Vec<Py<PyAny>>, String, Vec<(String, Option<String>)>)> {
        let shared = &*self.0;
        let (results, cost, names) = work(py, progress, timeout, |session| {
            let program = shared.program();
            let paths: Vec<PathBuf> = images.paths.iter().map(|(_, p)| p.clone()).collect();
            let stored = cnna_flow::model::stored(&program.meta)?;
            let preprocess = images.wanted().over(stored.as_ref());
            let mut pictures = Pictures::open(&paths, &program.meta, &preprocess, most)?;
            let (results, cost) = shared.run(device, &mut pictures, raw, session)?;
            let samples = pictures.samples();
            let names = (0..pictures.count())
                .map(|i| (samples.name(i), samples.class(i).map(str::to_owned)));
            Ok((results, cost, names.collect()))
        })?;
        Ok((results.arrays(py)?, cost, names))
    }

    /// Runs one image on the cycle simulator and writes the timeline.
    fn trace(
        &self,
        py: Python<'_>,
        path: PathBuf,
        seed: u64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let shared = &*self.0;
        work(py, progress, 60.0, |session| {
            let program = shared.program();
            let mut images = images::read_or_random(&[], &program.meta, Some(1), 1, seed)?;
            let sink = &mut |_: &[i16]| Ok(());
            let (_, timeline) = devices::run_recorded(program, &mut *images, sink, session)?;
            Ok(trace::write(&path, &timeline, &program.meta)?)
        })
    }

    /// Compares engines with the reference on arrays, or on random words where there is none: `cnna check --json`'s report,
    /// and the first difference in words.
    #[pyo3(signature = (arrays, count, seed, engines, timeout, progress))]
    #[allow(clippy::too_many_arguments)] // Each is one keyword of the public method.
    fn check(
        &self,
        py: Python<'_>,
        arrays: Vec<Bound<'_, PyUntypedArray>>,
        count: Option<usize>,
        seed: u64,
        engines: Vec<String>,
        timeout: f64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(String, Option<String>)> {
        let given = Given::all(&arrays)?;
        let arrays = Given::arrays(&given)?;
        let engines: Vec<Simulated> = engines.iter().filter_map(|e| Simulated::named(e)).collect();
        let shared = &*self.0;
        work(py, progress, timeout, |session| {
            let program = shared.program();
            let meta = &program.meta;
            let every_stream = meta.streams.iter().map(|s| s.images).sum();
            let mut images: Box<dyn cnna_host::tensor::Images> = match arrays.is_empty() {
                true => images::read_or_random(&[], meta, count, every_stream, seed)?,
                false => Box::new(Arrays::new(arrays, meta, false)?),
            };
            let report = compare(program, &mut *images, &engines, session)?;
            let difference = report.difference.as_ref().map(ToString::to_string);
            Ok((json(&report), difference))
        })
    }

    /// Runs one image and reports what it cost: JSON, the page, the short page, the headline.
    #[pyo3(signature = (arrays, device, image, seed, quantisation, timeout, progress))]
    #[allow(clippy::too_many_arguments)] // Each is one keyword of the public method.
    fn report(
        &self,
        py: Python<'_>,
        arrays: Vec<Bound<'_, PyUntypedArray>>,
        device: &str,
        image: &str,
        seed: u64,
        quantisation: Option<String>,
        timeout: f64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(String, String, String, String)> {
        let given = Given::all(&arrays)?;
        let arrays = Given::arrays(&given)?;
        let shared = &*self.0;
        work(py, progress, timeout, |session| {
            let program = shared.program();
            let name = shared.name();
            let mut images: Box<dyn cnna_host::tensor::Images> = match arrays.is_empty() {
                true => images::read_or_random(&[], &program.meta, Some(1), 1, seed)?,
                false => Box::new(Arrays::new(arrays, &program.meta, false)?),
            };
            let mut report = cost::measure(&name, device, program, &mut *images, image, session)?;
            if let Some(table) = quantisation {
                let table = cost::quantisation("quantisation", table.as_bytes(), program)?;
                report.quantisation = Some(table);
            }
            let drawn = |page: Result<String, cnna_report::ReportError>| {
                page.map_err(|source| FlowError::Report {
                    program: shared.name(),
                    source,
                })
            };
            Ok((
                json(&report),
                drawn(cnna_report::page(&report))?,
                drawn(cnna_report::summary(&report))?,
                report.headline(),
            ))
        })
    }

    /// The network for Graphviz, each node with the mode that runs it.
    fn dot(&self, py: Python<'_>) -> PyResult<String> {
        work(py, None, 60.0, |_| {
            Ok(cnna_flow::program::drawing(self.0.program())?)
        })
    }

    /// The network as QDQ ONNX.
    fn save_onnx(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        work(py, None, 60.0, |_| {
            let (name, graph) = (self.0.name(), self.0.graph()?);
            let stored = cnna_flow::model::stored(&self.0.program().meta)?;
            Ok(cnna_flow::model::write_quantised(
                &name,
                graph,
                stored.as_ref(),
                &path,
            )?)
        })
    }
}

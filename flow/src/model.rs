//! From what a user names a network by to a program: a file or a zoo network, quantised where it is float, compiled.

use crate::error::FlowError;
use crate::progress::Session;
use crate::tune::{TuneError, compile_fastest};
use cnna_compile::{CompileError, CompiledProgram, Options, compile, for_board};
use cnna_data::{DataError, Preprocess};
use cnna_host::HostError;
use cnna_machine::Board;
use cnna_machine::num::Word;
use cnna_machine::program::{ProgramMeta, Stream};
use cnna_net::settle::maxima_before_concatenations;
use cnna_net::{Graph, zoo};
use cnna_quant::ptq::{
    Calibration, Front, Method, Narrow, Options as Ptq, Table, load_or_quantise,
};
use serde::Serialize;
use std::path::Path;

/// Calibration images used when a caller has no reason for another number: ranges change little beyond it.
pub const CALIBRATION_IMAGES: usize = 64;

/// A network as a user names it.
#[derive(Clone, Debug)]
pub struct Model {
    /// An ONNX file, or `zoo:NAME`.
    pub name: String,
    /// Seed of a zoo network's weights.
    pub seed: u64,
    /// Images for a float model.
    pub calibration: Calibration,
    /// How their ranges become formats.
    pub method: Option<Method>,
    /// Layers whose weights have 8 bits.
    pub narrow: Narrow,
    /// A weight scale for each output channel.
    pub per_channel: bool,
}

impl Model {
    /// Without calibration images: a quantised file, or a zoo network of that seed.
    pub fn new(name: &str, seed: u64) -> Self {
        Model {
            name: name.into(),
            seed,
            calibration: Calibration {
                most: CALIBRATION_IMAGES,
                ..Calibration::default()
            },
            method: None,
            narrow: Narrow::Off,
            per_channel: false,
        }
    }

    /// The file as a graph of integers, quantised with words of that width where it is float.
    ///
    /// Errors: named by the model; as [`load_or_quantise`].
    pub fn quantised(&self, word: Word, session: &Session<'_>) -> Result<Front, FlowError> {
        let options = Ptq {
            word,
            method: self.method,
            narrow: self.narrow,
            per_channel: self.per_channel,
        };
        let progress = session.progress;
        let step = |done, all| {
            if done == 0 {
                progress.begin("calibrating", Some(all as u64), "images");
            }
            progress.at(done as u64);
            if done == all {
                progress.begin("comparing with float", None, "");
            }
        };
        let path = Path::new(&self.name);
        let front = load_or_quantise(path, &self.calibration, &options, step);
        progress.end();
        front.map_err(|source| FlowError::Quantise {
            model: self.name.clone(),
            source: Box::new(source),
        })
    }

    /// The network in words of a board's width.
    ///
    /// Errors: not readable, no such zoo network, float without images, words of another width.
    pub fn network(&self, word: Word, session: &Session<'_>) -> Result<Front, FlowError> {
        let mut front = match zoo::is_zoo(&self.name) {
            true => Front {
                graph: zoo::network(&self.name, self.seed, word)?,
                notes: Vec::new(),
                quantised: None,
                preprocess: None,
            },
            false => self.quantised(word, session)?,
        };
        if front.graph.word != word {
            return Err(FlowError::Words {
                model: self.name.clone(),
                model_bits: front.graph.word.bits(),
                board_bits: word.bits(),
            });
        }
        maxima_before_concatenations(&mut front.graph);
        Ok(front)
    }

    /// The same as a board's program runs it best, see [`for_board`]. Errors: also the compiler's.
    pub fn network_on(
        &self,
        board: &Board,
        options: &Options,
        session: &Session<'_>,
    ) -> Result<Front, FlowError> {
        let mut front = self.network(board.accelerator.word, session)?;
        let written = for_board(&front.graph, board, options);
        if let Some(graph) = written.map_err(|source| self.refused(board, source))? {
            front.graph = graph;
        }
        Ok(front)
    }

    /// The network's program for a board, with how pictures become its input. Errors: named by model and board; as [`compile`].
    pub fn compile<'g>(
        &self,
        front: &'g Front,
        board: &Board,
        options: &Options,
        session: &Session<'_>,
    ) -> Result<CompiledProgram<'g>, FlowError> {
        let progress = session.progress;
        progress.begin(&format!("compiling {}", self.name), None, "");
        let compiled = compile(&front.graph, board, options);
        progress.end();
        let refused = |source| self.refused(board, source);
        Ok(with_pictures(front, compiled.map_err(refused)?))
    }

    /// The same, of several plans the one that is the fastest in the simulator, with its cycles. Errors: also the simulator's, and
    /// the user's wish to stop.
    pub fn tune<'g>(
        &self,
        front: &'g Front,
        board: &Board,
        options: &Options,
        session: &Session<'_>,
    ) -> Result<(CompiledProgram<'g>, u64), FlowError> {
        match compile_fastest(&front.graph, board, options, session) {
            Ok((program, cycles)) => Ok((with_pictures(front, program), cycles)),
            Err(TuneError::Compile(source)) => Err(self.refused(board, source)),
            Err(TuneError::Simulate(HostError::Interrupted)) => Err(HostError::Interrupted.into()),
            Err(TuneError::Simulate(source)) => Err(FlowError::Tune {
                model: self.name.clone(),
                board: board.name.clone(),
                source: Box::new(source),
            }),
        }
    }

    fn refused(&self, board: &Board, source: CompileError) -> FlowError {
        FlowError::Compile {
            model: self.name.clone(),
            board: board.name.clone(),
            source: Box::new(source),
        }
    }
}

/// The program, with how pictures become its input.
fn with_pictures<'g>(front: &Front, mut compiled: CompiledProgram<'g>) -> CompiledProgram<'g> {
    if let Some(p) = &front.preprocess {
        let metadata = &mut compiled.meta.metadata;
        metadata.insert(Preprocess::KEY.into(), p.to_text());
    }
    compiled
}

/// A board by name or file with keys overridden, refused when its chip cannot hold it. Errors: see [`Board::load`] and
/// [`Board::check_fit`].
pub fn board(name: &str, set: &[(String, String)]) -> Result<Board, FlowError> {
    let board = Board::load(name, set)?;
    board.check_fit()?;
    Ok(board)
}

/// How pictures become a program's input, where it says so. Errors: damaged metadata.
pub fn stored(meta: &ProgramMeta) -> Result<Option<Preprocess>, DataError> {
    Preprocess::of(meta.metadata.iter().map(|(k, v)| (&k[..], &v[..])))
}

/// Writes a quantised graph, of the model of that name, as ONNX, with how pictures become its input. Errors: an operator
/// without ONNX nodes; the file.
pub fn write_quantised(
    name: &str,
    graph: &Graph,
    preprocess: Option<&Preprocess>,
    output: &Path,
) -> Result<(), FlowError> {
    let mut model = cnna_onnx::export(graph).map_err(|source| FlowError::Export {
        model: name.into(),
        source,
    })?;
    if let Some(p) = preprocess {
        model.metadata.push((Preprocess::KEY.into(), p.to_text()));
    }
    Ok(cnna_onnx::write(output, &model)?)
}

/// How a model became integers, for programs.
#[derive(Serialize)]
pub struct QuantiseReport<'a> {
    model: &'a Path,
    output: &'a Path,
    /// Bits of a word.
    pub word: u32,
    notes: &'a [String],
    method: Option<Method>,
    bias_corrected: Option<bool>,
    channels_equalised: Option<bool>,
    calibration_images: Option<usize>,
    table: Option<&'a Table>,
}

impl<'a> QuantiseReport<'a> {
    /// Of the model read from one path and written to the other.
    pub fn new(model: &'a Path, output: &'a Path, front: &'a Front) -> Self {
        let q = front.quantised.as_ref();
        QuantiseReport {
            model,
            output,
            word: front.graph.word.bits(),
            notes: &front.notes,
            method: q.and_then(|q| q.method),
            bias_corrected: q.map(|q| q.corrected),
            channels_equalised: q.map(|q| q.equalised),
            calibration_images: q.map(|q| q.images),
            table: q.map(|q| &q.table),
        }
    }
}

/// What a compiled program is, for programs.
#[derive(Serialize)]
pub struct CompileReport<'a> {
    program: &'a Path,
    /// The network's name.
    pub network: &'a str,
    /// The board's name.
    pub board: &'a str,
    config: String,
    /// Layers of the program.
    pub layers: usize,
    streams: &'a [Stream],
    image_bytes: usize,
    window_bytes: usize,
}

impl<'a> CompileReport<'a> {
    /// Of the program in the file `program`.
    pub fn new(program: &'a Path, compiled: &'a CompiledProgram<'_>) -> Self {
        let meta = &compiled.meta;
        CompileReport {
            program,
            network: &meta.name,
            board: &meta.board.name,
            config: format!("{:016x}", meta.accelerator().hash()),
            layers: meta.layers.len(),
            streams: &meta.streams,
            image_bytes: compiled.image.len(),
            window_bytes: meta.window_bytes,
        }
    }
}

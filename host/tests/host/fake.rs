//! A tiny engine that copies the input to the outputs after some cycles, or misbehaves on demand; and a program for it.

use cnna_host::serve::Server;
use cnna_host::{HostError, SharedFile};
use cnna_machine::config::Board;
use cnna_machine::engine::{Engine, EngineError};
use cnna_machine::layout::{ArrayLayout, Shape, TensorLayout};
use cnna_machine::program::{self, LayerInfo, Mode, PortInfo, ProgramMeta, Stream, TensorInfo};
use cnna_machine::regs::{self, Reg};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What the engine does with a start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Answers after this many cycles.
    After(u64),
    /// Stays busy for ever, without progress.
    Hang,
    /// Answers after this time, without moving a counter.
    Silent(std::time::Duration),
    /// Stops with this error code and head word.
    Error(u8, u32),
    /// Fails in a way that no register tells.
    Fail,
}

pub const WINDOW: usize = 64 * 1024;
const SHAPE: Shape = Shape { c: 2, h: 3, w: 5 };
/// The marks' records that the engine writes, in the order of `counters::REGISTERS`.
pub const RECORDS: [[u32; 8]; 2] = [
    [100, 3, 60, 5, 6, 7, 40, 20],
    [350, 4, 200, 9, 9, 9, 90, 60],
];

pub struct Fake {
    pub registers: BTreeMap<usize, u32>,
    /// Behaviour of the first starts; later ones behave like the last.
    script: Vec<Start>,
    left: Option<u64>,
    begin: Option<std::time::Instant>,
    meta: ProgramMeta,
}

impl Fake {
    pub fn new(script: &[Start]) -> Self {
        Fake::of(meta(), script)
    }

    /// For another program.
    pub fn of(meta: ProgramMeta, script: &[Start]) -> Self {
        let hash = meta.accelerator().hash();
        let registers = [
            (regs::ID, regs::ID_VALUE),
            (regs::VERSION, regs::VERSION_VALUE),
            (regs::HASH_LO, hash as u32),
            (regs::HASH_HI, (hash >> 32) as u32),
        ];
        Fake {
            registers: registers.map(|(r, v)| (r.offset, v)).into(),
            script: script.to_vec(),
            left: None,
            begin: None,
            meta,
        }
    }

    pub fn with(mut self, reg: Reg, value: u32) -> Self {
        self.registers.insert(reg.offset, value);
        self
    }

    fn set(&mut self, reg: Reg, value: u32) {
        self.registers.insert(reg.offset, value);
    }

    fn finish(&mut self, status: u32) {
        self.left = None;
        if self.script.len() > 1 {
            self.script.remove(0);
        }
        self.set(regs::STATUS, status);
        let start = self.read(regs::START);
        self.set(regs::DONE, start);
    }
}

impl Engine for Fake {
    fn read(&mut self, reg: Reg) -> u32 {
        self.registers.get(&reg.offset).copied().unwrap_or(0)
    }

    fn write(&mut self, reg: Reg, value: u32) {
        self.set(reg, value);
        if reg == regs::CONTROL && value & 1 == 1 {
            if self.left.is_some() {
                // A reset in the middle of a run; START stays, as in the hardware.
                self.finish(0);
            }
            self.set(regs::DONE, 0);
            self.set(regs::STATUS, regs::STATUS_RESET_DONE);
        }
    }

    fn advance(&mut self, window: &mut [u8], cycles: u64) -> Result<bool, EngineError> {
        if self.read(regs::CONTROL) & 1 == 1 || self.read(regs::START) == self.read(regs::DONE) {
            return Ok(false);
        }
        let program = [regs::MEM_SIZE, regs::PROG_OFFSET, regs::PROG_COUNT].map(|r| self.read(r));
        let [size, offset, count] = program.map(|v| v as usize);
        assert_eq!(size, self.meta.window_bytes, "registers at the start");
        let streams = self.meta.streams.iter();
        let (images, segment) = streams
            .filter_map(|s| {
                let segment = s.segments().position(|at| at == (offset, count))?;
                Some((s.images, segment))
            })
            .next()
            .expect("the commands at the start are those of a stream's segment");
        self.set(regs::STATUS, regs::STATUS_BUSY);
        let after = match self.script[0] {
            Start::Hang => {
                self.left = Some(0);
                let now = self.read(regs::CYCLES);
                self.set(regs::CYCLES, now.wrapping_add(cycles as u32));
                return Ok(true);
            }
            Start::Fail => {
                return Err(EngineError {
                    engine: "fake",
                    message: "broke down".into(),
                });
            }
            Start::Error(code, head) => {
                self.set(regs::ERROR_INFO, head);
                self.finish(u32::from(code) << 8);
                return Ok(false);
            }
            Start::Silent(time) => {
                let begin = *self.begin.get_or_insert_with(std::time::Instant::now);
                if begin.elapsed() < time {
                    // Slices grow with every quick one.
                    std::thread::sleep(std::time::Duration::from_millis(6));
                    return Ok(true);
                }
                0
            }
            Start::After(n) => n,
        };
        let left = self.left.unwrap_or(after);
        let passed = self.read(regs::BUSY).wrapping_add(cycles as u32);
        self.set(regs::BUSY, passed);
        if left > cycles {
            self.left = Some(left - cycles);
            return Ok(true);
        }
        let meta = &self.meta;
        // After a pause the machine reads what the host made of it.
        let host = meta.host.iter().rfind(|h| h.after == segment);
        let input = host.map_or(&meta.inputs[0].tensor, |h| &h.output);
        let layers = meta.layers.iter().zip(RECORDS);
        for (layer, record) in layers.filter(|(l, _)| l.segment == segment) {
            let bytes: Vec<u8> = record.iter().flat_map(|v| v.to_le_bytes()).collect();
            window[layer.record..][..bytes.len()].copy_from_slice(&bytes);
            for n in 0..images {
                let words = input.layout.unpack(&window[meta.offset(input, n)..]);
                let output = &mut window[meta.offset(&layer.output, n)..];
                layer.output.layout.pack(&words, output);
            }
        }
        self.set(regs::CYCLES, 360);
        self.set(regs::SATURATED, 4);
        self.finish(0);
        Ok(false)
    }
}

fn board() -> Board {
    Board::load("ultra96", &[]).unwrap()
}

/// Images that the program's second stream runs.
pub const BATCH: usize = 3;

/// Two layers that pass their input on.
pub fn meta() -> ProgramMeta {
    let board = board();
    let tensor = |offset, frac| TensorInfo {
        offset,
        layout: TensorLayout::new(SHAPE, &board.accelerator),
        frac,
    };
    let port = |name: &str, offset| PortInfo {
        name: name.into(),
        array: ArrayLayout::plain(SHAPE),
        tensor: tensor(offset, 8),
    };
    let layer = |i: usize| LayerInfo {
        name: format!("pool{i}"),
        nodes: vec![i],
        mode: Mode::Pool,
        macs: 1000,
        input: SHAPE,
        output: tensor(8192 + i * 4096, 8),
        inner: vec![],
        lasting: true,
        segment: 0,
        record: 2048 + i * 64,
    };
    let stream = |images, commands_offset| Stream {
        images,
        commands_offset,
        commands: 7,
        breaks: vec![],
        estimated_cycles: 0,
    };
    ProgramMeta {
        name: "identity".into(),
        window_bytes: 48 * 1024,
        image_pitch: 12 * 1024,
        streams: vec![stream(1, 64), stream(BATCH, 128)],
        inputs: vec![port("x", 4096)],
        outputs: vec![port("y", 8192 + 4096)],
        layers: vec![layer(0), layer(1)],
        host: vec![],
        metadata: Default::default(),
        board: board.clone(),
    }
}

/// Writes the program file and returns its path. The runtime never reads the network.
pub fn write_program(folder: &Path, meta: &ProgramMeta) -> PathBuf {
    let image: Vec<u8> = (0..600).map(|i| i as u8).collect();
    let path = folder.join("identity.cnna");
    program::write_to(
        std::fs::File::create(&path).unwrap(),
        meta,
        &mut std::iter::once(image.into()),
        b"{}",
        &mut std::iter::empty(),
    )
    .unwrap();
    path
}

/// One image whose words are all different.
pub fn image(seed: i16) -> Vec<i16> {
    (0..SHAPE.len() as i16).map(|i| i * 7 - 90 + seed).collect()
}

/// Serves `engine` at `path` while `host` runs. Returns the server's result too.
pub fn serving<T>(
    path: &Path,
    mut engine: Fake,
    host: impl FnOnce() -> T,
) -> (T, Result<(), HostError>) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let server = scope.spawn({
            let stop = &stop;
            move || {
                let server = Server::new(path, WINDOW, &mut engine)?;
                ready.send(()).unwrap();
                server.run(stop)
            }
        });
        is_ready.recv().unwrap();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(host));
        stop.store(true, Ordering::SeqCst);
        let served = server.join().unwrap();
        match result {
            Ok(r) => (r, served),
            Err(p) => std::panic::resume_unwind(p),
        }
    })
}

/// A served engine, an opened device and a written program, handed to `host`.
pub fn with_device<T>(engine: Fake, host: impl FnOnce(&mut SharedFile, &Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let program = write_program(folder.path(), &engine.meta);
    let path = folder.path().join("device");
    let (result, served) = serving(&path, engine, || {
        host(&mut SharedFile::open(&path).unwrap(), &program)
    });
    served.unwrap();
    assert!(!path.exists(), "the device file goes with its server");
    result
}

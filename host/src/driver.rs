//! Runs programs on any device: identity first, then memory, then start, wait, read.

use crate::batch::{Staged, no_stream};
use crate::device::Device;
use crate::error::HostError;
use crate::hang::HangDetector;
use crate::pace::Pace;
use crate::report::RunReport;
use cnna_machine::counters::{Counters, RECORD_BYTES};
use cnna_machine::isa::{COMMAND_WORDS, Head, Queue};
use cnna_machine::layout::put_row;
use cnna_machine::program::{Program, ProgramMeta, TensorInfo};
use cnna_machine::regs::{self, DeviceError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How patient the driver is.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Longest time without progress: none of the counters of work moves, though far more cycles pass than the program's
    /// estimate (a simulator may be slow), or time itself stands still.
    pub timeout: Duration,
    /// Becomes true when the user wants to stop; the driver then resets the device.
    pub stop: Option<&'a AtomicBool>,
    /// Told now and then while a program runs: cycles so far.
    pub watch: Option<&'a dyn Fn(u64)>,
    /// Computes a program's host steps; without it such programs are refused.
    pub host: Option<&'a dyn HostSteps>,
}

/// Computes what a program leaves to the host.
pub trait HostSteps {
    /// The words of step number `step` of the program, [channel][row][column], from its inputs'. Errors: it cannot.
    fn run(&self, step: usize, inputs: &[Vec<i16>]) -> Result<Vec<i16>, HostError>;
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            timeout: Duration::from_secs(10),
            stop: None,
            watch: None,
            host: None,
        }
    }
}

/// Longest pause between two looks at a running device.
const LOOK: Duration = Duration::from_millis(1);

/// Whether `STATUS` says that the device, told to reset, uses the memory no more.
pub(crate) fn is_reset(status: u32) -> bool {
    const STATES: u32 = regs::STATUS_BUSY | regs::STATUS_IN_FLIGHT | regs::STATUS_RESET_DONE;
    status & STATES == regs::STATUS_RESET_DONE
}

/// A device that has been recognised.
pub struct Driver<'a> {
    pub(crate) device: &'a mut dyn Device,
    options: Options<'a>,
}

impl<'a> Driver<'a> {
    /// Recognises the device. Errors: its ID or version is another.
    pub fn new(device: &'a mut dyn Device, options: Options<'a>) -> Result<Self, HostError> {
        device.alive()?;
        let found = device.read(regs::ID);
        if found != regs::ID_VALUE {
            return Err(HostError::WrongId { found });
        }
        let found = device.read(regs::VERSION);
        if found != regs::VERSION_VALUE {
            return Err(HostError::WrongVersion { found });
        }
        Ok(Driver { device, options })
    }

    /// The device.
    pub fn device(&self) -> &dyn Device {
        self.device
    }

    /// Identity of the device's configuration (`Accelerator::hash`).
    pub fn config_hash(&self) -> u64 {
        u64::from(self.device.read(regs::HASH_HI)) << 32
            | u64::from(self.device.read(regs::HASH_LO))
    }

    /// Stops whatever runs and leaves the device idle: it ends the transfers under way, resets itself and says so.
    /// Errors: transfers never end, or the server is gone.
    pub fn reset(&mut self) -> Result<(), HostError> {
        self.device.write(regs::CONTROL, 1)?;
        let (pace, begin) = (Pace::new(), Instant::now());
        while !is_reset(self.device.read(regs::STATUS)) {
            self.device.alive()?;
            if begin.elapsed() > self.options.timeout {
                return Err(self.timeout(begin.elapsed(), "the device resets"));
            }
            pace.rest(LOOK);
        }
        // Without this the interrupted program would start again at the end of the reset.
        let done = self.device.read(regs::DONE);
        self.device.write(regs::START, done)?;
        self.device.write(regs::CONTROL, 0)
    }

    /// Checks that `program` fits the device, ends what an interrupted host left running, and copies the image.
    ///
    /// Errors: another configuration, a window that is too small, a reset that fails.
    pub fn load<'p>(mut self, program: &'p Program<'_>) -> Result<Loaded<'a, 'p>, HostError> {
        let meta = &program.meta;
        if let (Some(_), None) = (meta.host.first(), self.options.host) {
            return Err(HostError::HostSteps {
                steps: meta
                    .host
                    .iter()
                    .map(|h| format!("{} ({})", h.name, h.operator))
                    .collect(),
            });
        }
        let (device, wanted) = (self.config_hash(), meta.accelerator().hash());
        if device != wanted {
            return Err(HostError::WrongHash {
                device,
                program: wanted,
                board: meta.board.name.clone(),
            });
        }
        let have = self.device.window_bytes();
        if meta.window_bytes > have {
            return Err(HostError::WindowTooSmall {
                need: meta.window_bytes,
                have,
                remedy: self.device.window_remedy(meta.window_bytes),
            });
        }
        let base = self.device.window_base();
        if base % 4096 != 0 {
            return Err(HostError::WindowAddress { base });
        }
        if !self.device.at_rest() || self.device.read(regs::CONTROL) != 0 {
            self.reset()?;
        }
        self.device.copy_in(0, program.image)?;
        self.device
            .write(regs::MEM_SIZE, narrow(meta.window_bytes))?;
        Ok(Loaded {
            driver: self,
            meta,
            image: program.image,
            copies: 1,
            at: 0,
        })
    }

    fn timeout(&self, waited: Duration, waiting_for: &'static str) -> HostError {
        HostError::Timeout {
            waited,
            waiting_for,
            registers: self.device.registers(),
        }
    }

    pub(crate) fn stop_requested(&self) -> bool {
        self.options.stop.is_some_and(|s| s.load(Ordering::SeqCst))
    }

    /// Waits until `DONE` is `sequence`. Errors: timeout, interruption, the server is gone; the device was then reset.
    fn wait(&mut self, sequence: u32, estimate: u64) -> Result<(), HostError> {
        let pace = Pace::new();
        let mut hang = HangDetector::new(self.device, self.options.timeout, estimate);
        while self.device.read(regs::DONE) != sequence {
            self.device.alive()?;
            if self.stop_requested() {
                self.reset()?;
                return Err(HostError::Interrupted);
            }
            if let Some(waited) = hang.look(self.device) {
                let error = self.timeout(waited, "the program runs");
                // The first error is the one to report; the next run tries a reset again.
                let _ = self.reset();
                return Err(error);
            }
            if let Some(watch) = self.options.watch {
                watch(hang.cycles.into());
            }
            self.device.rest(&pace, LOOK);
        }
        Ok(())
    }
}

/// Sizes come from a checked program, whose window has at most 4 GiB.
fn narrow(v: usize) -> u32 {
    u32::try_from(v).unwrap_or(u32::MAX)
}

/// A device with a program in its memory, ready for images.
pub struct Loaded<'a, 'p> {
    pub(crate) driver: Driver<'a>,
    pub(crate) meta: &'p ProgramMeta,
    /// The window's first bytes.
    pub(crate) image: &'p [u8],
    /// Copies of the program's window in the device's: a second lets the host prepare the next run while one goes on.
    pub(crate) copies: usize,
    /// Where the copy of the last run begins.
    pub(crate) at: usize,
}

impl Loaded<'_, '_> {
    /// Runs the program once, on one image or on as many as its other stream takes, and reports what the counters say.
    ///
    /// `images` are words, one image behind the other; an image is all inputs' [channel][row][column], one behind the other.
    /// Errors: a number of images that no stream takes, timeout (with the registers), the device's own error, interruption
    /// (device reset), the server is gone.
    /// Panics on a part of an image; [`crate::tensor::read_inputs`] gives whole ones.
    pub fn run(&mut self, images: &[i16]) -> Result<RunReport, HostError> {
        let staged = Staged::new(self.meta, images)?;
        if self.driver.stop_requested() {
            return Err(HostError::Interrupted);
        }
        self.put(&staged, self.at)?;
        self.execute(staged.images, self.at, |_| Ok(()))
    }

    /// Copies inputs into the copy of the program's window that begins at `at`.
    pub(crate) fn put(&mut self, staged: &Staged, at: usize) -> Result<(), HostError> {
        let device = &mut self.driver.device;
        staged
            .inputs
            .iter()
            .try_for_each(|(offset, bytes)| device.copy_in(at + offset, bytes))
    }

    /// Runs the program on `images` images whose inputs lie in the copy at `at`. `meanwhile` is called once, while the device
    /// works; it leaves that copy alone. Errors: its own, after which the device was reset, and those of [`Loaded::run`].
    pub(crate) fn execute(
        &mut self,
        images: usize,
        at: usize,
        meanwhile: impl FnOnce(&mut Self) -> Result<(), HostError>,
    ) -> Result<RunReport, HostError> {
        let meta = self.meta;
        let stream = meta.stream(images).ok_or_else(|| no_stream(meta, images))?;
        self.at = at;
        let base = self.driver.device.window_base() + at as u64;
        let mut meanwhile = Some(meanwhile);
        let (mut cycles, mut saturated) = (0, 0);
        for (k, (offset, commands)) in stream.segments().enumerate() {
            self.host_steps(k, images)?;
            let device = &mut self.driver.device;
            let sequence = device.read(regs::DONE).wrapping_add(1);
            for (reg, value) in [
                (regs::MEM_BASE_LO, base as u32),
                (regs::MEM_BASE_HI, (base >> 32) as u32),
                (regs::PROG_OFFSET, narrow(offset)),
                (regs::PROG_COUNT, narrow(commands)),
                (regs::START, sequence),
            ] {
                device.write(reg, value)?;
            }
            if let Some(meanwhile) = meanwhile.take() {
                if let Err(e) = meanwhile(self) {
                    // The first error is the one to report; the next run tries a reset again.
                    let _ = self.driver.reset();
                    return Err(e);
                }
            }
            self.driver.wait(sequence, stream.estimated_cycles)?;
            self.check_error()?;
            cycles += u64::from(self.driver.device.read(regs::CYCLES));
            saturated += u64::from(self.driver.device.read(regs::SATURATED));
        }
        self.host_steps(stream.breaks.len() + 1, images)?;
        let records = self.records()?;
        Ok(RunReport::new(
            &meta.layers,
            images as u64,
            &records,
            cycles,
            saturated,
        ))
    }

    /// What the marks of the last run wrote, a layer each.
    fn records(&self) -> Result<Vec<Counters>, HostError> {
        let layers = &self.meta.layers;
        let device = &self.driver.device;
        let from = layers.iter().map(|l| l.record).min().unwrap_or(0);
        let to = layers.iter().map(|l| l.record + RECORD_BYTES).max();
        let span = to.unwrap_or(from) - from;
        // The compiler puts them side by side, so that one copy takes all.
        let together = span <= 4 * RECORD_BYTES * layers.len();
        let mut bytes = vec![0; if together { span } else { RECORD_BYTES }];
        if together {
            device.copy_out(self.at + from, &mut bytes)?;
        }
        let mut records = Vec::with_capacity(layers.len());
        for layer in layers {
            if !together {
                device.copy_out(self.at + layer.record, &mut bytes)?;
            }
            let place = if together { layer.record - from } else { 0 };
            let record = bytes[place..].first_chunk().expect("a whole record");
            records.push(Counters::from_bytes(record));
        }
        Ok(records)
    }

    /// The host steps that come when `after` segments are done, for all images of the run.
    fn host_steps(&mut self, after: usize, images: usize) -> Result<(), HostError> {
        let Some(host) = self.driver.options.host else {
            // Loading refused programs that have any.
            return Ok(());
        };
        let meta = self.meta;
        let steps = meta.host.iter().enumerate();
        for (index, step) in steps.filter(|(_, s)| s.after == after) {
            for image in 0..images {
                if self.driver.stop_requested() {
                    return Err(HostError::Interrupted);
                }
                let inputs = step.inputs.iter().map(|t| self.tensor(t, image));
                let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
                let words = host.run(index, &inputs)?;
                let layout = &step.output.layout;
                if words.len() != layout.shape.len() {
                    return Err(HostError::HostStep {
                        step: step.name.clone(),
                        message: format!("it gave {} words for {}", words.len(), layout.shape),
                    });
                }
                // Channel by channel: the output may be a part of a larger tensor.
                let plane = layout.shape.h * layout.shape.w;
                let mut row = vec![0; layout.channel_bytes()];
                for (c, plane) in words.chunks_exact(plane.max(1)).enumerate() {
                    for (y, values) in plane.chunks_exact(layout.shape.w.max(1)).enumerate() {
                        put_row(&mut row, layout.word_bytes, values);
                        let at = self.at
                            + meta.offset(&step.output, image)
                            + y * layout.row_bytes
                            + c * layout.channel_bytes();
                        self.driver.device.copy_in(at, &row)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The last run's result for its image number `image`: all outputs' [channel][row][column], one behind the other.
    pub fn output(&self, image: usize) -> Result<Vec<i16>, HostError> {
        let mut words = Vec::with_capacity(self.meta.result_len());
        for port in &self.meta.outputs {
            words.extend(self.tensor(&port.tensor, image)?);
        }
        Ok(words)
    }

    /// Any tensor of the last run, [channel][row][column]. It is whole as long as no later layer reuses its memory.
    pub fn tensor(&self, info: &TensorInfo, image: usize) -> Result<Vec<i16>, HostError> {
        let mut bytes = vec![0; info.layout.bytes()];
        let at = self.at + self.meta.offset(info, image);
        self.driver.device.copy_out(at, &mut bytes)?;
        Ok(info.layout.unpack(&bytes))
    }

    fn check_error(&mut self) -> Result<(), HostError> {
        let code = (self.driver.device.read(regs::STATUS) >> 8) as u8;
        if code == 0 {
            return Ok(());
        }
        let error = HostError::Device {
            error: DeviceError::from_code(code),
            code,
            place: self.place(self.driver.device.read(regs::ERROR_INFO)),
            registers: self.driver.device.registers(),
        };
        // The device's error is the one to report; the next run tries a reset again.
        let _ = self.driver.reset();
        Err(error)
    }

    /// Which command failed, from its head word.
    fn place(&self, head: u32) -> String {
        if head == 0 {
            return "a command that the device cannot name".into();
        }
        let mut words = [0; COMMAND_WORDS];
        words[0] = head;
        let head = Head::decode(&words);
        let queue = Queue::from_bits(head.queue as u32).name();
        match self.meta.layers.get(head.tag as usize) {
            Some(l) => format!("a {queue} command of layer {}", l.name),
            None => format!("a {queue} command with tag {}", head.tag),
        }
    }
}

//! Batches: while the device works on one run, the host gives away the results of the one before and prepares the next.
//!
//! ```text
//! device   | run 0        | run 1        | run 2
//! host     | stage 1      | results 0, stage 2 | results 1
//! ```
//! Where the device's window has room for the program twice, the next run's inputs are also copied, and the last run's results
//! read, in the copy that the device does not work on; else both are copied between two runs.

use crate::driver::Loaded;
use crate::error::HostError;
use crate::report::RunReport;
use crate::tensor::Images;
use cnna_machine::program::ProgramMeta;

/// Copies of a program's window begin at multiples of this.
const PAGE: usize = 4096;

/// Takes each image's words, in order.
type Results<'r> = dyn FnMut(&[i16]) -> Result<(), HostError> + 'r;

/// The inputs of a run as the device reads them.
pub(crate) struct Staged {
    /// Images of the run.
    pub images: usize,
    /// Byte offset in the program's window, and bytes.
    pub inputs: Vec<(usize, Vec<u8>)>,
}

impl Staged {
    /// Packs images' words. Errors: a number of images that no stream takes.
    pub(crate) fn new(meta: &ProgramMeta, words: &[i16]) -> Result<Self, HostError> {
        let image_len = meta.image_len();
        assert_eq!(words.len() % image_len, 0, "whole images");
        let images = words.len() / image_len;
        meta.stream(images).ok_or_else(|| no_stream(meta, images))?;
        let mut inputs = Vec::with_capacity(images * meta.inputs.len());
        for (n, mut image) in words.chunks_exact(image_len).enumerate() {
            for port in &meta.inputs {
                let layout = &port.tensor.layout;
                let (words, rest) = image.split_at(layout.shape.len());
                let mut bytes = vec![0; layout.bytes()];
                layout.pack(words, &mut bytes);
                inputs.push((meta.offset(&port.tensor, n), bytes));
                image = rest;
            }
        }
        Ok(Staged { images, inputs })
    }
}

/// No stream runs so many images.
pub(crate) fn no_stream(meta: &ProgramMeta, images: usize) -> HostError {
    HostError::NoStream {
        images,
        batch: meta.batch(),
    }
}

/// A run whose results nobody has been given yet.
struct Done {
    images: usize,
    /// Images of the batch up to its last.
    end: usize,
    /// Where its copy of the window begins.
    at: usize,
    /// All outputs of all its images, when they are no longer left in the window.
    outputs: Option<Vec<Vec<u8>>>,
}

impl Loaded<'_, '_> {
    /// Runs all images, as many at once as the program takes, the rest one by one, and returns the counters' sums.
    ///
    /// `results` gets each image's words, in order, while the next run goes on. `progress` is told after that how many images
    /// are done. Images that may have to wait for somebody ([`Images::waits`]) are asked for when all results before them have
    /// been given away.
    /// Errors: those of [`Loaded::run`], of `images` and of `results`, at the first that fails.
    pub fn run_batch(
        &mut self,
        images: &mut dyn Images,
        results: &mut Results<'_>,
        mut progress: impl FnMut(usize),
    ) -> Result<RunReport, HostError> {
        let meta = self.meta;
        let mut runs = meta.runs(images.count()).peekable();
        let alternate = self.second_copy_pays(images.count());
        let stride = meta.window_bytes.next_multiple_of(PAGE);
        let other = |at: usize| if alternate && at == 0 { stride } else { 0 };
        let mut total = RunReport::default();
        // The next run's inputs, and whether they lie in its copy already; the last run's results.
        let mut ready: Option<(Staged, bool)> = None;
        let mut done: Option<Done> = None;
        let mut at = 0;
        while let Some(run) = runs.next() {
            if self.driver.stop_requested() {
                return Err(HostError::Interrupted);
            }
            let (staged, there) = match ready.take() {
                Some(r) => r,
                None => {
                    self.give(&mut done, results, &mut progress)?;
                    (Staged::new(meta, &images.next(run.len())?)?, false)
                }
            };
            if !there {
                self.put(&staged, at)?;
            }
            let next = runs.peek().map(|r| r.len()).filter(|_| !images.waits());
            let ran = self.execute(staged.images, at, |loaded| {
                loaded.give(&mut done, results, &mut progress)?;
                let Some(n) = next else { return Ok(()) };
                let staged = Staged::new(meta, &images.next(n)?)?;
                if alternate {
                    loaded.copy_program(stride)?;
                    loaded.put(&staged, other(at))?;
                }
                ready = Some((staged, alternate));
                Ok(())
            });
            let report = match ran {
                Ok(report) => report,
                Err(e) => {
                    // Good results before a failure are results.
                    self.give(&mut done, results, &mut progress)?;
                    return Err(e);
                }
            };
            total.add(&report);
            let mut last = Done {
                images: run.len(),
                end: run.end,
                at,
                outputs: None,
            };
            if !alternate {
                last.outputs = Some(self.fetch(&last)?);
            }
            done = Some(last);
            at = other(at);
        }
        self.give(&mut done, results, &mut progress)?;
        Ok(total)
    }

    /// There is room for a second copy of the program, and copying it costs less than it saves.
    fn second_copy_pays(&self, images: usize) -> bool {
        let meta = self.meta;
        let room = meta
            .window_bytes
            .next_multiple_of(PAGE)
            .checked_add(meta.window_bytes);
        let ports = meta.inputs.iter().chain(&meta.outputs);
        let moved: usize = ports.map(|p| p.tensor.layout.bytes()).sum();
        let later = images.saturating_sub(meta.batch());
        room.is_some_and(|r| r <= self.driver.device.window_bytes())
            && moved.saturating_mul(later) >= self.image.len()
    }

    /// Makes the second copy of the program, once.
    fn copy_program(&mut self, stride: usize) -> Result<(), HostError> {
        if self.copies == 1 {
            self.driver.device.copy_in(stride, self.image)?;
            self.copies = 2;
        }
        Ok(())
    }

    /// Reads a run's outputs out of its copy of the window.
    fn fetch(&self, run: &Done) -> Result<Vec<Vec<u8>>, HostError> {
        let ports = &self.meta.outputs;
        let mut all = Vec::with_capacity(run.images * ports.len());
        for image in 0..run.images {
            for port in ports {
                let mut bytes = vec![0; port.tensor.layout.bytes()];
                let at = run.at + self.meta.offset(&port.tensor, image);
                self.driver.device.copy_out(at, &mut bytes)?;
                all.push(bytes);
            }
        }
        Ok(all)
    }

    /// Gives a finished run's results away, if there is one.
    fn give(
        &self,
        done: &mut Option<Done>,
        results: &mut Results<'_>,
        progress: &mut impl FnMut(usize),
    ) -> Result<(), HostError> {
        let Some(mut run) = done.take() else {
            return Ok(());
        };
        let outputs = match run.outputs.take() {
            Some(o) => o,
            None => self.fetch(&run)?,
        };
        let ports = &self.meta.outputs;
        let mut words = Vec::with_capacity(self.meta.result_len());
        for image in outputs.chunks_exact(ports.len()) {
            words.clear();
            for (port, bytes) in ports.iter().zip(image) {
                words.extend(port.tensor.layout.unpack(bytes));
            }
            results(&words)?;
        }
        progress(run.end);
        Ok(())
    }
}

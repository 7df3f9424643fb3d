//! What the host costs an image besides the accelerator: npy file to npy file through the driver, against a device that answers at
//! once, and against one that takes its time, alone and overlapped.

use cnna_host::tensor::{AllResults, Images, Inputs};
use cnna_host::{Device, Driver, HostError, Options};
use cnna_machine::program::Program;
use cnna_machine::regs::{self, Reg};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Plain memory; a program takes `busy`, whatever it is.
struct Idle {
    registers: Vec<u32>,
    window: Vec<u8>,
    busy: Duration,
    started: Instant,
    done: u32,
}

impl Idle {
    fn new(program: &Program<'_>, copies: usize, busy: Duration) -> Self {
        let hash = program.meta.accelerator().hash();
        let mut registers = vec![0; regs::BLOCK_BYTES / 4];
        for (reg, value) in [
            (regs::ID, regs::ID_VALUE),
            (regs::VERSION, regs::VERSION_VALUE),
            (regs::HASH_LO, hash as u32),
            (regs::HASH_HI, (hash >> 32) as u32),
        ] {
            registers[reg.offset / 4] = value;
        }
        let bytes = program.meta.window_bytes.next_multiple_of(4096) * copies;
        Idle {
            registers,
            window: vec![0; bytes],
            busy,
            started: Instant::now(),
            done: 0,
        }
    }
}

impl Device for Idle {
    fn read(&self, reg: Reg) -> u32 {
        match reg {
            regs::DONE if self.started.elapsed() >= self.busy => {
                self.registers[regs::START.offset / 4]
            }
            regs::DONE => self.done,
            r => self.registers[r.offset / 4],
        }
    }
    fn write(&mut self, reg: Reg, value: u32) -> Result<(), HostError> {
        if reg == regs::START {
            (self.done, self.started) = (self.read(regs::DONE), Instant::now());
        }
        self.registers[reg.offset / 4] = value;
        Ok(())
    }
    fn window_base(&self) -> u64 {
        0
    }
    fn window_bytes(&self) -> usize {
        self.window.len()
    }
    fn window_remedy(&self, _: usize) -> String {
        "none".into()
    }
    fn copy_in(&mut self, offset: usize, bytes: &[u8]) -> Result<(), HostError> {
        self.window[offset..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn copy_out(&self, offset: usize, bytes: &mut [u8]) -> Result<(), HostError> {
        bytes.copy_from_slice(&self.window[offset..][..bytes.len()]);
        Ok(())
    }
    fn alive(&self) -> Result<(), HostError> {
        Ok(())
    }
}

/// Milliseconds an image of `images` in a file: `batch` by the driver's own pipeline, else one after the other.
fn milliseconds(program: &Program<'_>, folder: &Path, device: &mut Idle, batch: bool) -> f64 {
    let paths: Vec<PathBuf> = vec![folder.join("x.npy")];
    let meta = &program.meta;
    let mut images = Inputs::open(&paths, meta, false).expect("written above");
    let count = images.count();
    let mut results =
        AllResults::create(&[folder.join("y.npy")], meta, count, false).expect("a place");
    let (device_is_idle, since) = (device.busy.is_zero(), Instant::now());
    let driver = Driver::new(device, Options::default()).expect("recognised");
    let mut loaded = driver.load(program).expect("room");
    // On a device that answers at once nothing waits, and the processor's time is the host's, whatever else the machine does.
    let clock = || match device_is_idle {
        true => super::cpu_seconds(),
        false => since.elapsed().as_secs_f64(),
    };
    let begin = clock();
    if batch {
        loaded
            .run_batch(&mut images, &mut |words| results.push(words), |_| ())
            .expect("runs");
    } else {
        for _ in 0..count {
            loaded
                .run(&images.next(1).expect("an image"))
                .expect("runs");
            results
                .push(&loaded.output(0).expect("a result"))
                .expect("written");
        }
    }
    let took = clock() - begin;
    results.finish().expect("written");
    took * 1e3 / count as f64
}

/// Images of the file: what begins and ends weighs little.
const IMAGES: u64 = 40;
/// A device that is faster than any: what the host does must hide behind it.
const BUSY: Duration = Duration::from_millis(2);

/// Milliseconds an image: at once; on a device that takes [`BUSY`], one by one, overlapped, and overlapped with a second copy.
pub fn times(program: &Program<'_>) -> [f64; 4] {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dims = &program.meta.inputs[0].array.dims;
    let shape: Vec<u64> = std::iter::once(IMAGES)
        .chain(dims.iter().map(|&d| d as u64))
        .collect();
    let values = (0..shape.iter().product::<u64>()).map(|i| (i as f32 * 0.37).sin());
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape:?}, }}")
        .replace('[', "(")
        .replace(']', ")");
    header += &" ".repeat(63 - (header.len() + 10) % 64);
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16 + 1).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.push(b'\n');
    bytes.extend(values.flat_map(f32::to_le_bytes));
    std::fs::write(folder.path().join("x.npy"), bytes).expect("written");
    let best = |copies, busy, batch| {
        let mut device = Idle::new(program, copies, busy);
        // Other work on the machine holds up some.
        let times = (0..5).map(|_| milliseconds(program, folder.path(), &mut device, batch));
        times.fold(f64::INFINITY, f64::min)
    };
    [
        best(1, Duration::ZERO, true),
        best(1, BUSY, false),
        best(1, BUSY, true),
        best(2, BUSY, true),
    ]
}

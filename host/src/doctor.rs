//! Checks a board line by line, each finding with its cure. Looks in the order in which one thing needs the other, and touches
//! the registers only when everything before says that they are there.

use crate::driver::{Driver, Options};
use crate::error::HostError;
use crate::power;
use crate::system::{CLOCK_TOLERANCE, System};
use crate::udmabuf;
use crate::uio::{self, Needs, Uio};
use crate::xrt;
use cnna_machine::program::ProgramMeta;
use std::fs::File;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be.
    Good,
    /// Works without, but worse; or could not be looked at.
    Note,
    /// A run fails, or is not safe.
    Bad,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Good, a note, or bad.
    pub verdict: Verdict,
    /// What was looked at.
    pub subject: &'static str,
    /// What was found and, unless it is good, what to do.
    pub text: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = match self.verdict {
            Verdict::Good => "good",
            Verdict::Note => "note",
            Verdict::Bad => "BAD ",
        };
        write!(f, "{verdict}  {:<18}  {}", self.subject, self.text)
    }
}

/// Names that a UIO device with our registers goes by: our overlay's, and the one PYNQ's images bring.
const NAMES: [&str; 2] = ["cnna", "fabric"];

/// All findings about a system, for `program` where there is one.
pub fn examine(system: &System, program: Option<&ProgramMeta>) -> Vec<Finding> {
    let mut all = vec![state(system), clock(system, program)];
    let name = match device(system) {
        Ok(name) => {
            all.push(good("device", name));
            all.push(permission(system, name));
            Some(name)
        }
        Err(e) => {
            all.push(bad("device", e.to_string()));
            None
        }
    };
    all.push(contiguous(system, program));
    all.push(memory(system, name, program));
    all.push(overlays(system));
    all.push(power(system));
    let safe = all.iter().all(|f| f.verdict != Verdict::Bad);
    all.extend(
        name.filter(|_| safe)
            .map(|name| identity(system, name, program)),
    );
    all
}

fn good(subject: &'static str, text: impl Into<String>) -> Finding {
    finding(Verdict::Good, subject, text)
}

fn note(subject: &'static str, text: impl Into<String>) -> Finding {
    finding(Verdict::Note, subject, text)
}

fn bad(subject: &'static str, text: impl Into<String>) -> Finding {
    finding(Verdict::Bad, subject, text)
}

fn finding(verdict: Verdict, subject: &'static str, text: impl Into<String>) -> Finding {
    Finding {
        verdict,
        subject,
        text: text.into(),
    }
}

fn state(system: &System) -> Finding {
    match (system.ready(), system.fpga_state()) {
        (Err(e), _) => bad("bitstream", e.to_string()),
        (Ok(()), Some(state)) => good("bitstream", state),
        (Ok(()), None) => note(
            "bitstream",
            "there is no FPGA manager to ask: make sure that a bitstream runs, or the first register read hangs the processor",
        ),
    }
}

fn clock(system: &System, program: Option<&ProgramMeta>) -> Finding {
    let Some(hertz) = system.clock() else {
        return note(
            "clock",
            "unknown: run as root with debugfs mounted (mount -t debugfs none /sys/kernel/debug)",
        );
    };
    let mhz = hertz as f64 / 1e6;
    match program.map(|p| p.board.clock_mhz) {
        Some(plan) if (mhz - plan).abs() > CLOCK_TOLERANCE * plan => note(
            "clock",
            format!(
                "{mhz} MHz, the program's board plans {plan}: the overlay sets it, `cnna-host load --mhz`, or PYNQ's Clocks; slower only takes longer, \
                 faster than the bitstream was timed for gives wrong results"
            ),
        ),
        _ => good("clock", format!("{mhz} MHz")),
    }
}

/// The name of the UIO device. Errors: what there is instead.
fn device(system: &System) -> Result<&'static str, HostError> {
    let found = |name: &&str| uio::find(name, system).is_ok();
    match NAMES.into_iter().find(found) {
        Some(name) => Ok(name),
        None => uio::find(NAMES[0], system).map(|_| NAMES[0]),
    }
}

fn permission(system: &System, name: &str) -> Finding {
    let path = match uio::find(name, system) {
        Ok((path, _)) => path,
        Err(e) => return bad("permission", e.to_string()),
    };
    match File::options().read(true).write(true).open(&path) {
        Ok(_) => good("permission", format!("{} may be opened", path.display())),
        Err(e) => bad(
            "permission",
            format!(
                "{}: {e}: run as root, or give the device to your group by a udev rule",
                path.display()
            ),
        ),
    }
}

fn contiguous(system: &System, program: Option<&ProgramMeta>) -> Finding {
    let Some((total, free)) = system.contiguous() else {
        return note(
            "contiguous memory",
            "this kernel shows none: u-dma-buf needs CONFIG_CMA, or use a reserved window",
        );
    };
    let text = format!("{} MiB, {} free", total >> 20, free >> 20);
    match program.map(|p| p.window_bytes as u64) {
        Some(need) if need > total => note(
            "contiguous memory",
            format!(
                "{text}; the program needs {} MiB: cma={}M on the kernel's command line, or a reserved window",
                need.div_ceil(1 << 20),
                need.div_ceil(1 << 20).next_multiple_of(16)
            ),
        ),
        _ => good("contiguous memory", text),
    }
}

fn memory(system: &System, name: Option<&str>, program: Option<&ProgramMeta>) -> Finding {
    let need = program.map_or(0, |p| p.window_bytes);
    if let Some(d) = udmabuf::buffers(system).first() {
        let text = format!("u-dma-buf {}, {} bytes at {:#x}", d.name, d.bytes, d.base);
        return match d.bytes < need {
            true => bad(
                "memory",
                format!(
                    "{text}; the program needs {need}: echo 'create {} {:#x}' > /dev/u-dma-buf-mgr, or `cnna rtl --program`",
                    udmabuf::NAME,
                    need.next_multiple_of(1 << 20)
                ),
            ),
            false => good("memory", text),
        };
    }
    if let Some(path) = xrt::find(system) {
        let text = format!(
            "XRT's {}, a buffer of the program's size for each run",
            path.display()
        );
        return match system.contiguous() {
            Some((_, free)) if free < need as u64 => bad(
                "memory",
                format!(
                    "{text}; it needs {need} bytes, {free} are free: end what holds buffers, or cma= on the kernel's command line"
                ),
            ),
            _ => good("memory", text),
        };
    }
    let window = name
        .and_then(|n| uio::find(n, system).ok())
        .and_then(|(_, uio)| {
            uio::read_map(&system.path(uio::CLASS).join(uio).join("maps/map1")).ok()
        });
    let Some(window) = window else {
        return bad(
            "memory",
            "neither a u-dma-buf buffer, nor XRT's zocl, nor a reserved window: load u-dma-buf and overlay-udmabuf.dtbo, or apply \
             reserved-memory.dtbo at boot and overlay.dtbo",
        );
    };
    let text = format!(
        "reserved window, {} bytes at {:#x}",
        window.size, window.addr
    );
    if window.size < need {
        return bad(
            "memory",
            format!(
                "{text}; the program needs {need}: `cnna rtl --program` makes overlays of its size"
            ),
        );
    }
    match system.check_window(window.addr, window.size) {
        Err(e) => bad("memory", e.to_string()),
        Ok(()) => note(
            "memory",
            format!("{text}: uncached, so copies are some ten times slower than through u-dma-buf"),
        ),
    }
}

fn overlays(system: &System) -> Finding {
    match system.has_overlays() {
        true => good("overlays", "can be applied while Linux runs"),
        false => note(
            "overlays",
            "cannot be applied while Linux runs: put the nodes into the board's device tree, or use PYNQ's `fabric` device and \
             u-dma-buf (mount -t configfs none /sys/kernel/config if the kernel has it)",
        ),
    }
}

fn power(system: &System) -> Finding {
    let sensors = power::sensors(system);
    let each = sensors
        .iter()
        .filter_map(|s| Some(format!("{} {:.2} W", s.name, s.watts(system)?)));
    match each.collect::<Vec<_>>() {
        each if each.is_empty() => note(
            "power",
            "no sensor in /sys/class/hwmon: measure at the plug",
        ),
        each => good("power", each.join(", ")),
    }
}

/// The first and only look at the registers.
fn identity(system: &System, name: &str, program: Option<&ProgramMeta>) -> Finding {
    let needs = Needs::of_this_program(0);
    let hash = Uio::open(name, system, &needs).and_then(|mut device| {
        let driver = Driver::new(&mut device, Options::default())?;
        Ok(driver.config_hash())
    });
    match (hash, program.map(|p| p.accelerator().hash())) {
        (Err(e), _) => bad("accelerator", e.to_string()),
        (Ok(have), Some(want)) if have != want => bad(
            "accelerator",
            format!(
                "configuration {have:016x}, the program is for {want:016x}: compile it for this board, or load its bitstream"
            ),
        ),
        (Ok(have), _) => good("accelerator", format!("configuration {have:016x}")),
    }
}

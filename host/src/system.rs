//! What Linux tells of the board: the FPGA manager, the memory map, contiguous memory, overlays. All below one root folder, so
//! that a made-up system stands in for a board.

use crate::error::HostError;
use std::path::{Path, PathBuf};

/// A Linux system's `/sys`, `/proc` and `/dev`.
#[derive(Clone, Debug)]
pub struct System {
    root: PathBuf,
}

/// The state of the FPGA manager when a bitstream runs.
const OPERATING: &str = "operating";
/// Where the FPGA manager is.
const MANAGER: &str = "/sys/class/fpga_manager/fpga0";
/// Where overlays are applied.
const OVERLAYS: &str = "/sys/kernel/config/device-tree/overlays";
/// Where the FPGA manager looks for bitstreams.
const FIRMWARE: &str = "/lib/firmware";
/// The driver fclkcfg's clocks.
const SETTERS: &str = "/sys/class/fclkcfg";
/// Clocks that differ from the plan by more than this part of it are another clock.
pub(crate) const CLOCK_TOLERANCE: f64 = 0.01;
/// Clocks to the logic, by their names in the kernel: UltraScale+, Zynq-7000.
const CLOCKS: [&str; 2] = ["pl0_ref", "fclk0"];

impl System {
    /// The system that this process runs on.
    pub fn here() -> Self {
        Self::under(Path::new("/"))
    }

    /// One below a folder.
    pub fn under(root: &Path) -> Self {
        System { root: root.into() }
    }

    /// An absolute path in this system.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text without the line's end; nothing when it cannot be read.
    pub fn read(&self, path: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim().into())
    }

    /// Names in a folder, sorted.
    pub fn list(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).into_iter().flatten();
        let mut names: Vec<String> = entries
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// What the FPGA manager says, where there is one.
    pub fn fpga_state(&self) -> Option<String> {
        self.read(&format!("{MANAGER}/state"))
    }

    /// Refuses to touch registers of logic that is not there: such a read never ends and takes the processor with it.
    ///
    /// Errors: the FPGA manager says that no bitstream runs. A system without FPGA manager cannot tell, and is believed.
    pub fn ready(&self) -> Result<(), HostError> {
        match self.fpga_state() {
            Some(state) if state != OPERATING => Err(HostError::Board {
                what: format!("the FPGA manager's state is `{state}` instead of `{OPERATING}`"),
                cure: "load the bitstream: `cnna-host load cnna.bit.bin`, PYNQ's Overlay(\"cnna.bit\"), or xmutil loadapp cnna".into(),
            }),
            _ => Ok(()),
        }
    }

    /// The kernel's own memory as half-open ranges; nothing when this user may not see addresses.
    pub fn ram(&self) -> Option<Vec<(u64, u64)>> {
        let text = self.read("/proc/iomem")?;
        let mut ranges = Vec::new();
        for line in text.lines() {
            let Some((range, "System RAM")) = line.trim().split_once(" : ") else {
                continue;
            };
            let (from, to) = range.split_once('-')?;
            let from = u64::from_str_radix(from, 16).ok()?;
            let to = u64::from_str_radix(to, 16).ok()?;
            ranges.push((from, to + 1));
        }
        // To other users than root every address reads as zero.
        let hidden = ranges.iter().all(|r| *r == (0, 1));
        (!hidden).then_some(ranges)
    }

    /// Refuses a window that the kernel believes to be its own: a reservation that failed leaves a line in the kernel's log
    /// and nothing else, and the accelerator would write over the kernel.
    ///
    /// Errors: an overlap, or addresses that this user may not see.
    pub fn check_window(&self, base: u64, bytes: usize) -> Result<(), HostError> {
        // No memory map at all: not a Linux of this kind, nothing to compare with.
        if self.read("/proc/iomem").is_none() {
            return Ok(());
        }
        let Some(ram) = self.ram() else {
            return Err(HostError::Board {
                what: "/proc/iomem hides its addresses".into(),
                cure: "run as root: the window must be seen to lie outside of the kernel's memory"
                    .into(),
            });
        };
        let end = base.saturating_add(bytes as u64);
        match ram.iter().find(|(from, to)| base < *to && *from < end) {
            None => Ok(()),
            Some((from, to)) => Err(HostError::Board {
                what: format!(
                    "the window {base:#x}..{end:#x} lies in System RAM {from:#x}..{to:#x}: the kernel has not reserved it"
                ),
                cure: "apply reserved-memory.dts at boot, look for `reserved mem` in the kernel's log, and place the window \
                       elsewhere if it met something (platform.dma_base); or use u-dma-buf (overlay-udmabuf.dts)".into(),
            }),
        }
    }

    /// Total and free bytes of contiguous memory.
    pub fn contiguous(&self) -> Option<(u64, u64)> {
        let text = self.read("/proc/meminfo")?;
        let bytes = |key: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(key))?;
            let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
            Some(kib << 10)
        };
        Some((bytes("CmaTotal:")?, bytes("CmaFree:")?))
    }

    /// Whether overlays can be applied to the running kernel.
    pub fn has_overlays(&self) -> bool {
        self.path(OVERLAYS).is_dir()
    }

    /// Hertz of the clock to the logic, where debugfs shows it.
    pub fn clock(&self) -> Option<u64> {
        let rate = |name| self.read(&format!("/sys/kernel/debug/clk/{name}/clk_rate"));
        CLOCKS.into_iter().find_map(rate)?.parse().ok()
    }

    /// Sets the clock to the logic through the driver fclkcfg, and looks what it became.
    ///
    /// Errors: no such driver, no permission, or a clock more than a hundredth away from what was asked for.
    pub fn set_clock(&self, mhz: f64) -> Result<(), HostError> {
        let clocks = self.list(SETTERS);
        let Some(clock) = clocks
            .iter()
            .find(|c| self.path(&format!("{SETTERS}/{c}/rate")).exists())
        else {
            return Err(HostError::Board {
                what: format!("{SETTERS} has no clock: there is no driver to set it with"),
                cure: "load fclkcfg, apply an overlay (it sets the clock), or on PYNQ: Overlay(\"cnna.bit\") or Clocks.fclk0_mhz".into(),
            });
        };
        let rate = format!("{SETTERS}/{clock}/rate");
        let path = self.path(&rate);
        std::fs::write(&path, format!("{:.0}", mhz * 1e6)).map_err(HostError::io(&path))?;
        let got = self.read(&rate).and_then(|r| r.parse::<f64>().ok());
        match got.map(|hz| hz / 1e6) {
            Some(got) if (got - mhz).abs() <= CLOCK_TOLERANCE * mhz => Ok(()),
            got => Err(HostError::Board {
                what: format!("{} gives {} MHz instead of {mhz}", path.display(), got.unwrap_or(0.0)),
                cure: "ask for what the PLLs can make, or set the clock's parent first (fclkcfg's `resource`)".into(),
            }),
        }
    }

    /// Refuses to run logic faster than it was planned: it gives wrong results. A clock that cannot be read is believed.
    pub fn check_clock(&self, planned_mhz: f64) -> Result<(), HostError> {
        match self.clock() {
            Some(hz) if hz as f64 > planned_mhz * 1e6 * (1.0 + CLOCK_TOLERANCE) => {
                Err(HostError::Board {
                    what: format!(
                        "the logic runs at {} MHz, its bitstream is for {planned_mhz}",
                        hz as f64 / 1e6
                    ),
                    cure: format!(
                        "set it: cnna-host load BITSTREAM --mhz {planned_mhz}, or PYNQ's Clocks.fclk0_mhz = {planned_mhz}"
                    ),
                })
            }
            _ => Ok(()),
        }
    }

    /// Loads a bitstream (`.bit.bin`) into the whole logic, or applies a device-tree overlay that does.
    ///
    /// Errors: no FPGA manager, no overlay support, no permission, or the kernel refuses; the kernel's log says why.
    pub fn load(&self, bitstream: &Path, overlay: Option<&Path>) -> Result<(), HostError> {
        let name = bitstream
            .file_name()
            .map(|n| n.to_string_lossy().into_owned());
        let Some(name) = name.filter(|n| n.ends_with(".bin")) else {
            return Err(HostError::Board {
                what: format!("{} is no .bin file", bitstream.display()),
                cure: "give out/cnna.bit.bin: Linux wants the words swapped and no header".into(),
            });
        };
        let target = self.path(FIRMWARE).join(&name);
        // A file may not be copied onto itself.
        if bitstream.canonicalize().ok() != target.canonicalize().ok() {
            std::fs::create_dir_all(self.path(FIRMWARE)).map_err(HostError::io(&target))?;
            std::fs::copy(bitstream, &target).map_err(HostError::io(&target))?;
        }
        let put = |path: PathBuf, bytes: &[u8]| {
            std::fs::write(&path, bytes).map_err(HostError::io(&path))
        };
        match overlay {
            None => {
                if !self.path(&format!("{MANAGER}/firmware")).exists() {
                    return Err(HostError::Board {
                        what: format!("{MANAGER}/firmware does not exist"),
                        cure: "use AMD's kernel, or load through an overlay: --overlay overlay-udmabuf.dtbo".into(),
                    });
                }
                put(self.path(&format!("{MANAGER}/flags")), b"0")?;
                put(self.path(&format!("{MANAGER}/firmware")), name.as_bytes())?;
            }
            Some(overlay) => {
                if !self.has_overlays() {
                    return Err(HostError::Board {
                        what: format!("{OVERLAYS} does not exist"),
                        cure: "use a kernel with CONFIG_OF_OVERLAY and CONFIG_OF_CONFIGFS (AMD's), and mount configfs; \
                               or load without --overlay and find the memory through u-dma-buf"
                            .into(),
                    });
                }
                let tree = std::fs::read(overlay).map_err(HostError::io(overlay))?;
                let folder = self.path(OVERLAYS).join("cnna");
                // An earlier one: its devices go first.
                if folder.is_dir() {
                    std::fs::remove_dir(&folder).map_err(HostError::io(&folder))?;
                }
                std::fs::create_dir(&folder).map_err(HostError::io(&folder))?;
                put(folder.join("dtbo"), &tree)?;
            }
        }
        self.ready()
    }
}

//! Verilates a board's RTL into a shared library, once per content of its sources.
//!
//! ```text
//! rtl-KEY.lock              held while the library is looked for and built: who comes meanwhile waits and takes what was built
//! rtl-KEY-*/                a build under way; one that is there without the lock was cut off, and goes
//! rtl-KEY/libcnna_rtl.so    the library
//! rtl-KEY/sum               its SHA-256: without it, or with another one, the library is built anew
//! ```
//! The key covers everything that the library depends on: the sources, the flags, Verilator's version, and the compiler with
//! the processor it compiles for (`-march=native`): a cache folder may be shared by machines and outlive upgrades.

use crate::error::RtlsimError;
use cnna_machine::config::{Accelerator, Board, port};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WRAPPER: &str = include_str!("wrapper.cpp");
const LIBRARY: &str = "libcnna_rtl.so";
const NATIVE: &str = "-march=native";
const FLAGS: &[&str] = &[
    "--cc",
    "--exe",
    "--build",
    "-j",
    "2",
    "-O3",
    "--assert",
    "--savable",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "-LDFLAGS",
    "-shared",
    "--top-module",
    "cnna_top",
    "-Wno-fatal",
    "-o",
    LIBRARY,
];
/// What the compiler is asked for: fast models take half a minute of compiling, slow ones a quarter of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// To be run much.
    Fast,
    /// To be run little.
    Slow,
}

impl Model {
    const fn compiler_flags(self) -> &'static str {
        match self {
            Model::Fast => "-O2 -march=native -fPIC",
            Model::Slow => "-O0 -march=native -fPIC",
        }
    }
}

/// Pause between two looks at a child, a lock or the wish to stop.
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait for the killed children of a stopped build to be gone; where nobody reaps orphans they never are.
const GONE: Duration = Duration::from_millis(300);

/// The shared library of a board's RTL, from `cache` or newly built there (about half a minute).
///
/// Once `stop` is true the build ends, with all its children, as [`RtlsimError::Interrupted`].
pub fn build(
    board: &Board,
    cache: &Path,
    stop: Option<&AtomicBool>,
) -> Result<PathBuf, RtlsimError> {
    let files = cnna_hdl::sources::rtl(board)?
        .into_iter()
        .map(|f| (f.name, f.text))
        .collect();
    build_files(files, &board.accelerator, Model::Fast, cache, stop)
}

/// The same for RTL given as text, name and contents in the order of compilation.
pub fn build_files(
    mut files: Vec<(String, String)>,
    accelerator: &Accelerator,
    model: Model,
    cache: &Path,
    stop: Option<&AtomicBool>,
) -> Result<PathBuf, RtlsimError> {
    files.push(("wrapper.cpp".into(), wrapper(accelerator)));
    Recipe {
        tools: Tools {
            verilator: "verilator".into(),
            compiler: "g++".into(),
        },
        files,
        model,
    }
    .cook(cache, stop)
}

/// Places of ports in the C interface: one for each number that a port can have.
pub(crate) const PORT_NUMBERS: usize = port::SECOND + 1;

fn wrapper(a: &Accelerator) -> String {
    let mut ports = format!(
        "#define PORT_NUMBERS {PORT_NUMBERS}\n#define PORTS X({0}, m_axi_act) Y({0}, m_axi_act) X({1}, m_axi_cmd)",
        port::ACT,
        port::COMMAND
    );
    for p in 0..a.weight_ports {
        ports.push_str(&format!(" X({}, m_axi_w{p})", p + port::WEIGHT));
    }
    if a.load_ports > 1 {
        ports.push_str(&format!(
            " X({}, {})",
            port::SECOND,
            cnna_hdl::ports::SECOND
        ));
    }
    format!("{ports}\n{WRAPPER}")
}

/// The programs that make a library.
struct Tools {
    verilator: PathBuf,
    compiler: PathBuf,
}

impl Tools {
    /// What the programs say of themselves and of this processor.
    fn identity(&self) -> Result<Vec<u8>, RtlsimError> {
        let mut told = output_of(
            Command::new(&self.verilator).arg("--version"),
            "apt-get install verilator",
        )?;
        // The macros a compiler predefines for this processor: its own version and every extension that it would use.
        let macros = [NATIVE, "-dM", "-E", "-x", "c++", "/dev/null"];
        told.extend(output_of(
            Command::new(&self.compiler).args(macros),
            "apt-get install g++",
        )?);
        Ok(told)
    }
}

fn output_of(command: &mut Command, hint: &'static str) -> Result<Vec<u8>, RtlsimError> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(o) if o.status.success() => Ok(o.stdout),
        Ok(o) => Err(RtlsimError::ToolFailed {
            program,
            message: error_lines(&String::from_utf8_lossy(&o.stderr)),
        }),
        Err(source) => Err(RtlsimError::ToolMissing {
            program,
            hint,
            source,
        }),
    }
}

fn error_lines(text: &str) -> String {
    let lines = text.lines().filter(|l| l.contains("rror")).take(5);
    lines.collect::<Vec<_>>().join("; ")
}

/// All that a library is made from.
struct Recipe {
    tools: Tools,
    files: Vec<(String, String)>,
    model: Model,
}

impl Recipe {
    fn key(&self) -> Result<String, RtlsimError> {
        let mut h = Sha256::new();
        // Each part with its length: no two lists of parts read the same.
        let mut part = |bytes: &[u8]| {
            h.update((bytes.len() as u64).to_le_bytes());
            h.update(bytes);
        };
        for (name, text) in &self.files {
            part(name.as_bytes());
            part(text.as_bytes());
        }
        FLAGS.iter().for_each(|f| part(f.as_bytes()));
        part(self.model.compiler_flags().as_bytes());
        part(&self.tools.identity()?);
        Ok(hex(&h.finalize()[..8]))
    }

    /// The whole library of this recipe, from `cache` or built there.
    fn cook(&self, cache: &Path, stop: Option<&AtomicBool>) -> Result<PathBuf, RtlsimError> {
        let name = format!("rtl-{}", self.key()?);
        let place = cache.join(&name);
        let (library, sum) = (place.join(LIBRARY), place.join("sum"));
        if whole(&library, &sum) {
            return Ok(library);
        }
        std::fs::create_dir_all(&place).map_err(io(&place))?;
        let _locked = lock(&cache.join(format!("{name}.lock")), stop)?;
        if whole(&library, &sum) {
            return Ok(library);
        }
        let working = format!("{name}-");
        remove_leftovers(cache, &working);
        let folder = tempfile::Builder::new().prefix(&working).tempdir_in(cache);
        let folder = folder.map_err(io(cache))?;
        let built = self.verilate(folder.path(), stop)?;
        let digest = sum_of(&built).map_err(io(&built))?;
        // A library that others have loaded keeps its file. In this order a sum never stands beside what it does not describe
        // for longer than it takes to build again.
        std::fs::rename(&built, &library).map_err(io(&library))?;
        let fresh = folder.path().join("sum");
        std::fs::write(&fresh, digest).map_err(io(&fresh))?;
        std::fs::rename(&fresh, &sum).map_err(io(&sum))?;
        Ok(library)
    }

    /// Runs Verilator in `work`; the path of the library there.
    fn verilate(&self, work: &Path, stop: Option<&AtomicBool>) -> Result<PathBuf, RtlsimError> {
        for (name, text) in &self.files {
            std::fs::write(work.join(name), text).map_err(io(&work.join(name)))?;
        }
        let log = work.join("log");
        let log_file = File::create(&log).map_err(io(&log))?;
        let mut command = Command::new(&self.tools.verilator);
        command
            .current_dir(work)
            .args(FLAGS)
            .args(["-CFLAGS", self.model.compiler_flags()])
            .args(self.files.iter().map(|(name, _)| name))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file);
        let status = run(&mut command, stop)?;
        if !status.success() {
            let text = std::fs::read(&log).map_err(io(&log))?;
            return Err(RtlsimError::ToolFailed {
                program: command.get_program().to_string_lossy().into_owned(),
                message: error_lines(&String::from_utf8_lossy(&text)),
            });
        }
        Ok(work.join("obj_dir").join(LIBRARY))
    }
}

/// Runs a command until it ends or `stop` is true.
fn run(command: &mut Command, stop: Option<&AtomicBool>) -> Result<ExitStatus, RtlsimError> {
    if stop.is_some() {
        // A group of its own, so that Ctrl-C in a terminal reaches the caller only, who then stops all of it here. Without
        // a way to be told, the group stays the caller's and ends with it.
        command.process_group(0);
    }
    let missing = |source| RtlsimError::ToolMissing {
        program: "verilator".into(),
        hint: "apt-get install verilator",
        source,
    };
    let mut child = command.spawn().map_err(missing)?;
    loop {
        if let Some(status) = child.try_wait().map_err(missing)? {
            return Ok(status);
        }
        if stopped(stop) {
            let group = Pid::from_child(&child);
            // Fails only when the group has just ended.
            let _ = kill_process_group(group, Signal::KILL);
            child.wait().map_err(missing)?;
            let since = Instant::now();
            while test_kill_process_group(group).is_ok() && since.elapsed() < GONE {
                std::thread::sleep(LOOK);
            }
            return Err(RtlsimError::Interrupted);
        }
        std::thread::sleep(LOOK);
    }
}

fn stopped(stop: Option<&AtomicBool>) -> bool {
    stop.is_some_and(|s| s.load(Ordering::SeqCst))
}

/// The file's lock, held until the file is dropped. The file stays: who waits for it must not find another one.
fn lock(path: &Path, stop: Option<&AtomicBool>) -> Result<File, RtlsimError> {
    let file = File::create(path).map_err(io(path))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if stopped(stop) => return Err(RtlsimError::Interrupted),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            Err(TryLockError::Error(e)) => return Err(io(path)(e)),
        }
    }
}

/// True if the library is there as it was built.
fn whole(library: &Path, sum: &Path) -> bool {
    match (std::fs::read_to_string(sum), sum_of(library)) {
        (Ok(wanted), Ok(found)) => wanted == found,
        _ => false,
    }
}

fn sum_of(path: &Path) -> std::io::Result<String> {
    Ok(hex(&Sha256::digest(std::fs::read(path)?)))
}

/// Working folders of builds that were cut off. What cannot be removed only takes room.
fn remove_leftovers(cache: &Path, prefix: &str) {
    for entry in std::fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> RtlsimError {
    let path = path.to_path_buf();
    move |source| RtlsimError::Io { path, source }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// A cache, and beside it programs that stand for Verilator and the compiler. `verilator` is the body of the former's build.
    struct Kitchen(
        tempfile::TempDir,
        #[allow(dead_code)] MutexGuard<'static, ()>,
    );

    /// One kitchen at a time: a script cannot be started while a process that another test is just starting has it open.
    static ONE: Mutex<()> = Mutex::new(());

    impl Kitchen {
        fn new(version: &str, processor: &str, verilator: &str) -> Kitchen {
            let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
            let k = Kitchen(tempfile::tempdir().expect("a temporary folder"), alone);
            let log = k.0.path().join("builds");
            k.script(
                "verilator",
                &format!(
                    "if [ \"$1\" = --version ]; then echo {version}; exit 0; fi\necho built >> {}\n{verilator}",
                    log.display()
                ),
            );
            k.script("g++", &format!("echo {processor}"));
            k
        }
        fn script(&self, name: &str, body: &str) {
            let path = self.0.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("set");
        }
        fn recipe(&self) -> Recipe {
            Recipe {
                tools: Tools {
                    verilator: self.0.path().join("verilator"),
                    compiler: self.0.path().join("g++"),
                },
                files: vec![("a.sv".into(), "module a; endmodule".into())],
                model: Model::Fast,
            }
        }
        fn cache(&self) -> PathBuf {
            self.0.path().join("cache")
        }
        fn cook(&self) -> Result<PathBuf, RtlsimError> {
            self.recipe().cook(&self.cache(), None)
        }
        fn builds(&self) -> usize {
            std::fs::read_to_string(self.0.path().join("builds")).map_or(0, |t| t.lines().count())
        }
        /// Names in the cache that are neither a library's folder nor its lock.
        fn leftovers(&self) -> Vec<String> {
            let names = std::fs::read_dir(self.cache()).expect("there is a cache");
            names
                .map(|e| e.expect("read").file_name().to_string_lossy().into_owned())
                .filter(|n| n.matches('-').count() > 1)
                .collect()
        }
    }

    const BUILDS: &str = "sleep 0.3; mkdir obj_dir; cat a.sv > obj_dir/libcnna_rtl.so";

    #[test]
    fn a_library_is_built_once_and_again_when_it_or_its_sum_is_damaged() {
        let k = Kitchen::new("5", "x86", BUILDS);
        let library = k.cook().expect("builds");
        assert_eq!(
            (k.cook().expect("is there"), k.builds()),
            (library.clone(), 1)
        );
        let text = std::fs::read(&library).expect("is there");
        let damages: [&dyn Fn(); 4] = [
            &|| std::fs::write(&library, &text[..5]).expect("truncated"),
            &|| std::fs::write(&library, [b"x", &text[1..]].concat()).expect("changed"),
            &|| std::fs::remove_file(&library).expect("removed"),
            &|| std::fs::write(library.with_file_name("sum"), "").expect("emptied"),
        ];
        for (n, damage) in damages.iter().enumerate() {
            damage();
            assert_eq!(k.cook().expect("heals"), library);
            assert_eq!(std::fs::read(&library).expect("is there"), text);
            assert_eq!(k.builds(), n + 2);
        }
        assert_eq!(k.leftovers(), [""; 0]);
    }

    #[test]
    fn three_at_once_build_once() {
        let k = Kitchen::new("5", "x86", BUILDS);
        std::thread::scope(|s| {
            let all = [(); 3].map(|()| s.spawn(|| k.cook()));
            for t in all {
                t.join().expect("no panic").expect("builds or waits");
            }
        });
        assert_eq!(k.builds(), 1);
    }

    #[test]
    fn the_key_follows_sources_verilator_and_processor() {
        let key = |version, processor| {
            let k = Kitchen::new(version, processor, BUILDS);
            k.recipe().key().expect("both answer")
        };
        let first = key("5", "x86");
        assert_eq!(first, key("5", "x86"));
        assert_ne!(first, key("6", "x86"));
        assert_ne!(first, key("5", "x86+avx2"));
        let k = Kitchen::new("5", "x86", BUILDS);
        let mut r = k.recipe();
        r.files[0].1.push(' ');
        assert_ne!(first, r.key().expect("both answer"));
    }

    #[test]
    fn a_stopped_build_is_an_interruption_and_leaves_no_process_and_no_file() {
        // A child of the child, as make and the compiler are.
        let k = Kitchen::new("5", "x86", "sh -c 'sleep 60; true'; true");
        let stop = AtomicBool::new(false);
        let begin = Instant::now();
        let result = std::thread::scope(|s| {
            let cooking = s.spawn(|| k.recipe().cook(&k.cache(), Some(&stop)));
            while k.builds() == 0 {
                std::thread::sleep(LOOK);
            }
            stop.store(true, Ordering::SeqCst);
            cooking.join().expect("no panic")
        });
        assert!(
            matches!(result, Err(RtlsimError::Interrupted)),
            "{result:?}"
        );
        assert!(begin.elapsed() < Duration::from_secs(10));
        assert_eq!(k.leftovers(), [""; 0]);
        let inside = |p: &Path| {
            std::fs::read_link(p.join("cwd")).is_ok_and(|cwd| cwd.starts_with(k.cache()))
        };
        let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
        assert_eq!(processes.filter(|p| inside(&p.path())).count(), 0);
    }

    #[test]
    fn what_a_killed_build_left_goes_with_the_next() {
        let k = Kitchen::new("5", "x86", BUILDS);
        let left = k.cache().join(format!(
            "rtl-{}-cut",
            k.recipe().key().expect("both answer")
        ));
        std::fs::create_dir_all(left.join("obj_dir")).expect("made");
        k.cook().expect("builds");
        assert_eq!(k.leftovers(), [""; 0]);
    }

    #[test]
    fn a_failed_build_tells_the_first_errors() {
        let k = Kitchen::new(
            "5",
            "x86",
            "echo 'noise\n%Error: a.sv:1: wrong' >&2; exit 1",
        );
        let e = k.cook().expect_err("fails").to_string();
        assert!(e.ends_with("failed: %Error: a.sv:1: wrong"), "{e}");
    }
}

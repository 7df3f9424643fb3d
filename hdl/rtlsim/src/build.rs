//! Verilates a board's RTL into a shared library, once per content of its sources.

use crate::error::RtlsimError;
use cnna_machine::config::Board;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

const WRAPPER: &str = include_str!("wrapper.cpp");
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
    "-CFLAGS",
    "-O2 -march=native -fPIC",
    "-LDFLAGS",
    "-shared",
    "--top-module",
    "cnna_top",
    "-Wno-fatal",
    "-o",
    "libcnna_rtl.so",
];

/// The shared library of a board's RTL, from `cache` or newly built there (about half a minute).
pub fn build(board: &Board, cache: &Path) -> Result<PathBuf, RtlsimError> {
    let mut files: Vec<(String, String)> = cnna_hdl::sources::rtl(board)?
        .into_iter()
        .map(|f| (f.name, f.text))
        .collect();
    files.push((
        "wrapper.cpp".into(),
        wrapper(board.accelerator.weight_ports),
    ));
    let mut hash = Sha256::new();
    for (name, text) in &files {
        hash.update(name);
        hash.update(text);
    }
    for f in FLAGS {
        hash.update(f);
    }
    let key: String = hash.finalize()[..8]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let done = cache.join(format!("rtl-{key}")).join("libcnna_rtl.so");
    if done.exists() {
        return Ok(done);
    }
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| RtlsimError::Io { path, source }
    };
    std::fs::create_dir_all(cache).map_err(io(cache))?;
    // A folder of its own: others may build the same. It is removed when this returns.
    let folder = tempfile::Builder::new().prefix("rtl-").tempdir_in(cache);
    let folder = folder.map_err(io(cache))?;
    let work = folder.path();
    for (name, text) in &files {
        std::fs::write(work.join(name), text).map_err(io(&work.join(name)))?;
    }
    let sources = files.iter().map(|(n, _)| n.as_str());
    let output = Command::new("verilator")
        .current_dir(work)
        .args(FLAGS)
        .args(sources)
        .output()
        .map_err(|source| RtlsimError::ToolMissing {
            program: "verilator".into(),
            hint: "apt-get install verilator",
            source,
        })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(RtlsimError::ToolFailed {
            program: "verilator".into(),
            message: text
                .lines()
                .filter(|l| l.contains("rror"))
                .take(5)
                .collect::<Vec<_>>()
                .join("; "),
        });
    }
    let place = cache.join(format!("rtl-{key}"));
    std::fs::create_dir_all(&place).map_err(io(&place))?;
    let built = work.join("obj_dir").join("libcnna_rtl.so");
    std::fs::rename(&built, &done).map_err(io(&built))?;
    Ok(done)
}

fn wrapper(weight_ports: usize) -> String {
    let mut ports = String::from("#define PORTS X(0, m_axi_act) Y(0, m_axi_act) X(1, m_axi_cmd)");
    for p in 0..weight_ports {
        ports.push_str(&format!(" X({}, m_axi_w{p})", p + 2));
    }
    format!("{ports}\n{WRAPPER}")
}

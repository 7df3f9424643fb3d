//! What `make demo` runs on a bare machine besides the program.

use crate::workplace::Workplace;
use std::path::Path;
use std::process::Command;

#[test]
fn setup_brings_all_that_the_demos_scripts_import() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let w = Workplace::new();
    std::fs::create_dir(w.path("scripts")).unwrap();
    for script in ["setup", "real-models"] {
        let script = Path::new("scripts").join(script);
        std::fs::copy(root.join(&script), w.path("").join(&script)).unwrap();
    }
    let runs = |command: &mut Command| {
        let output = command.current_dir(w.path("")).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    };
    runs(Command::new("bash").args(["scripts/setup", "demo"]));
    // As far as its imports; -S: without what this machine has beside.
    let imports = "import runpy; runpy.run_path('scripts/real-models', run_name='imported')";
    runs(
        Command::new("python3")
            .args(["-S", "-c", imports])
            .env("PYTHONPATH", w.path("build/python")),
    );
}

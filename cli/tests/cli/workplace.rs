//! A folder of its own for each test, and the program run in it.

use cnna_machine::program::{ProgramMeta, write_to};
use npyz::{AutoSerialize, WriterBuilder};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct Workplace {
    folder: tempfile::TempDir,
}

impl Workplace {
    pub fn new() -> Self {
        Workplace {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With `tiny.cnna` compiled, and an input `x.npy` of `images` images of 2x8x8.
    pub fn with_program(images: u64) -> Self {
        let w = Workplace::new();
        w.succeeds("compile zoo:tiny --board ultra96 -o tiny.cnna");
        let values = (0..images * 128).map(|i| (i as f32 * 0.37).sin());
        w.save("x.npy", &[images, 2, 8, 8], values.collect());
        w
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &str) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_cnna"));
        c.current_dir(self.folder.path())
            .args(arguments.split_whitespace());
        c
    }

    pub fn output(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it and returns what it printed.
    pub fn succeeds(&self, arguments: &str) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "cnna {arguments}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs it and returns what it printed, with its notes.
    pub fn says(&self, arguments: &str) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "cnna {arguments}: {output:?}");
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    /// It must end with status 2 and one line that contains every part, and leave the folder as it was.
    pub fn fails(&self, arguments: &str, parts: &[&str]) {
        let before = self.files();
        let output = self.output(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "cnna {arguments}: {text}");
        assert_eq!(text.trim_end().lines().count(), 1, "{text}");
        for part in parts {
            assert!(text.contains(part), "cnna {arguments}: `{part}` in: {text}");
        }
        assert_eq!(self.files(), before, "cnna {arguments} left something");
    }

    /// Names and sizes of all files.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        fn walk(folder: &Path, found: &mut Vec<(PathBuf, u64)>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), found);
                }
                found.push((entry.path(), entry.metadata().unwrap().len()));
            }
        }
        let mut found = Vec::new();
        walk(self.folder.path(), &mut found);
        found.sort();
        found
    }

    pub fn save<T: AutoSerialize>(&self, name: &str, dims: &[u64], values: Vec<T>) {
        let mut npy = npyz::WriteOptions::new()
            .default_dtype()
            .shape(dims)
            .writer(std::fs::File::create(self.path(name)).unwrap())
            .begin_nd()
            .unwrap();
        npy.extend(values).unwrap();
        npy.finish().unwrap();
    }

    /// A program file of parts that may contradict one another.
    pub fn write_program(
        &self,
        name: &str,
        meta: &ProgramMeta,
        image: &[u8],
        structure: &[u8],
        constants: &[u8],
    ) {
        let file = std::fs::File::create(self.path(name)).unwrap();
        let (image, constants) = (image.into(), constants.into());
        write_to(
            file,
            meta,
            &mut std::iter::once(image),
            structure,
            &mut std::iter::once(constants),
        )
        .unwrap();
    }

    /// Shape and values of an npy file.
    pub fn load<T: npyz::Deserialize>(&self, name: &str) -> (Vec<u64>, Vec<T>) {
        let file = std::fs::File::open(self.path(name)).unwrap();
        let npy = npyz::NpyFile::new(file).unwrap();
        (npy.shape().to_vec(), npy.into_vec().unwrap())
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }
}

//! The Python package's native half, `cnna._native`: each function is one of `flow`'s paths on numpy arrays and JSON text.
//!
//! What a user sees (names, defaults, docstrings, pictures in notebooks) is Python, in `cnna/`; this half is private to it.
//!
//! ```text
//! program.rs  a program in memory: compile, open, run, check, report
//! device.rs   a program loaded into a device for many runs
//! arrays.rs   numpy arrays to flow's, words to numpy arrays
//! model.rs    models and their images: quantise, explore; onnx.rs writes ONNX files; tables.rs facts of other rooms
//! work.rs     a path on a thread of its own: the GIL released, Ctrl-C obeyed, progress told
//! error.rs    errors as the package's exceptions
//! ```

mod arrays;
mod device;
mod error;
mod model;
mod onnx;
mod program;
mod tables;
mod work;

use pyo3::prelude::*;

/// Private to the package `cnna`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::device::Device;
    #[pymodule_export]
    use super::model::{Images, explore, quantize};
    #[pymodule_export]
    use super::onnx::write_onnx;
    #[pymodule_export]
    use super::program::{Program, compile, open};
    #[pymodule_export]
    use super::tables::{average_weight, board, boards, registers, rtl, zoo};

    use super::*;

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        m.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

//! In which order: ONNX in, tiling, buffer allocation, command stream, program file out.

pub mod import;

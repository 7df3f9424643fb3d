//! ONNX files: messages, one reader to a graph of operators, and its writer.
//!
//! ```text
//! messages.rs access.rs build.rs tensor.rs file.rs   the file's own structure
//! op/NAME.rs                                         a family of operators: its reader and its writer
//! read/                                              from a model to a graph
//! write/                                             from a graph to a model
//! ```
//!
//! Only what a convolution network needs is declared of the messages; a reader skips every other field, as protobuf
//! intends. Source: onnx/onnx.proto of the ONNX specification (IR version 10, operator set 21).

mod access;
mod build;
mod error;
mod file;
mod messages;
mod op;
mod read;
mod tensor;
mod write;

pub use build::{AttributeValue, GraphBuilder};
pub use error::Error;
pub use file::{MAX_FILE_BYTES, Model, read, write};
pub use messages::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto,
    ValueInfoProto, attribute_type, dimension,
};
pub use op::supported;
pub use read::error::{Obstacle, ReadError};
pub use read::{
    Import, Scale, import, quantised, read_graph, read_import, read_import_for, read_quantised,
};
pub use tensor::{ElementType, Scalar};
pub use write::{OpenConstant, Options, WriteError, export, export_open, export_with};

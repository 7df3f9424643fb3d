//! ONNX files: messages, typed access for the importer (compile), and building for the exporter (quant).
//!
//! Only what a QDQ convolution network needs is declared; a reader skips every other field, as protobuf intends.
//! Source: onnx/onnx.proto of the ONNX specification (IR version 10, operator set 21).

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
pub use read::{Import, Scale, import, quantised, read_graph, read_import, read_quantised};
pub use tensor::{ElementType, Scalar};
pub use write::{Options, WriteError, export, export_with};

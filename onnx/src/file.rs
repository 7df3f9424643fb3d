//! Reading and writing whole files. Constants stay slices of the file's bytes, so a model costs its file's size once.

use crate::{Error, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};
use prost::Message;
use prost::bytes::Bytes;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Largest file read: protobuf's own limit for one message.
pub const MAX_FILE_BYTES: u64 = 2 << 30;
/// File format version written: the first that has operator set 21.
const IR_VERSION: i64 = 10;
/// Operator set written: the first with int16 QuantizeLinear and DequantizeLinear.
const OPSET: i64 = 21;

/// A model as the rooms use it: its graph is there and has nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The network.
    pub graph: GraphProto,
    /// Version of ONNX's own operator set.
    pub opset: i64,
    /// The tool that wrote the file.
    pub producer: String,
    /// Free key-value pairs.
    pub metadata: Vec<(String, String)>,
}

impl Model {
    /// A model of this producer at the operator set that `write` writes.
    pub fn new(graph: GraphProto) -> Self {
        Model {
            graph,
            opset: OPSET,
            producer: "cnna".into(),
            metadata: Vec::new(),
        }
    }

    /// Decodes a file's bytes; `path` is for the error only. Errors: not ONNX, damaged, or without a graph.
    pub fn decode(bytes: impl Into<Bytes>, path: &Path) -> Result<Model, Error> {
        let bytes = bytes.into();
        let bad = |reason: String| Error::NotOnnx {
            path: path.into(),
            reason,
        };
        if bytes.is_empty() {
            return Err(bad("the file is empty".into()));
        }
        let total = bytes.len();
        let proto = ModelProto::decode(bytes).map_err(|e| {
            bad(format!(
                "{e} (of {total} bytes): it is truncated, damaged or of another type; export it again"
            ))
        })?;
        if proto.ir_version.is_none_or(|v| v < 1) {
            return Err(bad("it has no ir_version: it is of another type".into()));
        }
        let graph = proto
            .graph
            .ok_or_else(|| bad("it holds no graph: it is truncated, or of another type".into()))?;
        if graph.node.is_empty() {
            return Err(bad("its graph has no nodes".into()));
        }
        let opset = proto
            .opset_import
            .iter()
            .find(|o| o.domain.is_empty() || o.domain == "ai.onnx")
            .map(|o| o.version)
            .ok_or_else(|| {
                bad("it names no operator set of ONNX: it is truncated or damaged".into())
            })?;
        Ok(Model {
            graph,
            opset,
            producer: proto.producer_name,
            metadata: proto
                .metadata_props
                .into_iter()
                .map(|e| (e.key, e.value))
                .collect(),
        })
    }

    /// ONNX's own set, and the first version of each other that a node names.
    fn operator_sets(&self) -> Vec<OperatorSetIdProto> {
        let others: BTreeSet<&str> = self.graph.node.iter().map(|n| &n.domain[..]).collect();
        let others = others
            .into_iter()
            .filter(|d| !d.is_empty() && *d != "ai.onnx");
        let own = OperatorSetIdProto {
            domain: String::new(),
            version: self.opset,
        };
        let other = |domain: &str| OperatorSetIdProto {
            domain: domain.into(),
            version: 1,
        };
        std::iter::once(own).chain(others.map(other)).collect()
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        ModelProto {
            ir_version: Some(IR_VERSION),
            producer_name: self.producer.clone(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph.clone()),
            opset_import: self.operator_sets(),
            metadata_props: self
                .metadata
                .iter()
                .map(|(key, value)| StringStringEntryProto {
                    key: key.clone(),
                    value: value.clone(),
                })
                .collect(),
        }
        .encode_to_vec()
    }
}

/// Reads a model. Errors: unreadable, larger than [`MAX_FILE_BYTES`], not ONNX, truncated or damaged.
pub fn read(path: impl AsRef<Path>) -> Result<Model, Error> {
    let path = path.as_ref();
    let io = |source| Error::Io {
        path: path.into(),
        source,
    };
    let file = std::fs::File::open(path).map_err(io)?;
    // The limit holds for what is read, not for what the directory says: a pipe has no length. Where it does say one, the
    // bytes take no more than that (and the one read that finds the end).
    let said = file.metadata().map_or(0, |m| m.len().min(MAX_FILE_BYTES));
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(said as usize + 1)
        .map_err(|e| io(e.into()))?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::NotOnnx {
            path: path.into(),
            reason: format!("it is larger than {MAX_FILE_BYTES} bytes, protobuf's limit"),
        });
    }
    Model::decode(bytes, path)
}

/// Writes a model to `path` through `path.tmp`, so that an interrupted write leaves the old file or none.
pub fn write(path: impl AsRef<Path>, model: &Model) -> Result<(), Error> {
    let path = path.as_ref();
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let done =
        std::fs::write(&temporary, model.encode()).and_then(|()| std::fs::rename(&temporary, path));
    done.map_err(|source| {
        let _ = std::fs::remove_file(&temporary);
        Error::Io {
            path: path.into(),
            source,
        }
    })
}

//! Quantisation-aware training: a float network (`FloatNet`) is trained on labelled images, given number formats
//! (`Formats`), trained on with straight-through fake quantisation, and becomes integers (`cnna_net::Graph`) and
//! standard ONNX. The arithmetic is `cnna_machine::num`'s; gradients are `autodiff`'s, over `net`'s graph.

mod arch;
mod autodiff;
mod calibrate;
mod checkpoint;
mod compress;
mod error;
mod evaluate;
mod export;
mod import;
mod net;
mod optimise;
mod options;
mod quantise;
mod ranges;
mod session;
mod timing;

pub use arch::{Arch, ArchActivation, ArchLayer, BLOCKS, BUILT_IN, LayerKind, Sides, with_block};
pub use calibrate::{CALIBRATION_IMAGES, calibrate};
pub use error::QuantError;
pub use evaluate::{evaluate_fake, evaluate_float, fake_logits};
pub use export::{write_float, write_quantised};
pub use import::read_float;
pub use net::{FloatNet, Norm, NotTrainable};
pub use optimise::Optimiser;
pub use options::TrainOptions;
pub use quantise::{Formats, to_graph};
pub use session::{EpochRow, Phase, TrainReport, train};
pub use timing::step_times;

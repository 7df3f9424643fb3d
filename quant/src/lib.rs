//! With which numbers: post-training quantisation of any graph, and quantisation-aware training of chains.
//!
//! ```text
//! accuracy.rs  right answers on labelled images, in float and in integers
//! ptq/    number formats from sample images, measured against the float network; needs no trainer
//! train/  training on burn, only with the feature `train`: its tensor library takes minutes to build
//! ```

mod accuracy;
pub mod ptq;
#[cfg(feature = "train")]
mod train;

pub use accuracy::{
    Accuracy, AccuracyError, AccuracyRow, accuracy_report, evaluate, float_logits, integer_logits,
    quantise_images,
};
pub use cnna_data::{DATA_VARIABLE, DATASETS, Dataset, Split, pixel};
#[cfg(feature = "train")]
pub use train::*;

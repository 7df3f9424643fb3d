//! With which numbers: post-training quantisation of any graph, and quantisation-aware training.
//!
//! ```text
//! accuracy.rs  right answers on labelled images, in float and in integers
//! ptq/    number formats from sample images, measured against the float network; needs no trainer
//! train/  training in float and fake-quantised, over net's own graph; feature `train`
//! ```

mod accuracy;
pub mod ptq;
#[cfg(feature = "train")]
mod train;

pub use accuracy::{
    Accuracy, AccuracyError, AccuracyRow, accuracy_report, evaluate, float_logits, input_words,
    integer_logits,
};
pub use cnna_data::{DATA_VARIABLE, DATASETS, Dataset, Preprocess, Split};
#[cfg(feature = "train")]
pub use train::*;

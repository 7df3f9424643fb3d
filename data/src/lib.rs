//! What networks are fed with, as reals in the order [channel][row][column]: pictures and folders of classes, npy arrays, idx
//! data sets; the names of classes; and boxes drawn into pictures.

mod draw;
mod error;
mod folders;
mod idx;
mod labels;
mod npy;
mod picture;
mod preprocess;
mod samples;

pub use draw::{Boxed, draw_boxes};
pub use error::DataError;
pub use idx::{DATA_VARIABLE, DATASETS, Dataset, Split};
pub use labels::{class_of, read_labels};
pub use npy::Array;
pub use picture::is_picture;
pub use preprocess::{Pixels, Preprocess, Wanted};
pub use samples::Samples;

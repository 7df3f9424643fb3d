//! Why a model is not quantised.

/// Errors of post-training quantisation.
#[derive(Debug, thiserror::Error)]
pub enum PtqError {
    /// The calibration images.
    #[error(transparent)]
    Data(#[from] cnna_data::DataError),
    /// A graph that its formats do not fit.
    #[error(transparent)]
    Graph(#[from] cnna_net::GraphError),
    /// A model that is not read.
    #[error(transparent)]
    Read(#[from] cnna_onnx::ReadError),
    /// A model that cannot be written for the float engine.
    #[error(transparent)]
    Write(#[from] cnna_onnx::WriteError),
    /// A float model without calibration images.
    #[error(
        "`{model}` is a float model: name images like those it is made for, `--calib FOLDER` (pictures), `--calib x.npy` \
         or `--calib photo.jpg ...`; from them its number formats follow, its weights stay as they are"
    )]
    NoImages {
        /// The model's file.
        model: String,
    },
    /// Calibration images for another number of inputs.
    #[error(
        "the model has {inputs} inputs ({names}), calibration images are there for {given}: name them `--calib INPUT=x.npy` for each, as many images each"
    )]
    Inputs {
        /// Of the model.
        inputs: usize,
        /// Their names.
        names: String,
        /// Given.
        given: usize,
    },
    /// The float engine does not run the model.
    #[error("the float model does not run ({reason}): report it with the model's file")]
    Engine {
        /// The engine's words.
        reason: String,
    },
    /// A file that the float engine cannot read.
    #[error("{model}: the float engine does not read it ({reason})")]
    File {
        /// The model's file.
        model: String,
        /// The engine's words.
        reason: String,
    },
    /// A file that is another model.
    #[error("{model} has no tensor `{name}`: name the float model that the program was made of")]
    Other {
        /// The model's file.
        model: String,
        /// An input or output of the program.
        name: String,
    },
    /// A float value that is NaN or infinite.
    #[error(
        "tensor `{tensor}` holds {value} on calibration image {image}: the model's weights or the image's range are wrong (pixels 0..1 or 0..255, --mean, --std)"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// NaN or an infinity.
        value: f32,
        /// The image's file.
        image: String,
    },
}

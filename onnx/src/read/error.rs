//! Why a model is not read: every obstacle of the graph at once, each with its node, its operator and what to do.

/// Lines of a message before it says how many more there are.
const LINES: usize = 20;
/// Longest line of a message.
const WIDTH: usize = 200;

/// A node that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The node's name; for an input or output its name.
    pub node: String,
    /// Its operator, or `input` and `output`.
    pub operator: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Errors of reading a model as a graph.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file, a tensor's data or an attribute's type.
    #[error(transparent)]
    Onnx(#[from] crate::Error),
    /// What the graph lacks, node by node.
    #[error("{}", list(.0))]
    Obstacles(Vec<Obstacle>),
    /// The graph as a whole.
    #[error("the model's graph: {0}")]
    Graph(String),
    /// A model that has no words.
    #[error(
        "the model is not quantised: {0}; quantise it with `cnna quantize MODEL -o QUANTISED.onnx`, or give images of its kind to `cnna compile --calib IMAGES.npy`"
    )]
    Float(String),
    /// A quantised graph whose numbers do not fit together.
    #[error(transparent)]
    Net(#[from] cnna_net::GraphError),
}

fn list(obstacles: &[Obstacle]) -> String {
    let mut lines = vec![match obstacles.len() {
        1 => "the model cannot be read because of one node:".to_string(),
        n => format!("the model cannot be read because of {n} nodes:"),
    }];
    for o in obstacles.iter().take(LINES) {
        let line = format!(
            "  node `{}` ({}): {}",
            shortened(&o.node, 60),
            shortened(&o.operator, 40),
            o.reason
        );
        lines.push(shortened(&line, WIDTH));
    }
    if obstacles.len() > LINES {
        lines.push(format!("  and {} more", obstacles.len() - LINES));
    }
    lines.join("\n")
}

/// At most `width` characters, without line breaks.
fn shortened(text: &str, width: usize) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match clean.chars().count() > width {
        true => clean.chars().take(width - 3).chain("...".chars()).collect(),
        false => clean,
    }
}

//! Which machine: a board's accelerator in many shapes, each planned for the user's networks, and the best of them simulated.
//!
//! ```text
//! space.rs     which keys take which values; the shapes that the chip holds
//! plan.rs      one shape: the compiler's estimate, bytes over DDR, cycles by the simulator
//! front.rs     who is beaten by nobody
//! search.rs    from the space to the front: a sample, then the front's neighbours, then the simulator
//! page.rs      four pictures, a table, the files
//! ```
//! Chip resources are [`cnna_machine::Accelerator`]'s own formulas, those that `cnna boards` prints and that refuse a board file.

mod error;
mod front;
mod page;
mod plan;
mod search;
mod space;

pub use error::ExploreError;
pub use page::{PAGE, write};
pub use plan::{Cost, Network, simulate};
pub use search::{Exploration, Machine, Request, explore};
pub use space::{Axis, KEYS, axes};

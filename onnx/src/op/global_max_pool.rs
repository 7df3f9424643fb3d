//! GlobalMaxPool: a maximum whose window is the map.

use super::window::Plane;
use super::{Outcome, one};
use crate::read::reader::{Call, Reader, Value};
use crate::read::view::View;
use cnna_net::Window;
use cnna_net::op::MaxPool;

pub(crate) fn read(r: &mut Reader, n: &Call) -> Outcome {
    // The order of integers is that of the reals.
    let view = r.view(n.input(0)?, n.label)?;
    let plane = Plane::of(&view)?;
    let input = r.map(&view, n.label)?;
    let window = Window::plain(plane.shape.h, plane.shape.w);
    let t = r.push(n.label, MaxPool { window }, &[input])?;
    let out = View::plain(t, &plane.sides(r.shape(t)), true);
    one(Value::View(View { step: view.step, ..out }))
}

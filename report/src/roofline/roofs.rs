//! The roofs' names, written along them.

use super::axes::Drawn;
use super::labels::{LINE, Rect, along, width};
use crate::numbers::Roofs;
use maud::{Markup, html};

/// Gap between a roof and its name in pixels.
const GAP: f64 = 6.0;
/// Places for the slope's name, as parts of its length, tried in turn.
const ALONG_SLOPE: [f64; 7] = [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8];

/// The names; adds the room that names and roofs take to `taken`, which holds the points.
pub fn texts(roofs: &Roofs, drawn: &Drawn, taken: &mut Vec<Rect>) -> Markup {
    let flats: Vec<Markup> = roofs
        .flats()
        .zip(&drawn.roofs)
        .map(|((name, roof), &left)| {
            let text = format!("{name}, {roof} MAC/cycle");
            flat(&text, left, &drawn.bounds, taken)
        })
        .collect();
    let slope = slope(
        &format!("memory, {} B/cycle", roofs.bytes_per_cycle),
        drawn.slope,
        taken,
    );
    html! { @for text in flats { (text) } (slope) }
}

/// Above a flat roof's right end.
fn flat(text: &str, left: (f64, f64), bounds: &Rect, taken: &mut Vec<Rect>) -> Markup {
    let (right, y) = (bounds.x + bounds.w, left.1);
    taken.extend(along(left, (right, y), 2.0));
    taken.push(Rect {
        x: right - 2.0 * GAP - width(text),
        y: y - GAP - LINE,
        w: width(text) + 2.0 * GAP,
        h: LINE + GAP,
    });
    html! { text.roof x=(right - 4.0) y=(y - GAP) text-anchor="end" { (text) } }
}

/// Along the slope, on its upper side, where no point lies if there is such a place.
fn slope(text: &str, [from, to]: [(f64, f64); 2], taken: &mut Vec<Rect>) -> Markup {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(1.0);
    let (ux, uy) = (dx / length, dy / length);
    let half = width(text) / 2.0;
    let middle = |t: f64| (from.0 + dx * t + uy * GAP, from.1 + dy * t - ux * GAP);
    // The letters stand half a line above their base.
    let room = |t: f64| {
        let (x, y) = middle(t);
        let (x, y) = (x + uy * LINE / 3.0, y - ux * LINE / 3.0);
        let end = |d: f64| (x + ux * d, y + uy * d);
        along(end(-half), end(half), LINE / 2.0)
    };
    let free = |t: &f64| {
        let inside = length * t.min(1.0 - t) >= half;
        inside && !room(*t).iter().any(|r| taken.iter().any(|o| o.meets(r)))
    };
    let t = ALONG_SLOPE.into_iter().find(free).unwrap_or(ALONG_SLOPE[0]);
    taken.extend(room(t));
    taken.extend(along(from, to, 2.0));
    let (x, y) = middle(t);
    let turn = format!("rotate({:.2} {x:.1} {y:.1})", dy.atan2(dx).to_degrees());
    html! {
        text.roof x=(format!("{x:.1}")) y=(format!("{y:.1}")) text-anchor="middle" transform=(turn) { (text) }
    }
}

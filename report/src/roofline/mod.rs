//! The roofline: what each layer computes a cycle over what it computes for a byte of DDR, under the roofs of array and memory.
//!
//! plotters draws axes and roofs and says where the points lie; the points themselves carry links, tooltips and classes,
//! which plotters has no words for. Drawn twice, for wide and for narrow windows, so that text keeps its size.
//! Form of the plot: Williams, Waterman and Patterson 2009, doi:10.1145/1498765.1498785.

mod axes;
mod labels;
mod roofs;

use crate::format::short;
use crate::numbers::{Layer, Report, Roofs};
use crate::{ReportError, palette};
use axes::axes;
use cnna_machine::program::Mode;
use labels::{LINE, NEAR, Places, Rect};
use maud::{Markup, PreEscaped, html};

/// Size of a drawing in pixels.
struct Frame {
    class: &'static str,
    size: (u32, u32),
    /// Longest name written beside a point.
    characters: usize,
}

const FRAMES: [Frame; 2] = [
    Frame {
        class: "wide",
        size: (1080, 500),
        characters: 24,
    },
    Frame {
        class: "narrow",
        size: (368, 420),
        characters: 12,
    },
];

const RADIUS: f64 = 5.0;

/// A layer that multiplies: its row in the table from 1, and its place in the plot.
struct Point<'r> {
    row: usize,
    layer: &'r Layer,
    at: (f64, f64),
}

/// The section's plot, legend and caption. Errors: plotters refuses.
pub fn draw(report: &Report) -> Result<Markup, ReportError> {
    let layers: Vec<(usize, &Layer)> = report
        .layers
        .iter()
        .enumerate()
        .filter(|(_, l)| l.counters.macs > 0 && l.counters.cycles > 0)
        .map(|(i, l)| (i + 1, l))
        .collect();
    if layers.is_empty() {
        return Ok(html! { p { "No layer of this program multiplies." } });
    }
    let plots = FRAMES
        .iter()
        .map(|frame| plot(frame, &report.roofs, &layers))
        .collect::<Result<Vec<_>, _>>()?;
    let silent = report.layers.len() - layers.len();
    Ok(html! {
        @for plot in plots { (plot) }
        (legend(&layers))
        p.note {
            "A layer on the slope is bound by memory, one under a flat roof by the array. DDR bytes are activations, results, "
            "weights and commands, of one image; weights that came during the layer before lift a point above the slope. "
            "A point is labelled with its layer's name or row, +n are further layers at its place; it leads to the table."
            @if silent > 0 { " " (silent) " layer(s) without multiplications are not drawn." }
        }
    })
}

fn legend(layers: &[(usize, &Layer)]) -> Markup {
    let mut modes: Vec<Mode> = layers.iter().map(|(_, l)| l.counters.mode).collect();
    modes.sort_unstable_by_key(|m| m.name());
    modes.dedup();
    html! {
        ul.legend {
            @for mode in modes {
                li { span.swatch.dot.{ "c-" (palette::mode(mode)) } {} (mode.name()) }
            }
        }
    }
}

fn plot(frame: &Frame, roofs: &Roofs, layers: &[(usize, &Layer)]) -> Result<Markup, ReportError> {
    let drawn = axes(frame, roofs, layers).map_err(|e| ReportError::Plot(e.to_string()))?;
    let points: Vec<Point> = layers
        .iter()
        .zip(&drawn.points)
        .map(|(&(row, layer), &at)| Point { row, layer, at })
        .collect();
    let (w, h) = frame.size;
    let mut taken: Vec<Rect> = points
        .iter()
        .map(|p| Rect::around(p.at, RADIUS + 1.0))
        .collect();
    let roof_texts = roofs::texts(roofs, &drawn, &mut taken);
    let mut places = Places::new(drawn.bounds, taken);
    Ok(html! {
        svg.plot.(frame.class) viewBox=(format!("0 0 {w} {h}")) role="img" aria-label="Roofline of all layers" {
            (PreEscaped(&drawn.svg))
            (roof_texts)
            @for group in groups(&points) { (label(&group, frame, &mut places)) }
            @for p in &points { (circle(p)) }
        }
    })
}

/// Points that lie on one another share a label.
fn groups<'p, 'r>(points: &'p [Point<'r>]) -> Vec<Vec<&'p Point<'r>>> {
    let mut groups: Vec<Vec<&Point>> = Vec::new();
    for p in points {
        let close = |g: &&mut Vec<&Point>| {
            let (x, y) = g[0].at;
            (x - p.at.0).hypot(y - p.at.1) < RADIUS
        };
        match groups.iter_mut().find(close) {
            Some(group) => group.push(p),
            None => groups.push(vec![p]),
        }
    }
    groups
}

/// The names, the first name, or the row alone, whichever finds room.
fn texts(group: &[&Point], frame: &Frame) -> Vec<String> {
    let name = |p: &&Point| shorten(&p.layer.counters.name, frame.characters);
    let more = match group.len() - 1 {
        0 => String::new(),
        n => format!(" +{n}"),
    };
    let all = group.iter().map(name).collect::<Vec<_>>().join(", ");
    let first = name(&group[0]) + &more;
    let row = format!("#{}{more}", group[0].row);
    let mut texts = vec![first, row];
    if all.chars().count() <= 2 * frame.characters {
        texts.insert(0, all);
    }
    texts
}

/// Cuts the middle: exporters' names differ at the end.
fn shorten(name: &str, characters: usize) -> String {
    let all: Vec<char> = name.chars().collect();
    if all.len() <= characters {
        return name.into();
    }
    let head = (characters - 1) / 2;
    let tail = all.len() - (characters - 1 - head);
    all[..head]
        .iter()
        .chain(['…'].iter())
        .chain(&all[tail..])
        .collect()
}

fn label(group: &[&Point], frame: &Frame, places: &mut Places) -> Markup {
    let at = group[0].at;
    let texts = texts(group, frame);
    let Some((text, spot)) = places.place(at, &texts) else {
        return html! {};
    };
    let (x, y) = spot.nearest(at);
    let far = (x - at.0).hypot(y - at.1) > NEAR;
    html! {
        @if far {
            line.leader x1=(at.0) y1=(at.1) x2=(format!("{x:.1}")) y2=(format!("{y:.1}")) {}
        }
        text.label x=(format!("{:.1}", spot.x + spot.w / 2.0)) y=(format!("{:.1}", spot.y + 0.8 * LINE)) text-anchor="middle" { (text) }
    }
}

fn circle(p: &Point) -> Markup {
    let (l, c) = (p.layer, &p.layer.counters);
    html! {
        a href={ "#layer-" (p.row) } {
            circle.{ "c-" (palette::mode(c.mode)) } cx=(p.at.0) cy=(p.at.1) r=(RADIUS) {
                title {
                    (p.row) ". " (c.name) ", " (c.mode) ": " (format!("{:.2}", l.mac_per_dsp_per_cycle)) " MAC/DSP/cycle, "
                    (short(l.mac_per_cycle.round() as u64)) " MAC/cycle, " (format!("{:.2}", l.mac_per_byte)) " MAC/byte"
                }
            }
        }
    }
}

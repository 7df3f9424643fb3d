//! Where the cycles go: one bar a layer, as long as its cycles, split by what the array did meanwhile.

use crate::format::{data, name_width, percent_sign, whole};
use crate::numbers::{Layer, Part, Report, ratio};
use crate::palette;
use maud::{Markup, html};

/// Length of the longest bar in units of its drawing; the window decides how long a unit is.
const LENGTH: f64 = 1000.0;
/// Height of a bar in the same units.
const HEIGHT: f64 = 10.0;

/// The section's legend and bars.
pub fn draw(report: &Report) -> Markup {
    let longest = report.layers.iter().map(|l| l.counters.cycles).max();
    let unit = LENGTH / longest.unwrap_or(0).max(1) as f64;
    html! {
        (legend(report))
        ol.bars style=(name_width(report.layers.iter().map(|l| l.counters.name.as_str()))) {
            @for (i, layer) in report.layers.iter().enumerate() { (row(i + 1, layer, unit, report.cycles)) }
        }
    }
}

fn legend(report: &Report) -> Markup {
    html! {
        ul.legend {
            @for part in Part::ALL {
                li {
                    span.swatch.{ "c-" (palette::part(part)) } {}
                    (part.name()) " "
                    b { (percent_sign(ratio(report.part(part), report.cycles))) }
                }
            }
        }
    }
}

fn row(number: usize, layer: &Layer, unit: f64, cycles: u64) -> Markup {
    let c = &layer.counters;
    html! {
        li {
            span.row { (number) }
            span.name title=(c.name) { (c.name) }
            svg.bar viewBox=(format!("0 0 {LENGTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(spoken(layer)) {
                (rects(layer, unit))
            }
            span.value { (data(c.cycles, &whole(c.cycles))) }
            span.share { (percent_sign(ratio(c.cycles, cycles))) }
        }
    }
}

fn rects(layer: &Layer, unit: f64) -> Markup {
    let name = &layer.counters.name;
    let ends = Part::ALL.iter().scan(0, |end, &part| {
        *end += layer.part(part);
        Some((part, *end))
    });
    html! {
        @for (part, end) in ends.filter(|&(part, _)| layer.part(part) > 0) {
            @let cycles = layer.part(part);
            @let (x, w) = ((end - cycles) as f64 * unit, cycles as f64 * unit);
            rect.{ "c-" (palette::part(part)) } x=(format!("{x:.2}")) y="0" width=(format!("{w:.2}")) height=(HEIGHT) {
                title { (name) ", " (part.name()) ": " (whole(cycles)) " cycles, " (percent_sign(layer.share(part))) }
            }
        }
    }
}

/// The bar in words.
fn spoken(layer: &Layer) -> String {
    let parts = Part::ALL.map(|p| format!("{} {}", p.name(), percent_sign(layer.share(p))));
    format!("{}: {}", layer.counters.name, parts.join(", "))
}

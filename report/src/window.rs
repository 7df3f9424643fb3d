//! The memory window to scale: the whole as one strip, then a row for each stretch with its offset and size.

use crate::format::{bytes, data, name_width};
use crate::memory::{Kind, Region};
use crate::numbers::Report;
use crate::palette;
use maud::{Markup, html};

/// Length of the window in units of its drawing.
const LENGTH: f64 = 1000.0;
/// Height of a strip in the same units.
const HEIGHT: f64 = 10.0;
/// What is shorter is drawn this long, or nobody would see it.
const SHORTEST: f64 = 1.5;
/// More rows than this are folded away at first.
const OPEN: usize = 80;

/// The section's strip, legend and rows.
pub fn draw(report: &Report) -> Markup {
    let regions = &report.memory;
    html! {
        svg.strip viewBox=(format!("0 0 {LENGTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label="The memory window to scale" {
            @for r in regions { (rect(r, report.window_bytes)) }
        }
        (legend(report))
        details open[regions.len() <= OPEN] {
            summary { (regions.len()) " stretches by offset" }
            ol.regions style=(name_width(regions.iter().map(|r| r.what.as_str()))) {
                @for r in regions { (row(r, report.window_bytes)) }
            }
        }
    }
}

fn legend(report: &Report) -> Markup {
    let of = |kind: Kind| -> usize {
        let same = report.memory.iter().filter(|r| r.kind == kind);
        same.map(|r| r.bytes).sum()
    };
    let used: usize = Kind::ALL.map(of).iter().sum();
    html! {
        ul.legend {
            @for kind in Kind::ALL {
                li {
                    span.swatch.{ "c-" (palette::kind(kind)) } {}
                    (kind.name()) " "
                    b { (bytes(of(kind) as u64)) }
                }
            }
            li {
                span.swatch.c-track {}
                "between them "
                b { (bytes(report.window_bytes.saturating_sub(used) as u64)) }
            }
        }
    }
}

fn row(r: &Region, window: usize) -> Markup {
    html! {
        li {
            span.name title=(r.what) { (r.what) }
            span.offset { (data(r.offset, &format!("{:#x}", r.offset))) }
            span.value { (data(r.bytes, &bytes(r.bytes as u64))) }
            svg.bar viewBox=(format!("0 0 {LENGTH} {HEIGHT}")) preserveAspectRatio="none" aria-hidden="true" { (rect(r, window)) }
        }
    }
}

fn rect(r: &Region, window: usize) -> Markup {
    let unit = LENGTH / window.max(1) as f64;
    let w = (r.bytes as f64 * unit).max(SHORTEST);
    let x = (r.offset as f64 * unit).min(LENGTH - w);
    html! {
        rect.{ "c-" (palette::kind(r.kind)) } x=(format!("{x:.2}")) y="0" width=(format!("{w:.2}")) height=(HEIGHT) {
            title { (r.what) ": " (bytes(r.bytes as u64)) " at " (format!("{:#x}", r.offset)) }
        }
    }
}

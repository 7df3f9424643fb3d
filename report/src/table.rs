//! All numbers of all layers, a row each.

use crate::format::{bytes, data, percent, short, whole};
use crate::numbers::{Layer, Part, Report, ratio};
use crate::palette;
use cnna_machine::layout::Shape;
use maud::{Markup, html};

/// The section's table.
pub fn draw(report: &Report) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="All numbers of all layers" {
            table {
                (head())
                tbody {
                    @for (i, layer) in report.layers.iter().enumerate() { (row(i + 1, layer)) }
                }
                (foot(report))
            }
        }
    }
}

fn head() -> Markup {
    html! {
        thead {
            tr {
                th colspan="7" {}
                th colspan="5" scope="colgroup" { "% of the layer's cycles" }
                th colspan="4" scope="colgroup" { "bytes over DDR" }
                th {}
            }
            tr {
                th scope="col" { "layer" }
                th scope="col" { "mode" }
                th scope="col" { "input" }
                th scope="col" { "output" }
                th.n scope="col" { "MAC" }
                th.n scope="col" { "cycles" }
                th.n scope="col" { "MAC/DSP" br; "/cycle" }
                @for part in ["busy", "wait act.", "wait weights", "wait store", "rest"] { th.n scope="col" { (part) } }
                th.n scope="col" { "read" }
                th.n scope="col" { "written" }
                th.n scope="col" { "weights" }
                th.n scope="col" { "commands" }
                th.n scope="col" { "saturated" }
            }
        }
    }
}

fn row(number: usize, layer: &Layer) -> Markup {
    let c = &layer.counters;
    html! {
        tr id={ "layer-" (number) } {
            th.name scope="row" title=(c.name) { span.row { (number) } (c.name) }
            td { span.swatch.dot.{ "c-" (palette::mode(c.mode)) } {} (c.mode.name()) }
            td { (shape(layer.input)) }
            td { (shape(layer.output)) }
            (count(c.macs))
            td.n { (data(c.cycles, &whole(c.cycles))) }
            (rate(layer.mac_per_dsp_per_cycle))
            @for part in Part::ALL { (share(layer.part(part), layer.share(part))) }
            (size(layer.read_bytes))
            (size(layer.write_bytes))
            (size(layer.weight_bytes))
            (size(layer.command_bytes))
            td.n { (data(c.saturated, &whole(c.saturated))) }
        }
    }
}

fn foot(report: &Report) -> Markup {
    let sum = |of: fn(&Layer) -> u64| report.layers.iter().map(of).sum::<u64>();
    html! {
        tfoot {
            tr {
                th.name scope="row" { "all" }
                td {} td {} td {}
                (count(report.macs))
                td.n { (data(report.cycles, &whole(report.cycles))) }
                (rate(report.mac_per_dsp_per_cycle))
                @for part in Part::ALL { (share(report.part(part), ratio(report.part(part), report.cycles))) }
                (size(sum(|l| l.read_bytes)))
                (size(sum(|l| l.write_bytes)))
                (size(sum(|l| l.weight_bytes)))
                (size(sum(|l| l.command_bytes)))
                td.n { (data(report.saturated, &whole(report.saturated))) }
            }
        }
    }
}

fn count(n: u64) -> Markup {
    html! { td.n { (data(n, &short(n))) } }
}

fn rate(v: f64) -> Markup {
    html! { td.n { (data(v, &format!("{v:.2}"))) } }
}

fn share(cycles: u64, share: f64) -> Markup {
    html! { td.n { (data(cycles, &percent(share))) } }
}

fn size(n: u64) -> Markup {
    html! { td.n { (data(n, &bytes(n))) } }
}

fn shape(s: Shape) -> String {
    format!("{}×{}×{}", s.c, s.h, s.w)
}

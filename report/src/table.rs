//! All numbers of all layers, a row each.

use crate::format::{bytes, data, percent, short, whole};
use crate::numbers::{Layer, Part, Report, ratio};
use crate::palette;
use cnna_machine::layout::Shape;
use cnna_machine::program::Mode;
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
                th colspan="5" scope="colgroup" { "bytes over DDR" }
                th colspan="2" {}
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
                th.n scope="col" { "of it res." }
                th.n scope="col" { "written" }
                th.n scope="col" { "weights" }
                th.n scope="col" { "commands" }
                th.n scope="col" { "on chip" }
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
            (size(layer.residual_bytes))
            (size(layer.write_bytes))
            (size(layer.weight_bytes))
            (size(layer.command_bytes))
            (size(layer.local_bytes))
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
                (size(sum(|l| l.residual_bytes)))
                (size(sum(|l| l.write_bytes)))
                (size(sum(|l| l.weight_bytes)))
                (size(sum(|l| l.command_bytes)))
                (size(sum(|l| l.local_bytes)))
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

/// What each convolution could do at best in each mode: the one that it runs in is marked.
pub fn modes(report: &Report) -> Markup {
    let known = [Mode::Winograd, Mode::Paired, Mode::Direct];
    html! {
        p { "Cycles of the array alone, were memory and ports never in its way; " b { "bold" } ": the mode that runs." }
        div.scroll tabindex="0" role="region" aria-label="Each convolution in each mode" {
            table {
                thead { tr {
                    th scope="col" { "convolution" }
                    @for mode in known { th.n scope="col" { (mode.name()) } }
                } }
                tbody.modes {
                    @for m in &report.modes { tr {
                        th.name scope="row" { (m.name) }
                        @for mode in known { td.n {
                            @match m.in_mode(mode) {
                                Some(n) if mode == m.taken => b { (data(n, &whole(n))) },
                                Some(n) => (data(n, &whole(n))),
                                None => "–",
                            }
                        } }
                    } }
                }
            }
        }
    }
}

fn shape(s: Shape) -> String {
    format!("{}×{}×{}", s.c, s.h, s.w)
}

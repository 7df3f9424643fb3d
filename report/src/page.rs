//! The page: headline, then one section a picture. Whole in itself, legible from 400 pixels on, light and dark.

use crate::format::{bytes, data, percent_sign, short, whole};
use crate::numbers::{Part, Report, ratio};
use crate::{ReportError, bars, palette, quantisation, roofline, table, window};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// The whole page as HTML. Errors: the roofline cannot be drawn.
pub fn page(report: &Report) -> Result<String, ReportError> {
    let roofline = roofline::draw(report)?;
    let title = format!(
        "{} on {}: where the time goes",
        report.network, report.board
    );
    Ok(document(
        &title,
        html! {
            (header(report))
            (section("Roofline", roofline))
            (section("Where the cycles go", bars::draw(report)))
            @if let Some(q) = &report.quantisation { (section("Signal to noise", quantisation::draw(q))) }
            (section("Layers", table::draw(report)))
            @if !report.modes.is_empty() { (section("At best in each mode", table::modes(report))) }
            (section("Memory window", html! {
                p.lead { (data(report.window_bytes, &bytes(report.window_bytes as u64))) " from the window's start" }
                (window::draw(report))
            }))
            (footer(report))
        },
    ))
}

/// The page's figures, roofline and table alone, as a notebook shows them. Errors: the roofline cannot be drawn.
pub fn summary(report: &Report) -> Result<String, ReportError> {
    let roofline = roofline::draw(report)?;
    let title = format!("{} on {}", report.network, report.board);
    Ok(document(
        &title,
        html! {
            (header(report))
            (section("Roofline", roofline))
            (section("Layers", table::draw(report)))
        },
    ))
}

/// A page of this crate's style: whole in itself, no script, no font, no request.
pub fn document(title: &str, content: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(palette::css())) (PreEscaped(STYLE)) }
            }
            body { main { (content) } }
        }
    };
    page.into_string()
}

fn section(title: &str, content: Markup) -> Markup {
    html! { section { h2 { (title) } (content) } }
}

fn header(r: &Report) -> Markup {
    let m = &r.machine;
    html! {
        header {
            h1 { (r.network) span.on { " on " (r.board) } }
            p.quiet {
                (r.title) ": " (m.dsps) " DSPs (tiles " (m.tiles) ", lanes " (m.lanes) "), " (m.word_bits) "-bit words, "
                (r.roofs.bytes_per_cycle) " B/cycle. Configuration " code { (r.config) }
            }
            dl.figures {
                (figure(html! { (data(r.milliseconds, &format!("{:.3}", r.milliseconds))) " ms" }, &format!("an image at {} MHz, the planned clock (predicted)", r.clock_mhz)))
                (figure(html! { (data(r.cycles, &whole(r.cycles))) }, "cycles an image"))
                (figure(html! { (data(r.mac_per_dsp_per_cycle, &format!("{:.2}", r.mac_per_dsp_per_cycle))) }, &format!("MAC/DSP/cycle, {} MAC", short(r.macs))))
                (figure(html! { (data(r.ddr_bytes, &bytes(r.ddr_bytes))) }, &format!("over DDR, {:.1} B/cycle", ratio(r.ddr_bytes, r.cycles))))
            }
            p.lead { (verdict(r)) }
        }
    }
}

fn figure(value: Markup, what: &str) -> Markup {
    html! { div { dt { (what) } dd { (value) } } }
}

/// Where the time goes, in a sentence or two.
fn verdict(r: &Report) -> String {
    let share = |part: Part| ratio(r.part(part), r.cycles);
    let mut waits = [Part::Load, Part::Weight, Part::Store, Part::Rest];
    waits.sort_by(|a, b| share(*b).total_cmp(&share(*a)));
    let mut layers: Vec<_> = r.layers.iter().collect();
    layers.sort_by_key(|l| std::cmp::Reverse(l.counters.cycles));
    let longest: Vec<String> = layers
        .iter()
        .take(3)
        .map(|l| {
            format!(
                "{} ({})",
                l.counters.name,
                percent_sign(ratio(l.counters.cycles, r.cycles))
            )
        })
        .collect();
    format!(
        "The array computes in {} of the cycles; the largest loss is {} ({}). Longest layers: {}.",
        percent_sign(share(Part::Busy)),
        waits[0].name(),
        percent_sign(share(waits[0])),
        longest.join(", ")
    )
}

fn footer(r: &Report) -> Markup {
    html! {
        footer {
            p {
                "Cycles are the device's own counters, from the mark of the layer before to the layer's own; ran on device " code { (r.device) }
                ", image: " (r.image) ". "
                @if r.estimated_cycles > 0 { "The compiler had estimated " (whole(r.estimated_cycles)) " cycles. " }
                "Start and end of the program belong to no layer. Milliseconds are a prediction until the board has run at this clock. "
                "Weight and command bytes are counted from the command stream; weights may be fetched during the layer before."
            }
            p { "Written by cnna " (env!("CARGO_PKG_VERSION")) "." }
        }
    }
}

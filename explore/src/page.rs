//! The page: what was explored, four pictures of cycles against what they cost, the front as a table; and the files beside it.

use crate::error::ExploreError;
use crate::search::{AGAINST, Exploration, Machine};
use cnna_host::HostError;
use cnna_host::files::{write_json, write_whole};
use cnna_report::format::{data, short, whole};
use cnna_report::{axis, document};
use maud::{Markup, html};
use std::path::Path;

/// Folder of the machines' board files, beside the page.
const MACHINES: &str = "machines";
/// The page's file.
pub const PAGE: &str = "index.html";
/// The chosen machine's board file.
const BOARD: &str = "board.toml";
/// All numbers.
const NUMBERS: &str = "explore.json";

/// Writes `index.html`, `board.toml` (the chosen machine), `explore.json` and `machines/NAME.toml` into a folder, which is
/// made. Errors: a file cannot be written.
pub fn write(e: &Exploration, folder: &Path) -> Result<(), ExploreError> {
    let machines = folder.join(MACHINES);
    std::fs::create_dir_all(&machines).map_err(HostError::io(&machines))?;
    let toml = |path: &Path, m: &Machine| {
        let text = toml::to_string(&m.board).expect("plain fields always serialise");
        write_whole(path, |w| w.write_all(text.as_bytes()))
    };
    for m in &e.machines {
        toml(&machines.join(file(m)), m)?;
    }
    toml(&folder.join(BOARD), &e.machines[e.chosen])?;
    write_json(&folder.join(NUMBERS), e)?;
    let page = page(e);
    write_whole(&folder.join(PAGE), |w| w.write_all(page.as_bytes()))?;
    Ok(())
}

fn file(m: &Machine) -> String {
    format!("{}.toml", m.board.name)
}

fn page(e: &Exploration) -> String {
    let title = format!("{} on {}: which machine", e.networks.join(" and "), e.board);
    document(
        &title,
        html! {
            (header(e))
            @for (name, of) in AGAINST {
                section {
                    h2 { "Cycles against " (name) }
                    (plot(e, name, of))
                }
            }
            section { h2 { "The fronts" } (table(e)) }
            footer {
                p {
                    "DSP slices and block RAMs are counted by the formulas that synthesis confirms, look-up tables estimated; bytes are those of the "
                    "command stream. Cycles of the front are the cycle simulator's, all others the compiler's plan. "
                    "The clock is the board's for all machines. Every machine's board file: click its point, or see " code { (MACHINES) } "; all numbers: "
                    a href=(NUMBERS) { code { (NUMBERS) } } "."
                }
                p { "Written by cnna " (env!("CARGO_PKG_VERSION")) "." }
            }
        },
    )
}

fn header(e: &Exploration) -> Markup {
    let chosen = &e.machines[e.chosen];
    let own = &e.machines[0];
    let front = e.machines.iter().filter(|m| m.front).count();
    html! {
        header {
            h1 { (e.networks.join(" and ")) span.on { " on " (e.board) ": which machine" } }
            p.quiet {
                (whole(e.machines.len() as u64)) " machines planned of " (whole(e.space as u64)) " shapes, " (front)
                " of them on a front and simulated; " (e.unfit) " more fit the chip and not the network."
            }
            dl.figures {
                (figure(&whole(chosen.cycles()), chosen.cycles(), "cycles, each network once, on the fastest machine"))
                (figure(&format!("{:.3} ms", chosen.milliseconds()), chosen.cycles(), "at the board's planned clock (predicted)"))
                (figure(&format!("{:.2}", own.cycles() as f64 / chosen.cycles().max(1) as f64), own.cycles(), "times faster than the board file's own machine"))
                (figure(&chosen.board.accelerator.all_dsps().to_string(), chosen.board.accelerator.all_dsps() as u64, "of its DSP slices"))
            }
            p.lead {
                "The fastest: " a href=(BOARD) { (chosen.board.name) } " (" code { (BOARD) } "), " (shape(chosen)) "."
            }
        }
    }
}

fn figure(value: &str, exact: u64, what: &str) -> Markup {
    html! { div { dt { (what) } dd { (data(exact, value)) } } }
}

fn shape(m: &Machine) -> String {
    let a = &m.board.accelerator;
    format!(
        "{} tiles x {} lanes, buffers {} / {} / {}, {} weight ports",
        a.tiles, a.lanes, a.act_depth, a.weight_depth, a.out_depth, a.weight_ports
    )
}

/// Width and height of a picture.
const SIZE: (f64, f64) = (1080.0, 420.0);
/// Left, top, right, bottom of its plane.
const PLANE: [f64; 4] = [84.0, 14.0, 1060.0, 372.0];

/// Cycles over a cost, both logarithmic.
fn plot(e: &Exploration, name: &str, of: fn(&Machine) -> u64) -> Markup {
    let xs = axis::Log::over(e.machines.iter().map(|m| of(m) as f64));
    let ys = axis::Log::over(e.machines.iter().map(|m| m.cycles() as f64));
    let [l, t, r, b] = PLANE;
    let x = |v: f64| l + (r - l) * xs.share(v);
    let y = |v: f64| b - (b - t) * ys.share(v);
    let front = e.front(of);
    let line: String = front
        .iter()
        .map(|&i| {
            let m = &e.machines[i];
            format!("{:.1},{:.1} ", x(of(m) as f64), y(m.cycles() as f64))
        })
        .collect();
    let others = (0..e.machines.len()).filter(|i| !front.contains(i));
    html! {
        div.scroll {
            svg.plot viewBox=(format!("0 0 {} {}", SIZE.0, SIZE.1)) role="img" aria-label=(format!("Cycles against {name} of all machines")) {
                @for v in xs.ticks() {
                    line.grid x1=(px(x(v))) x2=(px(x(v))) y1=(t) y2=(b) {}
                    text.roof x=(px(x(v))) y=(b + 18.0) text-anchor="middle" { (short(v as u64)) }
                }
                @for v in ys.ticks() {
                    line.grid x1=(l) x2=(r) y1=(px(y(v))) y2=(px(y(v))) {}
                    text.roof x=(l - 8.0) y=(px(y(v) + 4.0)) text-anchor="end" { (short(v as u64)) }
                }
                text.roof x=((l + r) / 2.0) y=(SIZE.1 - 8.0) text-anchor="middle" { (name) }
                text.roof x="16" y=((t + b) / 2.0) text-anchor="middle" transform=(format!("rotate(-90 16 {})", (t + b) / 2.0)) { "cycles" }
                polyline.front points=(line.trim_end()) {}
                @for i in others { (point(&e.machines[i], x(of(&e.machines[i]) as f64), y(e.machines[i].cycles() as f64), "c-grey", 2.5)) }
                @for &i in &front {
                    @let m = &e.machines[i];
                    (point(m, x(of(m) as f64), y(m.cycles() as f64), if i == e.chosen { "c-orange" } else { "c-blue" }, 5.0))
                }
            }
        }
    }
}

fn px(v: f64) -> String {
    format!("{v:.1}")
}

fn point(m: &Machine, x: f64, y: f64, class: &str, radius: f64) -> Markup {
    let costs: Vec<String> = AGAINST
        .iter()
        .map(|(name, of)| format!("{} {name}", whole(of(m))))
        .collect();
    let how = if m.front { "simulated" } else { "planned" };
    html! {
        a href={ (MACHINES) "/" (file(m)) } {
            circle.(class) cx=(px(x)) cy=(px(y)) r=(radius) {
                title { (m.board.name) ": " (whole(m.cycles())) " cycles (" (how) "), " (costs.join(", ")) }
            }
        }
    }
}

fn table(e: &Exploration) -> Markup {
    let mut rows: Vec<usize> = (0..e.machines.len())
        .filter(|&i| e.machines[i].front)
        .collect();
    rows.sort_by_key(|&i| e.machines[i].cycles());
    html! {
        div.scroll tabindex="0" role="region" aria-label="The machines on the fronts" {
            table {
                thead { tr {
                    th scope="col" { "machine" }
                    @for n in ["tiles", "lanes", "act", "weight", "out", "ports", "DSP", "BRAM36", "~LUT", "DDR bytes", "cycles", "ms"] { th.n scope="col" { (n) } }
                    @if e.networks.len() > 1 { @for n in &e.networks { th.n scope="col" { (n) } } }
                    th.n scope="col" { "plan off by" }
                } }
                tbody { @for i in rows { (row(e, i)) } }
            }
        }
    }
}

fn row(e: &Exploration, i: usize) -> Markup {
    let m = &e.machines[i];
    let a = &m.board.accelerator;
    let planned: u64 = m.costs.iter().map(|c| c.planned).sum();
    let off = 100.0 * (planned as f64 / m.cycles().max(1) as f64 - 1.0);
    html! {
        tr {
            th.name scope="row" {
                a href={ (MACHINES) "/" (file(m)) } { (m.board.name) }
                @if i == e.chosen { " (chosen)" }
            }
            @for n in [a.tiles, a.lanes, a.act_depth, a.weight_depth, a.out_depth, a.weight_ports, a.all_dsps(), a.bram36()] { td.n { (n) } }
            td.n { (data(a.luts(), &short(a.luts() as u64))) }
            td.n { (data(m.ddr_bytes(), &short(m.ddr_bytes()))) }
            td.n { (data(m.cycles(), &whole(m.cycles()))) }
            td.n { (format!("{:.3}", m.milliseconds())) }
            @if e.networks.len() > 1 { @for c in &m.costs { td.n { (data(c.cycles(), &whole(c.cycles()))) } } }
            td.n { (format!("{off:+.1} %")) }
        }
    }
}

//! Every colour of the page, light and dark, in one table. Text reaches WCAG's contrast of 4.5:1, roofs and points 3:1.

use crate::memory::Kind;
use crate::numbers::Part;
use cnna_machine::program::Mode;
use plotters::style::RGBColor;
use std::fmt::Write as _;

/// A colour by name: CSS variable, light, dark.
struct Colour(&'static str, u32, u32);

const COLOURS: [Colour; 14] = [
    Colour("ground", 0xfbfbf9, 0x16181b),
    Colour("panel", 0xffffff, 0x1d2024),
    Colour("ink", 0x1d2126, 0xe4e6e9),
    Colour("quiet", 0x5d656f, 0x9ba3ad),
    Colour("line", 0xdfe2e6, 0x32373d),
    Colour("roof", 0x7a828c, 0x868e98),
    Colour("blue", 0x2b6cb0, 0x6fa8dc),
    Colour("orange", 0xc8641b, 0xe8944a),
    Colour("yellow", 0xe3b23c, 0xc79a2f),
    Colour("green", 0x2e8b6f, 0x56b895),
    Colour("rose", 0xb8457b, 0xd978a6),
    Colour("grey", 0xb6bcc4, 0x565d66),
    Colour("violet", 0x6b5bb5, 0xa394e0),
    Colour("track", 0xeef0f2, 0x25292e),
];

/// The colour of a layer's mode.
pub fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Winograd => "blue",
        Mode::Direct => "orange",
        Mode::Paired => "yellow",
        Mode::Vector => "green",
        Mode::Pool => "violet",
        Mode::Rows => "rose",
    }
}

/// The colour of a part of a layer's cycles.
pub fn part(part: Part) -> &'static str {
    match part {
        Part::Busy => "blue",
        Part::Load => "orange",
        Part::Weight => "yellow",
        Part::Store => "rose",
        Part::Rest => "grey",
    }
}

/// The colour of a stretch of memory.
pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Commands => "violet",
        Kind::Weights => "yellow",
        Kind::Biases => "orange",
        Kind::Input => "green",
        Kind::Output => "blue",
        Kind::Images => "grey",
        Kind::Counters => "rose",
    }
}

/// The light variant, for plotters, which knows no CSS; [`css`] gives it its dark variant.
pub fn light(name: &str) -> RGBColor {
    let rgb = COLOURS
        .iter()
        .find(|c| c.0 == name)
        .map_or(0, |Colour(_, light, _)| *light);
    RGBColor((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
}

/// The table as CSS: variables, a class for each colour, and rules that turn what plotters drew.
pub fn css() -> String {
    let variables = |pick: fn(&Colour) -> u32| {
        COLOURS.iter().fold(String::new(), |mut s, c| {
            // Writing to a String cannot fail.
            let _ = write!(s, "--{}:#{:06x};", c.0, pick(c));
            s
        })
    };
    let mut s = format!(
        ":root{{color-scheme:light dark;{}}}\n@media(prefers-color-scheme:dark){{:root{{{}}}}}\n",
        variables(|c| c.1),
        variables(|c| c.2)
    );
    for Colour(name, light, _) in &COLOURS {
        let _ = writeln!(
            s,
            ".c-{name}{{fill:var(--{name});background-color:var(--{name})}}\
             [fill=\"#{light:06X}\"]{{fill:var(--{name})}}[stroke=\"#{light:06X}\"]{{stroke:var(--{name})}}"
        );
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, WCAG 2.2.
    fn luminance(rgb: u32) -> f64 {
        let channel = |shift: u32| {
            let v = f64::from(rgb >> shift & 255) / 255.0;
            if v <= 0.04045 {
                v / 12.92
            } else {
                ((v + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
    }

    #[test]
    fn text_and_marks_stand_out_from_their_ground_light_and_dark() {
        let of = |name: &str| COLOURS.iter().find(|c| c.0 == name).unwrap();
        let contrast = |a: u32, b: u32| {
            let (a, b) = (luminance(a), luminance(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        let marks = ["roof", "blue", "orange", "green", "violet"].map(|m| (m, 3.0));
        let texts = [("ink", 4.5), ("quiet", 4.5)];
        for (name, least) in texts.into_iter().chain(marks) {
            for ground in ["ground", "panel"] {
                let (c, g) = (of(name), of(ground));
                let both = [contrast(c.1, g.1), contrast(c.2, g.2)];
                assert!(
                    both.iter().all(|&v| v >= least),
                    "{name} on {ground}: {both:?}"
                );
            }
        }
    }
}

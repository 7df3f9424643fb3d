//! How near each tensor's integers are to the float network: what `cnna quantize --json` measured, as a picture.

use crate::format::{data, name_width, whole};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

/// Length of the longest bar in units of its drawing; the window decides how long a unit is.
const LENGTH: f64 = 1000.0;
/// Height of a bar in the same units.
const HEIGHT: f64 = 10.0;
/// Width of the mark of the least ratio in the same units.
const MARK: f64 = 3.0;

/// The table of `cnna quantize`; what the picture does not show is left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quantisation {
    /// In order of execution.
    pub rows: Vec<Tensor>,
    /// The worst output's ratio in dB; none where there is no error.
    pub output_db: Option<f64>,
    /// Below so many dB of the output a network's answers begin to change.
    pub least_db: f64,
    /// Images measured.
    pub images: usize,
    /// Of a classifier some of whose weights are of eight bits among words of sixteen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrow_classes: Option<NarrowClasses>,
}

/// Best classes with weights of eight bits against those with sixteen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NarrowClasses {
    /// Calibration images with the same.
    pub same: usize,
    /// Calibration images.
    pub images: usize,
    /// Those that had the same with the layers that decibels alone chose.
    pub same_by_db: usize,
    /// What was taken back to sixteen bits for the classes' sake.
    pub taken_back: Vec<String>,
}

/// One tensor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tensor {
    /// Its name.
    pub tensor: String,
    /// The operator that writes it; none for an input.
    pub operator: Option<String>,
    /// Fraction bits.
    pub frac: i32,
    /// Power of the float values over that of the error, in dB; none where there is no error.
    pub snr_db: Option<f64>,
    /// Results that saturated.
    pub saturated: u64,
    /// True for an output of the network.
    pub output: bool,
}

/// What a bar's colour says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Inner,
    Output,
    Low,
}

impl Class {
    const ALL: [Class; 3] = [Class::Inner, Class::Output, Class::Low];

    fn of(t: &Tensor, least: f64) -> Class {
        match t.snr_db {
            Some(db) if db < least => Class::Low,
            _ if t.output => Class::Output,
            _ => Class::Inner,
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Class::Inner => "blue",
            Class::Output => "green",
            Class::Low => "rose",
        }
    }

    fn name(self, least: f64) -> String {
        match self {
            Class::Inner => "inside the network".into(),
            Class::Output => "output".into(),
            Class::Low => format!("below {least} dB, where answers begin to change"),
        }
    }
}

/// The section: a bar a tensor, as long as its decibels.
pub fn draw(q: &Quantisation) -> Markup {
    let longest = q.rows.iter().filter_map(|r| r.snr_db);
    let unit = LENGTH / longest.fold(q.least_db.max(1.0), f64::max);
    let count = |c| {
        q.rows
            .iter()
            .filter(|r| Class::of(r, q.least_db) == c)
            .count()
    };
    html! {
        p.lead {
            "Output: " @match q.output_db {
                Some(db) => b { (decibels(db)) " dB" },
                None => b { "exact" },
            }
            ", against the network's real values on " (q.images) " calibration image(s). The grey mark is at " (q.least_db) " dB."
        }
        @if let Some(n) = &q.narrow_classes {
            p {
                "Best class with 8-bit weights that of 16-bit ones on " b { (n.same) " of " (n.images) } " calibration image(s)"
                @if !n.taken_back.is_empty() {
                    "; by decibels alone on " (n.same_by_db) ": back to 16 bits " (n.taken_back.join(", "))
                }
                "."
            }
        }
        ul.legend {
            @for c in Class::ALL {
                li { span.swatch.{ "c-" (c.colour()) } {} (c.name(q.least_db)) " " b { (count(c)) } }
            }
        }
        ol.snr style=(name_width(q.rows.iter().map(|r| r.tensor.as_str()))) {
            @for (i, r) in q.rows.iter().enumerate() { (row(i + 1, r, unit, q.least_db)) }
        }
    }
}

fn row(number: usize, t: &Tensor, unit: f64, least: f64) -> Markup {
    // No error is as good as it gets; more noise than signal has no length.
    let length = t.snr_db.map_or(LENGTH, |db| db.max(0.0) * unit);
    let text = t.snr_db.map_or("exact".into(), |db| format!("{db:.1} dB"));
    let operator = t.operator.as_deref().unwrap_or("input");
    let title = format!(
        "{}, {operator}: {text}, {} fraction bits, {} saturated",
        t.tensor,
        t.frac,
        whole(t.saturated)
    );
    html! {
        li {
            span.row { (number) }
            span.name title=(t.tensor) { (t.tensor) }
            svg.bar viewBox=(format!("0 0 {LENGTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(title) {
                rect.{ "c-" (Class::of(t, least).colour()) } x="0" y="0" width=(format!("{length:.2}")) height=(HEIGHT) {
                    title { (title) }
                }
                rect.c-roof x=(format!("{:.2}", (least * unit).min(LENGTH - MARK))) y="0" width=(MARK) height=(HEIGHT) {}
            }
            span.value { @match t.snr_db { Some(db) => (decibels(db)), None => "exact" } }
        }
    }
}

fn decibels(db: f64) -> Markup {
    data(db, &format!("{db:.1}"))
}

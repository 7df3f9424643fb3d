//! Axes, grid and roofs, drawn by plotters on logarithmic scales.

use super::Frame;
use super::labels::Rect;
use crate::numbers::{Layer, Roofs};
use crate::palette;
use plotters::prelude::*;
use std::ops::Range;

/// Size of plotters' text, which writes it at 1/1.24 of this.
const TEXT: f64 = 15.0;

/// What plotters drew, and where things lie in it.
pub struct Drawn {
    /// An SVG element.
    pub svg: String,
    /// The plot without its axes.
    pub bounds: Rect,
    /// In the order of the layers given.
    pub points: Vec<(f64, f64)>,
    /// Left ends of the roofs, in the order of [`Roofs::flats`].
    pub roofs: Vec<(f64, f64)>,
    /// Lower and upper end of the memory's slope.
    pub slope: [(f64, f64); 2],
}

/// Draws the axes, the grid and the roofs, and places the layers. Errors: plotters refuses.
pub fn axes(
    frame: &Frame,
    roofs: &Roofs,
    layers: &[(usize, &Layer)],
) -> Result<Drawn, Box<dyn std::error::Error>> {
    let (x, y) = ranges(roofs, layers);
    let (ink, quiet, line) = ["ink", "quiet", "line"].map(palette::light).into();
    let mut svg = String::new();
    let drawn = {
        let root = SVGBackend::with_string(&mut svg, frame.size).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(4)
            .margin_right(10)
            .x_label_area_size(46)
            .y_label_area_size(54)
            .build_cartesian_2d(
                x.clone().log_scale().with_key_points(ticks(&x)),
                y.clone().log_scale().with_key_points(ticks(&y)),
            )?;
        let style = |colour: RGBColor| ("sans-serif", TEXT).into_font().color(&colour);
        chart
            .configure_mesh()
            .bold_line_style(line)
            .light_line_style(TRANSPARENT)
            .axis_style(quiet)
            .label_style(style(quiet))
            .axis_desc_style(style(ink))
            .x_desc("MAC per DDR byte")
            .y_desc("MAC per cycle")
            .x_label_formatter(&tick_text)
            .y_label_formatter(&tick_text)
            .draw()?;
        let ridge = roofs.peak() / roofs.bytes_per_cycle;
        let foot = x.start.max(y.start / roofs.bytes_per_cycle);
        let slope = [foot, ridge].map(|x| (x, x * roofs.bytes_per_cycle));
        let flat = |roof: f64| [(roof / roofs.bytes_per_cycle, roof), (x.end, roof)];
        let flats: Vec<f64> = roofs.flats().map(|(_, roof)| roof).collect();
        let stroke = palette::light("roof").stroke_width(2);
        chart.draw_series(LineSeries::new(slope, stroke))?;
        for &roof in &flats {
            chart.draw_series(LineSeries::new(flat(roof), stroke))?;
        }
        let place = |p: (f64, f64)| {
            let (x, y) = chart.backend_coord(&p);
            (f64::from(x), f64::from(y))
        };
        let (xs, ys) = chart.plotting_area().get_pixel_range();
        let drawn = Drawn {
            svg: String::new(),
            bounds: Rect {
                x: xs.start.into(),
                y: ys.start.into(),
                w: xs.len() as f64,
                h: ys.len() as f64,
            },
            points: layers
                .iter()
                .map(|(_, l)| place((l.mac_per_byte, l.mac_per_cycle)))
                .collect(),
            roofs: flats.iter().map(|&roof| place(flat(roof)[0])).collect(),
            slope: slope.map(place),
        };
        root.present()?;
        drawn
    };
    Ok(Drawn { svg, ..drawn })
}

/// Ranges of both axes: all points and the ends of all roofs, with some room.
fn ranges(roofs: &Roofs, layers: &[(usize, &Layer)]) -> (Range<f64>, Range<f64>) {
    let ends = [roofs.direct, roofs.peak()];
    let x = layers.iter().map(|(_, l)| l.mac_per_byte);
    let y = layers.iter().map(|(_, l)| l.mac_per_cycle);
    (
        wide(x.chain(ends.map(|roof| roof / roofs.bytes_per_cycle)), 2.5),
        wide(y.chain(ends), 1.6),
    )
}

/// From half the smallest value to `above` times the largest.
fn wide(values: impl Iterator<Item = f64>, above: f64) -> Range<f64> {
    let (lo, hi) = values.fold((f64::MAX, 0.0f64), |(lo, hi), v| (lo.min(v), hi.max(v)));
    lo / 2.0..hi * above
}

/// 1, 2 and 5 of each decade, or only 1 when there are many.
fn ticks(range: &Range<f64>) -> Vec<f64> {
    let (lo, hi) = (range.start.log10(), range.end.log10());
    let steps: &[f64] = if hi - lo > 3.0 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let all = (lo.floor() as i32..=hi.ceil() as i32)
        .flat_map(|e| steps.iter().map(move |s| s * 10f64.powi(e)));
    all.filter(|v| range.contains(v)).collect()
}

fn tick_text(v: &f64) -> String {
    let decimals = (-v.log10().floor()).max(0.0) as usize;
    format!("{v:.decimals$}")
}

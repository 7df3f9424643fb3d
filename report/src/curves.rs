//! Curves of a run that has epochs, as an SVG of its own: panels one above the other over one axis of epochs.

use crate::{ReportError, palette};
use plotters::coord::ranged1d::{IntoSegmentedCoord as _, SegmentValue};
use plotters::prelude::*;

/// Size of one panel in pixels.
const PANEL: (u32, u32) = (720, 260);
/// Size of plotters' text.
const TEXT: f64 = 15.0;
/// In the order of a panel's curves.
const COLOURS: [&str; 3] = ["blue", "orange", "green"];

/// Values by epoch.
#[derive(Clone, Debug)]
pub struct Curve<'a> {
    /// In the legend.
    pub name: &'a str,
    /// Epoch and value.
    pub points: Vec<(usize, f64)>,
}

/// Curves of one unit.
#[derive(Clone, Debug)]
pub struct Panel<'a> {
    /// Of the axis.
    pub unit: &'a str,
    /// At most three.
    pub curves: Vec<Curve<'a>>,
}

/// The panels as one SVG document; curves without points are left out. Errors: plotters refuses.
pub fn draw(panels: &[Panel]) -> Result<String, ReportError> {
    let mut svg = String::new();
    paint(&mut svg, panels).map_err(|e| ReportError::Plot(e.to_string()))?;
    Ok(svg)
}

fn paint(svg: &mut String, panels: &[Panel]) -> Result<(), Failed> {
    let size = (PANEL.0, PANEL.1 * panels.len().max(1) as u32);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&palette::light("panel"))?;
    let all = || panels.iter().flat_map(|p| &p.curves);
    let last = all()
        .flat_map(|c| &c.points)
        .map(|p| p.0)
        .max()
        .unwrap_or(1);
    for (panel, area) in panels.iter().zip(root.split_evenly((panels.len(), 1))) {
        chart(panel, &area, last)?;
    }
    root.present()?;
    Ok(())
}

type Failed = DrawingAreaErrorKind<std::io::Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn chart(panel: &Panel, area: &Area<'_>, last: usize) -> Result<(), Failed> {
    let values = || panel.curves.iter().flat_map(|c| &c.points).map(|p| p.1);
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = match low <= high {
        true => (low, high),
        false => (0.0, 1.0),
    };
    let room = ((high - low) * 0.08).max(1e-6);
    let [ink, quiet, line] = ["ink", "quiet", "line"].map(palette::light);
    let style = |colour: RGBColor| ("sans-serif", TEXT).into_font().color(&colour);
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((1..last).into_segmented(), low - room..high + room)?;
    chart
        .configure_mesh()
        .bold_line_style(line)
        .light_line_style(TRANSPARENT)
        .axis_style(quiet)
        .label_style(style(quiet))
        .axis_desc_style(style(ink))
        .x_desc("epoch")
        .y_desc(panel.unit)
        .draw()?;
    for (curve, colour) in panel.curves.iter().zip(COLOURS.map(palette::light)) {
        if curve.points.is_empty() {
            continue;
        }
        let at = |&(x, y): &(usize, f64)| (SegmentValue::CenterOf(x), y);
        let points = || curve.points.iter().map(at);
        chart
            .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        // One epoch alone has no line.
        chart.draw_series(points().map(|p| Circle::new(p, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .label_font(style(ink))
        .background_style(palette::light("panel"))
        .border_style(line)
        .draw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_has_a_point_an_epoch_and_its_name() {
        let curve = |name, n: usize| Curve {
            name,
            points: (1..=n).map(|e| (e, 1.0 / e as f64)).collect(),
        };
        let panels = [
            Panel {
                unit: "loss",
                curves: vec![curve("training", 5)],
            },
            Panel {
                unit: "right answers, %",
                curves: vec![curve("test", 4), curve("held out", 0)],
            },
        ];
        let svg = draw(&panels).unwrap();
        assert_eq!(svg.matches("<circle").count(), 9);
        for text in ["loss", "epoch", "training", "test", "right answers, %"] {
            assert!(svg.contains(text), "{text}");
        }
        assert!(!svg.contains("held out"));
        assert!(draw(&[]).is_ok());
    }
}

//! Places for the labels of points, so that none covers another or a point. Lengths in pixels of the plot.

/// A rectangle; y grows downwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    /// Left side.
    pub x: f64,
    /// Upper side.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

impl Rect {
    /// A square around a point.
    pub fn around((x, y): (f64, f64), radius: f64) -> Self {
        Rect {
            x: x - radius,
            y: y - radius,
            w: 2.0 * radius,
            h: 2.0 * radius,
        }
    }

    /// They share room.
    pub fn meets(&self, o: &Rect) -> bool {
        self.x < o.x + o.w && o.x < self.x + self.w && self.y < o.y + o.h && o.y < self.y + self.h
    }

    fn inside(&self, o: &Rect) -> bool {
        self.x >= o.x
            && self.y >= o.y
            && self.x + self.w <= o.x + o.w
            && self.y + self.h <= o.y + o.h
    }

    /// The point of the rectangle next to `p`.
    pub fn nearest(&self, (px, py): (f64, f64)) -> (f64, f64) {
        (
            px.clamp(self.x, self.x + self.w),
            py.clamp(self.y, self.y + self.h),
        )
    }
}

/// A line as squares of a radius.
pub fn along((x0, y0): (f64, f64), (x1, y1): (f64, f64), radius: f64) -> Vec<Rect> {
    let steps = ((x1 - x0).hypot(y1 - y0) / (2.0 * radius)).ceil().max(1.0) as u32;
    let at = |i: u32| f64::from(i) / f64::from(steps);
    let point = |t: f64| (x0 + (x1 - x0) * t, y0 + (y1 - y0) * t);
    (0..=steps)
        .map(|i| Rect::around(point(at(i)), radius))
        .collect()
}

/// Height of a label's line.
pub const LINE: f64 = 14.0;
/// Size of a label's letters; the style sheet says the same.
const EM: f64 = 12.0;
/// Gaps between a point and its label, tried in turn.
const GAPS: [f64; 6] = [8.0, 16.0, 26.0, 40.0, 56.0, 76.0];
/// Beyond this gap a label needs a line to its point.
pub const NEAR: f64 = 10.0;

/// Width of a text, as wide as the widest of the usual sans-serif fonts (DejaVu Sans) writes it.
pub fn width(text: &str) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '\'' | '|' => 0.28,
        ' ' | '.' | ',' | ':' | ';' | '/' | '!' | '-' | 'f' | 't' | 'r' | '(' | ')' | '[' | ']' => {
            0.41
        }
        '_' | 's' | 'c' | 'z' | 'x' | 'v' | 'k' | '"' => 0.6,
        'a'..='l' | 'n'..='v' | 'y' | '0'..='9' => 0.64,
        _ if !c.is_ascii() => 1.0,
        'm' | 'M' | 'W' | '@' | '%' => 1.0,
        _ => 0.84,
    };
    text.chars().map(em).sum::<f64>() * EM
}

/// Free places within `bounds`, handed out one after another.
pub struct Places {
    bounds: Rect,
    taken: Vec<Rect>,
}

impl Places {
    /// `taken` is never covered: the points themselves, other text.
    pub fn new(bounds: Rect, taken: Vec<Rect>) -> Self {
        Places { bounds, taken }
    }

    /// The first of `texts` that finds room near `point`, and where; nothing when all is full.
    pub fn place<'t>(&mut self, point: (f64, f64), texts: &'t [String]) -> Option<(&'t str, Rect)> {
        texts.iter().find_map(|text| {
            let spot = self.free(point, width(text))?;
            self.taken.push(spot);
            Some((text.as_str(), spot))
        })
    }

    fn free(&self, (x, y): (f64, f64), w: f64) -> Option<Rect> {
        let h = LINE;
        GAPS.iter().find_map(|&gap| {
            let slant = gap * 0.7;
            let corners = [
                (x + gap, y - h / 2.0),
                (x - gap - w, y - h / 2.0),
                (x - w / 2.0, y - gap - h),
                (x - w / 2.0, y + gap),
                (x + slant, y - slant - h),
                (x + slant, y + slant),
                (x - slant - w, y - slant - h),
                (x - slant - w, y + slant),
            ];
            let spots = corners.map(|(x, y)| Rect { x, y, w, h });
            spots
                .into_iter()
                .find(|s| s.inside(&self.bounds) && !self.taken.iter().any(|t| t.meets(s)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLOT: Rect = Rect {
        x: 0.0,
        y: 0.0,
        w: 200.0,
        h: 120.0,
    };

    #[test]
    fn labels_of_crowded_points_neither_meet_nor_leave_the_plot() {
        let points: Vec<_> = (0..12).map(|i| (90.0 + f64::from(i), 60.0)).collect();
        let taken = points.iter().map(|&p| Rect::around(p, 4.0)).collect();
        let mut places = Places::new(PLOT, taken);
        let texts = ["conv".to_string(), "7".to_string()];
        let spots: Vec<Rect> = points
            .iter()
            .filter_map(|&p| places.place(p, &texts))
            .map(|(_, spot)| spot)
            .collect();
        assert!(spots.len() >= 10, "{spots:?}");
        for (i, a) in spots.iter().enumerate() {
            assert!(a.inside(&PLOT), "{a:?}");
            assert!(
                points.iter().all(|&p| !a.meets(&Rect::around(p, 4.0))),
                "{a:?}"
            );
            assert!(spots[..i].iter().all(|b| !a.meets(b)), "{a:?}");
        }
    }

    #[test]
    fn the_short_text_is_taken_where_the_long_one_does_not_fit() {
        let mut places = Places::new(PLOT, Vec::new());
        let texts = ["x".repeat(60), "3".to_string()];
        assert_eq!(places.place((100.0, 60.0), &texts).unwrap().0, "3");
        assert!(places.place((-500.0, 60.0), &texts).is_none());
    }
}

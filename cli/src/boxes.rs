//! Boxes from the outputs of detectors: decoding of YOLO heads, and non-maximum suppression.
//!
//! Places are pixels of the network's input. Everything here is arithmetic on slices; files and pictures are elsewhere.

use anyhow::{Result, ensure};
use serde::Serialize;

/// One detection: corners in pixels, a class and how sure the network is, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Detection {
    /// Left, top, right, bottom.
    pub corners: [f64; 4],
    /// The class's number.
    pub class: usize,
    /// How sure.
    pub score: f64,
}

impl Detection {
    fn area(&self) -> f64 {
        let [l, t, r, b] = self.corners;
        (r - l).max(0.0) * (b - t).max(0.0)
    }
}

/// Area that both cover, over the area that either covers; 0 where neither has any.
pub fn iou(a: &Detection, b: &Detection) -> f64 {
    let side = |lo: usize| {
        let hi = lo + 2;
        (a.corners[hi].min(b.corners[hi]) - a.corners[lo].max(b.corners[lo])).max(0.0)
    };
    let both = side(0) * side(1);
    let either = a.area() + b.area() - both;
    if either > 0.0 { both / either } else { 0.0 }
}

/// How boxes of one class that overlap are thinned out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Suppression {
    /// Those that overlap a better one by more than this go.
    Hard(f64),
    /// Their scores fall by exp(-IoU^2 / sigma): Bodla et al. 2017, arXiv:1704.04503.
    Soft(f64),
}

/// The boxes left, best first, all with a score of at least `least`.
pub fn suppress(mut all: Vec<Detection>, how: Suppression, least: f64) -> Vec<Detection> {
    let mut kept = Vec::new();
    all.retain(|d| d.score >= least);
    while !all.is_empty() {
        // Of equal scores the first.
        let best = (1..all.len()).fold(0, |b, i| if all[i].score > all[b].score { i } else { b });
        let best = all.remove(best);
        for d in all.iter_mut().filter(|d| d.class == best.class) {
            let overlap = iou(&best, d);
            match how {
                Suppression::Hard(most) if overlap > most => d.score = f64::NEG_INFINITY,
                Suppression::Hard(_) => {}
                Suppression::Soft(sigma) => d.score *= (-overlap * overlap / sigma).exp(),
            }
        }
        all.retain(|d| d.score >= least);
        kept.push(best);
    }
    kept
}

fn centred(x: f64, y: f64, w: f64, h: f64, class: usize, score: f64) -> Detection {
    Detection {
        corners: [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0],
        class,
        score,
    }
}

fn best(scores: impl Iterator<Item = f64>) -> (usize, f64) {
    let better = |b: (usize, f64), s: (usize, f64)| if s.1 > b.1 { s } else { b };
    scores.enumerate().fold((0, f64::NEG_INFINITY), better)
}

/// The one output of YOLOv8 and its successors, [4 + classes][boxes]: centre, width and height in pixels, a score of 0 to 1 for
/// each class. Boxes below `least` are left out. Errors: another shape.
pub fn decode_v8(values: &[f64], dims: &[usize], least: f64) -> Result<Vec<Detection>> {
    let sides: Vec<usize> = dims.iter().copied().skip_while(|&d| d == 1).collect();
    let &[rows, n] = &sides[..] else {
        anyhow::bail!(
            "an output of the shape {dims:?} is no YOLOv8 head: expected [4 + classes, boxes]"
        );
    };
    ensure!(
        rows > 4 && values.len() == rows * n,
        "an output of the shape {dims:?} is no YOLOv8 head: expected [4 + classes, boxes]"
    );
    let at = |row: usize, i: usize| values[row * n + i];
    Ok((0..n)
        .map(|i| {
            let (class, score) = best((4..rows).map(|r| at(r, i)));
            centred(at(0, i), at(1, i), at(2, i), at(3, i), class, score)
        })
        .filter(|d| d.score >= least)
        .collect())
}

/// Widths and heights of YOLOv4-tiny's anchors in pixels at 416, for strides 32 and 16: its authors' configuration.
const ANCHORS: [(usize, [[f64; 2]; 3]); 2] = [
    (32, [[81.0, 82.0], [135.0, 169.0], [344.0, 319.0]]),
    (16, [[23.0, 27.0], [37.0, 58.0], [81.0, 82.0]]),
];
/// How far beyond its cell a centre reaches there.
const REACH: f64 = 1.05;

/// One head of YOLOv4-tiny, [3 * (5 + classes)][rows][columns], as its convolution leaves it, of an input `side` pixels wide.
///
/// Errors: a shape that is no head, or a stride that the network has not.
pub fn decode_v4_tiny(
    values: &[f64],
    dims: &[usize],
    side: usize,
    least: f64,
) -> Result<Vec<Detection>> {
    let expected = "no YOLOv4-tiny head: expected [3 * (5 + classes), rows, columns]";
    let &[c, h, w] = dims else {
        anyhow::bail!("an output of the shape {dims:?} is {expected}");
    };
    ensure!(
        c % 3 == 0
            && c / 3 > 5
            && h > 0
            && w > 0
            && values.len() == c * h * w
            && side.is_multiple_of(w),
        "an output of the shape {dims:?} is {expected}"
    );
    let stride = side / w;
    let Some((_, anchors)) = ANCHORS.iter().find(|(s, _)| *s == stride) else {
        anyhow::bail!("a head of {stride} pixels a cell is none of YOLOv4-tiny: it has 32 and 16");
    };
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let mut found = Vec::new();
    for (a, [aw, ah]) in anchors.iter().enumerate() {
        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            let at = |k: usize| values[((a * (c / 3) + k) * h + y) * w + x];
            let (class, score) = best((5..c / 3).map(|k| sigmoid(at(k))));
            let score = score * sigmoid(at(4));
            let place = |t: f64, cell: usize| {
                (sigmoid(t) * REACH - (REACH - 1.0) / 2.0 + cell as f64) * stride as f64
            };
            let (w, h) = (at(2).exp() * aw, at(3).exp() * ah);
            let d = centred(place(at(0), x), place(at(1), y), w, h, class, score);
            found.extend((score >= least).then_some(d));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(left: f64, class: usize, score: f64) -> Detection {
        Detection {
            corners: [left, 0.0, left + 10.0, 10.0],
            class,
            score,
        }
    }

    #[test]
    fn iou_is_the_common_area_over_the_whole() {
        let a = square(0.0, 0, 1.0);
        assert_eq!(iou(&a, &a), 1.0);
        // 50 of 150.
        assert_eq!(iou(&a, &square(5.0, 0, 1.0)), 1.0 / 3.0);
        // Edges that touch, and boxes apart on both axes, share nothing.
        assert_eq!(iou(&a, &square(10.0, 0, 1.0)), 0.0);
        let far = Detection {
            corners: [20.0, 20.0, 30.0, 30.0],
            ..a
        };
        assert_eq!(iou(&a, &far), 0.0);
        let nothing = Detection {
            corners: [3.0, 3.0, 3.0, 3.0],
            ..a
        };
        assert_eq!(iou(&nothing, &nothing), 0.0);
        let inner = Detection {
            corners: [2.0, 2.0, 7.0, 6.0],
            ..a
        };
        assert_eq!(iou(&a, &inner), 0.2);
    }

    #[test]
    fn hard_suppression_keeps_the_best_of_each_class_and_place() {
        let all = vec![
            square(1.0, 0, 0.8),
            square(0.0, 0, 0.9),
            square(0.5, 1, 0.7),
            square(30.0, 0, 0.6),
            square(60.0, 0, 0.1),
        ];
        let kept = suppress(all, Suppression::Hard(0.5), 0.25);
        let expected = [
            square(0.0, 0, 0.9),
            square(0.5, 1, 0.7),
            square(30.0, 0, 0.6),
        ];
        assert_eq!(kept, expected);
        // A third is not more than a third.
        let pair = vec![square(0.0, 0, 0.9), square(5.0, 0, 0.8)];
        let count = |most| suppress(pair.clone(), Suppression::Hard(most), 0.25).len();
        assert_eq!([count(1.0 / 3.0), count(0.33)], [2, 1]);
    }

    #[test]
    fn soft_suppression_lowers_scores_by_the_overlap() {
        let pair = vec![
            square(0.0, 0, 0.9),
            square(5.0, 0, 0.8),
            square(5.0, 1, 0.5),
        ];
        let kept = suppress(pair.clone(), Suppression::Soft(0.5), 0.25);
        assert_eq!(kept.len(), 3);
        let lower = 0.8 * (-(1.0f64 / 9.0) / 0.5).exp();
        assert_eq!(kept[0].score, 0.9);
        assert!((kept[1].score - lower).abs() < 1e-12 && kept[1].class == 0);
        assert_eq!(kept[2].score, 0.5, "another class keeps its score");
        // What falls below the least score goes.
        assert_eq!(suppress(pair, Suppression::Soft(0.05), 0.25).len(), 2);
    }

    #[test]
    fn a_yolov8_output_is_read_column_by_column() {
        // Two classes, three boxes.
        let values = [
            [100.0, 50.0, 7.0],
            [60.0, 40.0, 7.0],
            [20.0, 10.0, 7.0],
            [10.0, 30.0, 7.0],
            [0.1, 0.7, 0.2],
            [0.9, 0.3, 0.2],
        ]
        .concat();
        for dims in [&[6, 3][..], &[1, 6, 3]] {
            let found = decode_v8(&values, dims, 0.25).unwrap();
            let expected = [
                Detection {
                    corners: [90.0, 55.0, 110.0, 65.0],
                    class: 1,
                    score: 0.9,
                },
                Detection {
                    corners: [45.0, 25.0, 55.0, 55.0],
                    class: 0,
                    score: 0.7,
                },
            ];
            assert_eq!(found, expected);
        }
        for dims in [&[18][..], &[4, 3], &[2, 3, 3]] {
            let e = decode_v8(&values, dims, 0.25).unwrap_err().to_string();
            assert!(e.contains("no YOLOv8 head"), "{e}");
        }
    }

    #[test]
    fn a_yolov4_tiny_head_is_read_by_its_anchors() {
        // 2 x 2 cells of 32 pixels, one class: the second anchor of the cell in row 1, column 0.
        let mut values = vec![-20.0; 18 * 4];
        for (k, v) in [
            (0, 0.0),
            (1, 0.0),
            (2, 0.0),
            (3, 2f64.ln()),
            (4, 20.0),
            (5, 0.0),
        ] {
            values[(6 + k) * 4 + 2] = v;
        }
        let found = decode_v4_tiny(&values, &[18, 2, 2], 64, 0.25).unwrap();
        assert_eq!(found.len(), 1);
        // In the middle of its cell, 135 wide, twice 169 high, half sure.
        let expected = [16.0 - 67.5, 48.0 - 169.0, 16.0 + 67.5, 48.0 + 169.0];
        for (a, b) in found[0].corners.iter().zip(expected) {
            assert!((a - b).abs() < 1e-9, "{found:?}");
        }
        assert!((found[0].score - 0.5).abs() < 1e-6);
        let e = decode_v4_tiny(&values, &[18, 2, 2], 16, 0.25).unwrap_err();
        assert!(e.to_string().contains("8 pixels a cell"), "{e}");
        let e = decode_v4_tiny(&values[..68], &[17, 2, 2], 64, 0.25).unwrap_err();
        assert!(e.to_string().contains("no YOLOv4-tiny head"), "{e}");
    }
}

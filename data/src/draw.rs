//! Boxes drawn into the picture that a network saw.

use crate::picture::decode;
use crate::{DataError, Preprocess};
use cnna_machine::layout::Shape;
use image::{Rgb, RgbImage};
use std::path::Path;

/// Colours by class, in turn: apart for people who see few of them, too.
const COLOURS: [[u8; 3]; 6] = [
    [230, 85, 13],
    [49, 130, 189],
    [227, 179, 50],
    [46, 139, 111],
    [184, 69, 122],
    [107, 91, 181],
];

/// One box: left, top, right, bottom in pixels of the network's input, and its class.
pub type Boxed = ([f64; 4], usize);

/// Writes picture `from` as PNG to `to`, boxes drawn where the network saw them. Errors: unreadable, not writable.
pub fn draw_boxes(
    from: &Path,
    boxes: &[Boxed],
    preprocess: &Preprocess,
    shape: Shape,
    to: &Path,
) -> Result<(), DataError> {
    let picture = decode(from)?;
    let cut = preprocess.cut(&picture, shape);
    let mut canvas = picture.into_rgb8();
    for &(corners, class) in boxes {
        frame(&mut canvas, cut.place(corners, shape), class);
    }
    canvas
        .save_with_format(to, image::ImageFormat::Png)
        .map_err(|e| DataError::file(to, format!("cannot be written: {e}")))
}

/// A frame along the corners, inwards, as thick as the picture's size asks for; what lies outside is cut off.
fn frame(canvas: &mut RgbImage, corners: [f64; 4], class: usize) {
    let (w, h) = (i64::from(canvas.width()), i64::from(canvas.height()));
    let thick = (w.min(h) / 200).max(1);
    // A cast of what is not finite or too large saturates.
    let [l, t, r, b] = corners.map(|v| v.round() as i64);
    let (l, t, r, b) = (l.clamp(0, w), t.clamp(0, h), r.clamp(0, w), b.clamp(0, h));
    let colour = Rgb(COLOURS[class % COLOURS.len()]);
    for (y, x) in (t..b).flat_map(|y| (l..r).map(move |x| (y, x))) {
        if y < t + thick || y >= b - thick || x < l + thick || x >= r - thick {
            canvas.put_pixel(x as u32, y as u32, colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_lie_where_the_network_saw_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("a.png"), folder.path().join("b.png"));
        // 40 x 20: halved to 20 x 10, whose middle 10 columns are the network's input.
        let grey = RgbImage::from_pixel(40, 20, Rgb([9; 3]));
        grey.save(&from).expect("a picture");
        let shape = Shape { c: 3, h: 10, w: 10 };
        let boxes = [
            ([1.0, 2.0, 5.0, 9.0], 1),
            ([-9.0, 0.0, f64::INFINITY, 99.0], 0),
        ];
        draw_boxes(&from, &boxes[..1], &Preprocess::default(), shape, &to).expect("drawn");
        let drawn = image::open(&to).expect("a PNG").into_rgb8();
        let coloured = |x: u32, y: u32| *drawn.get_pixel(x, y) == Rgb(COLOURS[1]);
        for y in 0..20 {
            for x in 0..40 {
                // Columns 10 + 2 * 1 to 10 + 2 * 5, rows 4 to 18; only the edge.
                let inside = |m: u32| (12 + m..20 - m).contains(&x) && (4 + m..18 - m).contains(&y);
                assert_eq!(coloured(x, y), inside(0) && !inside(1), "{x} {y}");
            }
        }
        // What leaves the picture is cut off at its edge.
        draw_boxes(&from, &boxes[1..], &Preprocess::default(), shape, &to).expect("drawn");
        let drawn = image::open(&to).expect("a PNG").into_rgb8();
        assert_eq!(*drawn.get_pixel(39, 19), Rgb(COLOURS[0]));
        assert_eq!(*drawn.get_pixel(20, 10), Rgb([9; 3]));
    }
}

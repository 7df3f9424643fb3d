//! Pictures as a network takes them: decoded, resized, cropped, scaled, shifted.

use crate::{DataError, Pixels, Preprocess};
use cnna_machine::layout::Shape;
use image::{DynamicImage, imageops::FilterType};
use std::path::Path;

/// Largest side of a picture that is decoded: a damaged header must not fill the memory.
const MAX_SIDE: u32 = 1 << 15;

/// True for a file name that ends as a picture's.
pub fn is_picture(path: &Path) -> bool {
    let end = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    ["png", "jpg", "jpeg"]
        .iter()
        .any(|e| end.eq_ignore_ascii_case(e))
}

/// Decodes a picture. Errors: neither PNG nor JPEG, damaged, or larger than 32768 pixels a side.
pub(crate) fn decode(path: &Path) -> Result<DynamicImage, DataError> {
    let bad = |e: &dyn std::fmt::Display| {
        DataError::file(path, format!("not a readable PNG or JPEG picture: {e}"))
    };
    let mut reader = image::ImageReader::open(path)
        .and_then(|r| r.with_guessed_format())
        .map_err(|e| bad(&e))?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    reader.decode().map_err(|e| bad(&e))
}

/// Rows and columns on the way from a picture to a network's input.
pub(crate) struct Cut {
    /// The picture.
    whole: [u32; 2],
    /// After resizing.
    resized: [u32; 2],
    /// The centre that is cut out; it becomes the input.
    cut: [u32; 2],
}

impl Cut {
    /// Left, top, right, bottom in the picture, from those in an input of that `shape`.
    pub(crate) fn place(&self, corners: [f64; 4], shape: Shape) -> [f64; 4] {
        let along = |v: f64, axis: usize, side: usize| {
            let [whole, resized, cut] =
                [self.whole, self.resized, self.cut].map(|s| f64::from(s[axis]));
            // The cut starts at a whole pixel.
            let first = ((resized - cut) / 2.0).floor();
            (v * cut / side as f64 + first) * whole / resized
        };
        let [l, t, r, b] = corners;
        let (x, y) = (|v| along(v, 1, shape.w), |v| along(v, 0, shape.h));
        [x(l), y(t), x(r), y(b)]
    }
}

impl Preprocess {
    /// Refuses what fits no picture. Errors: the option and its range.
    pub fn check(&self, channels: usize) -> Result<(), DataError> {
        for (option, values) in [("mean", &self.mean), ("std", &self.std)] {
            if !(values.len() < 2 || values.len() == channels) {
                return Err(DataError::Option {
                    option,
                    reason: format!(
                        "has {} values: give one, or one for each of the input's {channels} channels",
                        values.len()
                    ),
                });
            }
            if values
                .iter()
                .any(|v| !v.is_finite() || (option == "std" && *v == 0.0))
            {
                return Err(DataError::Option {
                    option,
                    reason: format!(
                        "{values:?}: its values must be numbers, and those of std not 0"
                    ),
                });
            }
        }
        for (option, side) in [("resize", self.resize), ("crop", self.crop)] {
            if side.is_some_and(|s| s == 0 || s > MAX_SIDE) {
                return Err(DataError::Option {
                    option,
                    reason: format!("must be 1 to {MAX_SIDE} pixels"),
                });
            }
        }
        Ok(())
    }

    /// Which part of a picture a network's input `shape` shows.
    pub(crate) fn cut(&self, picture: &DynamicImage, shape: Shape) -> Cut {
        let (h, w) = (shape.h as u32, shape.w as u32);
        let [cut_h, cut_w] = self.crop.map_or([h, w], |c| [c, c]);
        let (ph, pw) = (picture.height().max(1), picture.width().max(1));
        // Rows and columns of the whole picture, resized: as asked, or just enough for the cut.
        let (rh, rw) = match self.resize {
            Some(short) => {
                let long = |side: u32, other: u32| {
                    (u64::from(short) * u64::from(side) / u64::from(other)) as u32
                };
                match ph <= pw {
                    true => (short, long(pw, ph)),
                    false => (long(ph, pw), short),
                }
            }
            None => {
                let scale =
                    (f64::from(cut_h) / f64::from(ph)).max(f64::from(cut_w) / f64::from(pw));
                let side = |n: u32, cut: u32| ((f64::from(n) * scale).round() as u32).max(cut);
                (side(ph, cut_h), side(pw, cut_w))
            }
        };
        Cut {
            whole: [ph, pw],
            resized: [rh, rw],
            cut: [cut_h, cut_w],
        }
    }

    /// The real that a network's input has for a byte of a picture's channel.
    pub fn real(&self, channel: usize, byte: u8) -> f32 {
        let of = |v: &[f32], otherwise: f32| match v {
            [] => otherwise,
            [one] => *one,
            many => many[channel],
        };
        let pixel = match self.pixels {
            Pixels::Unit => f32::from(byte) / 255.0,
            Pixels::Bytes => byte.into(),
        };
        (pixel - of(&self.mean, 0.0)) / of(&self.std, 1.0)
    }

    /// A decoded picture as a network's input `shape`, [channel][row][column]. Errors: as [`Preprocess::bytes`].
    pub(crate) fn apply(
        &self,
        picture: &DynamicImage,
        shape: Shape,
        path: &Path,
    ) -> Result<Vec<f32>, DataError> {
        let bytes = self.bytes(picture, shape, path)?;
        let channels = bytes.chunks_exact(shape.h * shape.w).enumerate();
        let reals = channels.flat_map(|(c, bytes)| bytes.iter().map(move |&b| self.real(c, b)));
        Ok(reals.collect())
    }

    /// The bytes of a decoded picture that a network's input `shape` shows, [channel][row][column].
    ///
    /// The shorter side is resized (bilinear over the area that a pixel covers) and the centre cut out, then resized again
    /// where a `crop` of another size was asked for. `path` is for errors only.
    pub(crate) fn bytes(
        &self,
        picture: &DynamicImage,
        shape: Shape,
        path: &Path,
    ) -> Result<Vec<u8>, DataError> {
        let (h, w) = (shape.h as u32, shape.w as u32);
        let Cut {
            resized: [rh, rw],
            cut: [cut_h, cut_w],
            whole: [ph, pw],
        } = self.cut(picture, shape);
        if rh < cut_h || rw < cut_w || rh > MAX_SIDE || rw > MAX_SIDE {
            return Err(DataError::file(
                path,
                format!(
                    "resized to {rw}x{rh} pixels, {cut_w}x{cut_h} cannot be cut from it: give a larger --resize or a smaller --crop"
                ),
            ));
        }
        let resized = match (rh, rw) == (ph, pw) {
            true => picture.clone(),
            false => picture.resize_exact(rw, rh, FilterType::Triangle),
        };
        let mut cut = resized.crop_imm((rw - cut_w) / 2, (rh - cut_h) / 2, cut_w, cut_h);
        if (cut_h, cut_w) != (h, w) {
            cut = cut.resize_exact(w, h, FilterType::Triangle);
        }
        let bytes = match shape.c {
            1 => cut.into_luma8().into_raw(),
            3 => cut.into_rgb8().into_raw(),
            4 => cut.into_rgba8().into_raw(),
            c => {
                return Err(DataError::file(
                    path,
                    format!(
                        "a picture has 1, 3 or 4 channels, the network's input has {c}: give an npy array"
                    ),
                ));
            }
        };
        let channel = |c: usize| bytes.iter().skip(c).step_by(shape.c).copied();
        Ok((0..shape.c).flat_map(channel).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, RgbImage};

    const SHAPE: Shape = Shape { c: 3, h: 2, w: 2 };

    fn ramp(w: u32, h: u32) -> DynamicImage {
        RgbImage::from_fn(w, h, |x, y| image::Rgb([x as u8, y as u8, 255])).into()
    }

    fn apply(p: &Preprocess, picture: &DynamicImage, shape: Shape) -> Vec<f32> {
        p.check(shape.c).expect("legal options");
        p.apply(picture, shape, Path::new("x.png"))
            .expect("a picture that fits")
    }

    #[test]
    fn a_picture_of_the_inputs_size_keeps_its_pixels_channel_by_channel() {
        let bytes = Preprocess {
            pixels: Pixels::Bytes,
            ..Preprocess::default()
        };
        let got = apply(&bytes, &ramp(2, 2), SHAPE);
        assert_eq!(
            got,
            [
                0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 255.0, 255.0, 255.0, 255.0
            ]
        );
        let scaled = Preprocess {
            mean: vec![0.0, 0.0, 0.5],
            std: vec![0.25],
            ..Preprocess::default()
        };
        assert_eq!(apply(&scaled, &ramp(2, 2), SHAPE)[8..], [2.0; 4]);
    }

    #[test]
    fn the_centre_is_cut_and_the_shorter_side_decides() {
        let bytes = Preprocess {
            pixels: Pixels::Bytes,
            ..Preprocess::default()
        };
        // 6 x 2: nothing is resized, columns 2 and 3 are the centre.
        assert_eq!(apply(&bytes, &ramp(6, 2), SHAPE)[..4], [2.0, 3.0, 2.0, 3.0]);
        let cropped = Preprocess {
            resize: Some(4),
            crop: Some(2),
            ..bytes.clone()
        };
        assert_eq!(
            apply(&cropped, &ramp(6, 4), SHAPE)[..4],
            [2.0, 3.0, 2.0, 3.0]
        );
        // A crop of 4 becomes the network's 2 x 2.
        let larger = Preprocess {
            crop: Some(4),
            ..bytes
        };
        let uniform: DynamicImage = GrayImage::from_pixel(4, 4, image::Luma([9])).into();
        assert_eq!(
            apply(&larger, &uniform, Shape { c: 1, h: 2, w: 2 }),
            [9.0; 4]
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_by_option_or_file() {
        let e = |p: Preprocess| p.check(3).expect_err("illegal").to_string();
        let mean = Preprocess {
            mean: vec![1.0, 2.0],
            ..Preprocess::default()
        };
        assert!(e(mean).contains("`mean`: has 2 values"));
        let std = Preprocess {
            std: vec![0.0],
            ..Preprocess::default()
        };
        assert!(e(std).contains("`std`"));
        let small = Preprocess {
            resize: Some(1),
            ..Preprocess::default()
        };
        let e = small
            .apply(&ramp(6, 4), SHAPE, Path::new("x.png"))
            .expect_err("too small")
            .to_string();
        assert!(
            e.starts_with("x.png: resized to 1x1") && e.contains("--resize"),
            "{e}"
        );
        let two = Shape { c: 2, h: 2, w: 2 };
        let e = Preprocess::default()
            .apply(&ramp(2, 2), two, Path::new("x.png"))
            .expect_err("2 channels");
        assert!(e.to_string().contains("npy"), "{e}");
    }
}

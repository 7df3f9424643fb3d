//! From pictures to a network's input: what a user says once, when a network is quantised, and what its files keep.

use crate::DataError;
use serde::{Deserialize, Serialize};

/// What a network means by a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pixels {
    /// 0 to 1, as PyTorch's ToTensor gives.
    #[default]
    Unit,
    /// 0 to 255, as bytes are.
    Bytes,
}

impl Pixels {
    /// The largest pixel.
    pub fn most(self) -> u8 {
        match self {
            Pixels::Unit => 1,
            Pixels::Bytes => 255,
        }
    }
}

/// From a picture to a network's input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Scale of a pixel before mean and deviation.
    pub pixels: Pixels,
    /// Subtracted: one value, or one a channel; empty for 0.
    pub mean: Vec<f32>,
    /// Divided by: one value, or one a channel; empty for 1.
    pub std: Vec<f32>,
    /// Pixels of the shorter side after resizing; without it what the crop needs.
    pub resize: Option<u32>,
    /// Side of the square cut from the centre; without it the network's input.
    pub crop: Option<u32>,
}

impl Preprocess {
    /// The key under which a model's metadata and a program's keep it.
    pub const KEY: &str = "cnna.preprocess";

    /// As text, for metadata.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("numbers and names are JSON")
    }

    /// The one that metadata keep; `None` where they keep none. Errors: text that is not ours.
    pub fn of<'a>(
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, DataError> {
        let text = metadata.into_iter().find(|(key, _)| *key == Self::KEY);
        text.map(|(_, text)| {
            serde_json::from_str(text).map_err(|e| DataError::Option {
                option: Self::KEY,
                reason: format!("the file's metadata hold `{text}`, which is damaged ({e}): quantise the model again"),
            })
        })
        .transpose()
    }
}

/// What a user asks for; what he leaves open is as stored, or the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// As [`Preprocess::pixels`].
    pub pixels: Option<Pixels>,
    /// As [`Preprocess::mean`].
    pub mean: Option<Vec<f32>>,
    /// As [`Preprocess::std`].
    pub std: Option<Vec<f32>>,
    /// As [`Preprocess::resize`].
    pub resize: Option<u32>,
    /// As [`Preprocess::crop`].
    pub crop: Option<u32>,
}

impl Wanted {
    /// True where anything is asked for.
    pub fn is_any(&self) -> bool {
        *self != Wanted::default()
    }

    /// What holds: the user's word before the file's.
    pub fn over(&self, stored: Option<&Preprocess>) -> Preprocess {
        let stored = stored.cloned().unwrap_or_default();
        Preprocess {
            pixels: self.pixels.unwrap_or(stored.pixels),
            mean: self.mean.clone().unwrap_or(stored.mean),
            std: self.std.clone().unwrap_or(stored.std),
            resize: self.resize.or(stored.resize),
            crop: self.crop.or(stored.crop),
        }
    }

    /// Where the user's word differs from the file's: an option, what it is, what the file says.
    pub fn changes(&self, stored: Option<&Preprocess>) -> Vec<String> {
        let Some(stored) = stored else {
            return Vec::new();
        };
        let now = self.over(Some(stored));
        let list = |v: &[f32], none: &str| match v {
            [] => none.to_string(),
            v => v.iter().map(f32::to_string).collect::<Vec<_>>().join(","),
        };
        let side = |v: Option<u32>| v.map_or("the input's".into(), |v| v.to_string());
        let most = |p: Pixels| p.most().to_string();
        [
            ("pixels", most(now.pixels), most(stored.pixels)),
            ("mean", list(&now.mean, "0"), list(&stored.mean, "0")),
            ("std", list(&now.std, "1"), list(&stored.std, "1")),
            ("resize", side(now.resize), side(stored.resize)),
            ("crop", side(now.crop), side(stored.crop)),
        ]
        .into_iter()
        .filter(|(_, now, stored)| now != stored)
        .map(|(option, now, stored)| format!("--{option} {now} instead of {stored}"))
        .collect()
    }
}

/// As options would say it: `pixels 0..255, mean 0.485,0.456,0.406, resize 256`.
impl std::fmt::Display for Preprocess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pixels 0..{}", self.pixels.most())?;
        for (name, values) in [("mean", &self.mean), ("std", &self.std)] {
            for (i, v) in values.iter().enumerate() {
                match i {
                    0 => write!(f, ", {name} {v}")?,
                    _ => write!(f, ",{v}")?,
                }
            }
        }
        for (name, side) in [("resize", self.resize), ("crop", self.crop)] {
            if let Some(side) = side {
                write!(f, ", {name} {side}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Preprocess {
        Preprocess {
            mean: vec![0.485, 0.456, 0.406],
            resize: Some(256),
            ..Preprocess::default()
        }
    }

    #[test]
    fn metadata_keep_every_option_and_damaged_ones_are_refused() {
        let text = stored().to_text();
        let read = |text: &str| Preprocess::of([("other", "1"), (Preprocess::KEY, text)]);
        assert_eq!(read(&text).expect("just written"), Some(stored()));
        assert_eq!(Preprocess::of([("other", "1")]).expect("none"), None);
        let e = read(&text[1..]).expect_err("damaged").to_string();
        assert!(
            e.contains("cnna.preprocess") && e.contains("quantise the model again"),
            "{e}"
        );
    }

    #[test]
    fn a_users_word_goes_before_the_files_and_is_said() {
        let wanted = Wanted {
            mean: Some(vec![0.5]),
            crop: Some(200),
            ..Wanted::default()
        };
        let now = wanted.over(Some(&stored()));
        assert_eq!(
            (&now.mean[..], now.resize, now.crop),
            (&[0.5][..], Some(256), Some(200))
        );
        let said = [
            "--mean 0.5 instead of 0.485,0.456,0.406",
            "--crop 200 instead of the input's",
        ];
        assert_eq!(wanted.changes(Some(&stored())), said);
        assert!(
            wanted.changes(None).is_empty()
                && Wanted::default().changes(Some(&stored())).is_empty()
        );
        assert_eq!(
            now.to_string(),
            "pixels 0..1, mean 0.5, resize 256, crop 200"
        );
    }
}

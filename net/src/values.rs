//! Constants of operators: reals as a model file gives them, integers once they are quantised.

use serde::{Deserialize, Serialize};

/// A constant of an operator. The elements are not part of its serialised structure: see [`crate::file`].
#[derive(Clone, PartialEq)]
pub enum Values {
    /// Before quantisation.
    Reals(Vec<f32>),
    /// Words with so many fraction bits.
    Words(Vec<i16>, i32),
    /// Integers in the accumulator's scale (biases): the fraction bits of input and weights together.
    Sums(Vec<i64>),
}

/// How many, of what kind, and the first few.
impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        fn first<T: Copy>(v: &[T]) -> &[T] {
            &v[..v.len().min(4)]
        }
        match self {
            Values::Reals(v) => write!(f, "{} reals {:?}", v.len(), first(v)),
            Values::Words(v, frac) => write!(f, "{} words {:?} f{frac}", v.len(), first(v)),
            Values::Sums(v) => write!(f, "{} sums {:?}", v.len(), first(v)),
        }
    }
}

/// A real as text: JSON has no infinity.
pub(crate) mod real {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(x: &f32, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(x)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f32, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl Default for Values {
    fn default() -> Self {
        Values::Reals(Vec::new())
    }
}

impl Values {
    /// Elements.
    pub fn len(&self) -> usize {
        match self {
            Values::Reals(v) => v.len(),
            Values::Words(v, _) => v.len(),
            Values::Sums(v) => v.len(),
        }
    }
    /// True without an element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The words and their fraction bits; `None` for reals and sums.
    pub fn words(&self) -> Option<(&[i16], i32)> {
        match self {
            Values::Words(w, frac) => Some((w, *frac)),
            _ => None,
        }
    }
    /// The reals; `None` once quantised.
    pub fn reals(&self) -> Option<&[f32]> {
        match self {
            Values::Reals(v) => Some(v),
            _ => None,
        }
    }
    /// The accumulator-scale integers; `None` otherwise.
    pub fn sums(&self) -> Option<&[i64]> {
        match self {
            Values::Sums(v) => Some(v),
            _ => None,
        }
    }
    /// The elements of a range. Panics where there are not so many.
    pub fn part(&self, range: std::ops::Range<usize>) -> Values {
        match self {
            Values::Reals(v) => Values::Reals(v[range].to_vec()),
            Values::Words(v, frac) => Values::Words(v[range].to_vec(), *frac),
            Values::Sums(v) => Values::Sums(v[range].to_vec()),
        }
    }
    /// Index of the first NaN or infinity.
    pub fn not_finite(&self) -> Option<usize> {
        self.reals()?.iter().position(|v| !v.is_finite())
    }
    /// The reals that the elements stand for; sums have `sum_frac` fraction bits.
    pub fn to_reals(&self, sum_frac: i32) -> Vec<f32> {
        match self {
            Values::Reals(v) => v.clone(),
            Values::Words(w, frac) => {
                let scale = 2f64.powi(-frac);
                w.iter().map(|&q| (f64::from(q) * scale) as f32).collect()
            }
            Values::Sums(v) => {
                let scale = 2f64.powi(-sum_frac);
                v.iter().map(|&q| (q as f64 * scale) as f32).collect()
            }
        }
    }
}

/// What is left of a constant without its elements.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Header {
    Reals,
    Words(i32),
    Sums,
}

impl Serialize for Values {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let header = match self {
            Values::Reals(_) => Header::Reals,
            Values::Words(_, frac) => Header::Words(*frac),
            Values::Sums(_) => Header::Sums,
        };
        header.serialize(s)
    }
}

/// An empty constant of the right kind, which [`crate::file`] fills.
impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(match Header::deserialize(d)? {
            Header::Reals => Values::Reals(Vec::new()),
            Header::Words(frac) => Values::Words(Vec::new(), frac),
            Header::Sums => Values::Sums(Vec::new()),
        })
    }
}

//! A logarithmic axis: where values lie, and which are written beside it.

/// From a lowest to a highest value, both above 0.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    low: f64,
    high: f64,
}

impl Log {
    /// Over all `values` above 0, with a little room at both ends.
    pub fn over(values: impl Iterator<Item = f64>) -> Self {
        let ends = |(l, h): (f64, f64), v: f64| (l.min(v), h.max(v));
        let (low, high) = values.filter(|v| *v > 0.0).fold((f64::INFINITY, 0.0), ends);
        match low <= high {
            true => Log {
                low: low / 1.08,
                high: high * 1.08,
            },
            false => Log {
                low: 1.0,
                high: 10.0,
            },
        }
    }

    /// Where a value lies: 0 at the lowest, 1 at the highest.
    pub fn share(&self, v: f64) -> f64 {
        (v.max(self.low) / self.low).ln() / (self.high / self.low).ln()
    }

    /// Round values between the ends: 1, 2 and 5 of each power of ten, or 1 alone where that is enough.
    pub fn ticks(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let steps: &[f64] = match decades {
            d if d > 3.0 => &[1.0],
            d if d > 0.8 => &[1.0, 2.0, 5.0],
            _ => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
        };
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        let all = (first..=last).flat_map(|e| steps.iter().map(move |s| s * 10f64.powi(e)));
        all.filter(|v| (self.low..=self.high).contains(v)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_values_within_and_ends_are_ends() {
        let a = Log::over([16.0, 352.0, 0.0].into_iter());
        assert_eq!(a.ticks(), [20.0, 50.0, 100.0, 200.0]);
        assert!(a.share(16.0) > 0.0 && a.share(352.0) < 1.0);
        assert_eq!(Log::over(std::iter::empty()).ticks(), [1.0, 2.0, 5.0, 10.0]);
        assert!(!Log::over([7.0].into_iter()).share(7.0).is_nan());
    }
}

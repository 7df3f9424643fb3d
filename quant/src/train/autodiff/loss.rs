//! Softmax and cross entropy.

use super::real::Real;

/// Of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss<T> {
    /// Mean over the images.
    pub mean: f64,
    /// Of the mean, for each logit.
    pub gradient: Vec<T>,
}

/// The cross entropy of `logits`, [image][class], against labels of which each gives `smoothing` away to all classes
/// alike.
///
/// Source of the smoothing: Szegedy et al. 2016, arXiv:1512.00567, 7.
pub fn cross_entropy<T: Real>(logits: &[T], labels: &[u16], smoothing: f64) -> Loss<T> {
    let n = labels.len().max(1);
    let classes = logits.len() / n;
    let mut mean = 0.0;
    let mut gradient = Vec::with_capacity(logits.len());
    for (row, &label) in logits.chunks_exact(classes.max(1)).zip(labels) {
        let most = row
            .iter()
            .map(|v| v.double())
            .fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|v| (v.double() - most).exp()).sum();
        for (class, v) in row.iter().enumerate() {
            let log = v.double() - most - sum.ln();
            let own = if class == usize::from(label) {
                1.0 - smoothing
            } else {
                0.0
            };
            let wanted = own + smoothing / classes as f64;
            // What is not wanted at all costs nothing, however unlikely it is.
            mean -= if wanted == 0.0 { 0.0 } else { wanted * log };
            gradient.push(T::of((log.exp() - wanted) / n as f64));
        }
    }
    Loss {
        mean: mean / n as f64,
        gradient,
    }
}

/// The squares of the distances of `logits` from a teacher's, by the squares of these: the inverse of a signal-to-noise ratio.
///
/// Source: Ba and Caruana 2014, arXiv:1312.6184, who regress on logits.
pub fn distance<T: Real>(logits: &[T], wanted: &[f32]) -> Loss<T> {
    let signal: f64 = wanted.iter().map(|w| f64::from(*w).powi(2)).sum();
    let signal = signal.max(f64::MIN_POSITIVE);
    let apart = || {
        let pairs = logits.iter().zip(wanted);
        pairs.map(|(v, w)| v.double() - f64::from(*w))
    };
    Loss {
        mean: apart().map(|d| d * d).sum::<f64>() / signal,
        gradient: apart().map(|d| T::of(2.0 * d / signal)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gradient at some logits is that of the loss's differences.
    fn assert_slopes(logits: &[f64], at: impl Fn(&[f64]) -> Loss<f64>) {
        for (k, &analytic) in at(logits).gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut l = logits.to_vec();
                l[k] += by;
                at(&l).mean
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!(
                (numeric - analytic).abs() < 1e-8,
                "{k}: {numeric} {analytic}"
            );
        }
    }

    #[test]
    fn the_distance_from_a_teacher_is_noise_by_signal_and_its_gradient_that_of_differences() {
        let (logits, wanted) = ([0.5f64, -1.0, 2.0], [1.0f32, -1.0, 3.0]);
        let at = |l: &[f64]| distance(l, &wanted);
        assert!((at(&logits).mean - 1.25 / 11.0).abs() < 1e-12);
        assert_slopes(&logits, at);
    }

    #[test]
    fn two_equal_logits_cost_a_bit_and_the_gradient_is_that_of_differences() {
        let even = cross_entropy(&[1.0f64, 1.0], &[0], 0.0);
        assert!((even.mean - 2f64.ln()).abs() < 1e-12);
        assert_eq!(even.gradient, [-0.5, 0.5]);
        for smoothing in [0.0, 0.1] {
            let logits = [0.3f64, -1.2, 2.0, 0.7, 0.1, -0.4];
            let at = |l: &[f64]| cross_entropy(l, &[2, 0], smoothing);
            assert_slopes(&logits, at);
        }
    }
}

//! Smaller networks before they are trained on: weights that are left out, and fully connected layers of a lower rank.

use crate::FloatNet;
use cnna_net::op::Conv;
use cnna_net::{Activation, Graph, Node, Op, Values, Window};

/// Sweeps after which an eigenvector basis has long settled.
const SWEEPS: usize = 30;

impl FloatNet {
    /// Makes this share of the weights of all convolutions and fully connected layers zero: those whose squares are the
    /// smallest part of what their layer's larger ones leave. Returns how many are zero.
    ///
    /// Source: Lee et al. 2021, arXiv:2010.07611 (LAMP).
    pub fn prune(&mut self, share: f64) -> usize {
        let graph = self.graph_mut();
        let mut scores: Vec<(f64, usize, usize)> = Vec::new();
        let mut all: Vec<(usize, &mut Vec<f32>)> = weights(graph).collect();
        for (layer, (_, w)) in all.iter().enumerate() {
            let mut order: Vec<usize> = (0..w.len()).collect();
            order.sort_by(|&a, &b| w[b].abs().total_cmp(&w[a].abs()));
            let mut larger = 0.0;
            for k in order {
                let square = f64::from(w[k]).powi(2);
                larger += square;
                let score = if larger > 0.0 { square / larger } else { 0.0 };
                scores.push((score, layer, k));
            }
        }
        // Equal scores by place, so that a network gives one result.
        scores.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)).then(b.2.cmp(&a.2)));
        let count = (scores.len() as f64 * share).round() as usize;
        for &(_, layer, k) in &scores[..count] {
            all[layer].1[k] = 0.0;
        }
        let zero = |(_, w): &(usize, &mut Vec<f32>)| w.iter().filter(|v| **v == 0.0).count();
        all.iter().map(zero).sum()
    }

    /// Makes each fully connected layer two, the first with so few outputs as keep `share` of the squares of its weights,
    /// where both together have fewer weights. Returns the names of these layers, and their ranks.
    pub fn lower_rank(&mut self, share: f64) -> Vec<(String, usize)> {
        let mut done = Vec::new();
        let mut at = 0;
        while at < self.graph_mut().nodes.len() {
            if let Some(rank) = lower(self.graph_mut(), at, share) {
                let name = self.graph_mut().nodes[at + 1].name.clone();
                done.push((name, rank));
                self.inserted(at);
                at += 1;
            }
            at += 1;
        }
        done
    }
}

/// The real weights of convolutions, with their nodes.
fn weights(graph: &mut Graph) -> impl Iterator<Item = (usize, &mut Vec<f32>)> {
    let nodes = graph.nodes.iter_mut().enumerate();
    nodes.filter_map(|(i, n)| match &mut n.op {
        Op::Conv(Conv {
            weights: Values::Reals(w),
            ..
        }) => Some((i, w)),
        _ => None,
    })
}

/// One node as two; the rank between them.
fn lower(graph: &mut Graph, at: usize, share: f64) -> Option<usize> {
    let n = &graph.nodes[at];
    let Op::Conv(c) = &n.op else { return None };
    let shape = graph.tensors[n.inputs[0]].shape;
    let w = c.weights.reals().filter(|_| c.is_fc(shape))?;
    let (rows, columns) = (c.oc, w.len() / c.oc);
    let [rows_of, columns_of] = factors(w, [rows, columns], share)?;
    let rank = columns_of.len() / columns;
    let first = Conv {
        oc: rank,
        weights: Values::Reals(columns_of),
        bias: Values::Reals(vec![0.0; rank]),
        activation: Activation::None,
        ..c.clone()
    };
    let second = Conv {
        window: Window::plain(1, 1),
        weights: Values::Reals(rows_of),
        ..c.clone()
    };
    let name = format!("{}/rank", n.name);
    let input = n.inputs[0];
    let between = graph.tensor(
        &name,
        cnna_net::Shape {
            c: rank,
            h: 1,
            w: 1,
        },
        None,
    );
    let n = &mut graph.nodes[at];
    n.op = second.into();
    n.inputs = vec![between];
    let node = Node {
        name,
        op: first.into(),
        inputs: vec![input],
        output: between,
    };
    graph.nodes.insert(at, node);
    Some(rank)
}

/// A matrix as the product of two that are smaller, the best of their rank: the leading directions of its rows. `None` where
/// they are not smaller.
fn factors(a: &[f32], [rows, columns]: [usize; 2], share: f64) -> Option<[Vec<f32>; 2]> {
    let row = |r: usize| &a[r * columns..][..columns];
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        let products = x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y));
        products.sum()
    };
    let mut gram = vec![0.0; rows * rows];
    for r in 0..rows {
        for s in 0..rows {
            gram[r * rows + s] = dot(row(r), row(s));
        }
    }
    let (values, vectors) = eigen(gram, rows);
    let mut order: Vec<usize> = (0..rows).collect();
    order.sort_by(|&x, &y| values[y].total_cmp(&values[x]));
    let all: f64 = values.iter().map(|v| v.max(0.0)).sum();
    let mut kept = 0.0;
    let enough = |&k: &usize| {
        kept += values[k].max(0.0);
        kept >= share * all
    };
    let rank = order.iter().position(enough)? + 1;
    if rank * (rows + columns) >= rows * columns {
        return None;
    }
    let mut left = vec![0.0; rows * rank];
    let mut right = vec![0.0; rank * columns];
    for (k, &v) in order[..rank].iter().enumerate() {
        for r in 0..rows {
            let u = vectors[r * rows + v];
            left[r * rank + k] = u as f32;
            let sums = right[k * columns..][..columns].iter_mut();
            sums.zip(row(r))
                .for_each(|(s, &x)| *s += (u * f64::from(x)) as f32);
        }
    }
    Some([left, right])
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors as columns, by Jacobi's rotations. Source: Golub and Van Loan,
/// Matrix Computations, 8.5.
fn eigen(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut v = vec![0.0; n * n];
    (0..n).for_each(|k| v[k * n + k] = 1.0);
    let size: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..SWEEPS {
        let off = |r: usize, s: usize| if r == s { 0.0 } else { a[r * n + s].powi(2) };
        let rest: f64 = (0..n * n).map(|k| off(k / n, k % n)).sum();
        if rest <= 1e-24 * size {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                let tau = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let t = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
                let c = 1.0 / (1.0 + t * t).sqrt();
                let turn = |x: &mut f64, y: &mut f64| {
                    (*x, *y) = (c * *x - t * c * *y, t * c * *x + c * *y);
                };
                for k in 0..n {
                    let (mut x, mut y) = (a[k * n + p], a[k * n + q]);
                    turn(&mut x, &mut y);
                    (a[k * n + p], a[k * n + q]) = (x, y);
                    let (mut x, mut y) = (v[k * n + p], v[k * n + q]);
                    turn(&mut x, &mut y);
                    (v[k * n + p], v[k * n + q]) = (x, y);
                }
                for k in 0..n {
                    let (mut x, mut y) = (a[p * n + k], a[q * n + k]);
                    turn(&mut x, &mut y);
                    (a[p * n + k], a[q * n + k]) = (x, y);
                }
            }
        }
    }
    ((0..n).map(|k| a[k * n + k]).collect(), v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;
    use cnna_net::Shape;

    fn net() -> FloatNet {
        let shape = Shape { c: 1, h: 28, w: 28 };
        let net = Arch::load("vgg-small").and_then(|a| a.init(shape, 10, 3));
        net.expect("built in")
    }

    #[test]
    fn a_matrix_of_rank_two_is_found_to_be_one() {
        let at = |r: usize, c: usize| {
            (r as f32 + 1.0) * (c as f32 - 3.0) + if r.is_multiple_of(2) { 5.0 } else { -1.0 }
        };
        let a: Vec<f32> = (0..6 * 9).map(|k| at(k / 9, k % 9)).collect();
        let [left, right] = factors(&a, [6, 9], 1.0 - 1e-9).expect("it is smaller");
        assert_eq!((left.len(), right.len()), (12, 18));
        for (k, want) in a.iter().enumerate() {
            let (r, c) = (k / 9, k % 9);
            let got = left[2 * r] * right[c] + left[2 * r + 1] * right[9 + c];
            assert!((got - want).abs() < 1e-4, "{k}: {got} is not {want}");
        }
        let identity: Vec<f32> = (0..16).map(|k| f32::from(u8::from(k % 5 == 0))).collect();
        assert!(factors(&identity, [4, 4], 0.99).is_none());
    }

    #[test]
    fn pruning_leaves_the_largest_of_each_layer_and_the_share_asked_for() {
        let mut net = net();
        let before = net.clone();
        let zero = net.prune(0.9);
        let all: Vec<usize> = weights(&mut net.clone().graph_mut().clone())
            .map(|(_, w)| w.len())
            .collect();
        let total: usize = all.iter().sum();
        assert_eq!(zero, (total as f64 * 0.9).round() as usize);
        let (mut old, mut new) = (before.graph().into_owned(), net.graph().into_owned());
        for ((_, old), (i, new)) in weights(&mut old).zip(weights(&mut new)) {
            let least = new
                .iter()
                .filter(|v| **v != 0.0)
                .fold(f32::MAX, |m, v| m.min(v.abs()));
            assert!(least < f32::MAX, "layer {i} is empty");
            let lost = old.iter().zip(&*new).filter(|(_, n)| **n == 0.0);
            let most = lost.fold(0f32, |m, (o, _)| m.max(o.abs()));
            assert!(most <= least, "layer {i} lost {most} and kept {least}");
        }
    }

    #[test]
    fn layers_of_lower_rank_compute_nearly_the_same() {
        let mut low = net();
        let done = low.lower_rank(0.8);
        let known: Vec<(&str, usize)> = vec![("fc1", 128), ("fc2", 10)];
        for ((name, rank), (layer, outputs)) in done.iter().zip(known) {
            assert!(name == layer && *rank < outputs, "{done:?}");
        }
        assert_eq!(done.len(), 2, "{done:?}");
        let exact = net();
        let pixels: Vec<u8> = (0..784).map(|k| (k * 37 % 256) as u8).collect();
        let split = crate::Split {
            shape: exact.input(),
            images: pixels,
            labels: vec![0],
            preprocess: Default::default(),
        };
        let logits = |net: &FloatNet| crate::float_logits(&net.graph(), &split).expect("it fits");
        let (a, b) = (logits(&exact), logits(&low));
        let power = |v: &mut dyn Iterator<Item = f32>| v.map(|x| x * x).sum::<f32>();
        let error = power(&mut a[0].iter().zip(&b[0]).map(|(x, y)| x - y));
        assert!(
            error < 0.5 * power(&mut a[0].iter().copied()),
            "{a:?} {b:?}"
        );
        let count = |net: &FloatNet| {
            net.graph()
                .nodes
                .iter()
                .flat_map(|n| n.op.constants())
                .map(Values::len)
                .sum::<usize>()
        };
        assert!(count(&low) < count(&exact));
    }
}

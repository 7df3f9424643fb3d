//! Who is beaten by nobody.

/// Of points (x, y), smaller is better in both: those that no other beats, by index. Of equal points the first.
pub fn front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    let by = |a: &usize, b: &usize| {
        let ((ax, ay), (bx, by)) = (points[*a], points[*b]);
        ax.total_cmp(&bx).then(ay.total_cmp(&by)).then(a.cmp(b))
    };
    order.sort_by(by);
    let mut best = f64::INFINITY;
    order.retain(|&i| {
        let better = points[i].1 < best;
        best = best.min(points[i].1);
        better
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_on_the_front_is_beaten_and_everybody_else_is() {
        let points: Vec<(f64, f64)> = (0..200u64)
            .map(|i| ((i * 7919 % 101) as f64, (i * 104_729 % 89) as f64))
            .collect();
        let front = front(&points);
        let beats = |a: (f64, f64), b: (f64, f64)| a.0 <= b.0 && a.1 <= b.1 && a != b;
        for (i, &p) in points.iter().enumerate() {
            let beaten = points.iter().any(|&q| beats(q, p));
            let twin = front.iter().any(|&f| points[f] == p);
            assert_eq!(!beaten, twin, "{i}");
        }
    }
}

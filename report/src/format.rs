//! Numbers for people. The page keeps the exact value beside each rounded one, in a `data` element.

use maud::{Markup, html};

/// Thin no-break spaces between groups of three digits.
const GROUP: char = '\u{202f}';

/// A whole number, grouped: 30 831 204.
pub fn whole(n: u64) -> String {
    let digits = n.to_string();
    let mut s = String::with_capacity(digits.len() * 4 / 3);
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            s.push(GROUP);
        }
        s.push(d);
    }
    s
}

/// Three digits and a decimal prefix: 15.3 G; below a thousand the number itself.
pub fn short(n: u64) -> String {
    let (mut v, mut prefix) = (n as f64, "");
    for next in ["k", "M", "G", "T"] {
        if v < 999.5 {
            break;
        }
        (v, prefix) = (v / 1e3, next);
    }
    let decimals = match v {
        _ if prefix.is_empty() => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    match prefix {
        "" => n.to_string(),
        _ => format!("{v:.decimals$}{GROUP}{prefix}"),
    }
}

/// Bytes with a decimal prefix.
pub fn bytes(n: u64) -> String {
    match n {
        0..1000 => format!("{n}{GROUP}B"),
        _ => short(n) + "B",
    }
}

/// A share of 0 to 1 in percent, without decimals; what is there but rounds to nothing is "<1".
pub fn percent(share: f64) -> String {
    match (share * 100.0).round() {
        0.0 if share > 0.0 => "<1".into(),
        p => format!("{p}"),
    }
}

/// The same with its sign, which stays on the line.
pub fn percent_sign(share: f64) -> String {
    format!("{}{GROUP}%", percent(share))
}

/// The style that makes a list's first column as wide as its longest name, within reason.
pub fn name_width<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let longest = names.map(|n| n.chars().count()).max().unwrap_or(0);
    format!("--name:{}ch", longest.clamp(6, 28) + 1)
}

/// `text` on the page, `value` for whoever reads the page by program.
pub fn data(value: impl std::fmt::Display, text: &str) -> Markup {
    html! { data value=(value) { (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        let plain = |n| whole(n).replace(GROUP, " ");
        assert_eq!(
            [0, 999, 1000, 30_831_204].map(plain),
            ["0", "999", "1 000", "30 831 204"]
        );
    }

    #[test]
    fn prefixes_change_where_three_digits_end() {
        let plain = |n| short(n).replace(GROUP, " ");
        assert_eq!(
            [0, 999, 1000, 9_994, 9_996, 999_400, 999_600, 15_346_630_656].map(plain),
            [
                "0", "999", "1.00 k", "9.99 k", "10.0 k", "999 k", "1.00 M", "15.3 G"
            ]
        );
    }

    #[test]
    fn a_small_share_is_not_called_nothing() {
        assert_eq!(
            [0.0, 0.001, 0.5, 1.0].map(percent),
            ["0", "<1", "50", "100"]
        );
    }
}

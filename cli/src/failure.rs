//! An error as one line: each cause once, and a hint for the plainest causes.

use std::io::ErrorKind;

/// The chain of causes on one line, without those that the line before them tells already.
pub fn line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = one_line(&cause.to_string());
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    let io = error
        .chain()
        .find_map(|c| c.downcast_ref::<std::io::Error>());
    let hint = match io.map(std::io::Error::kind) {
        Some(ErrorKind::NotFound) => "; hint: check the path",
        Some(ErrorKind::PermissionDenied) => {
            "; hint: check the permissions (a board's device may need root)"
        }
        Some(ErrorKind::IsADirectory) => "; hint: name a file, not a folder",
        Some(ErrorKind::StorageFull) => "; hint: free some space",
        _ => "",
    };
    text + hint
}

/// Parsers draw their messages over several lines.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_is_told_once_and_with_a_hint() {
        let e = cnna_machine::Board::load("nowhere.toml", &[])
            .context("the board")
            .unwrap_err();
        let text = line(&e);
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
        assert!(text.starts_with("the board: nowhere.toml: "), "{text}");
        assert!(text.ends_with("hint: check the path"), "{text}");
    }

    #[test]
    fn several_lines_become_one() {
        assert_eq!(one_line("a\n  |\n  b\n"), "a | b");
    }
}

//! An error as one line: each cause once, and a hint for the plainest causes.

use crate::FlowError;
use cnna_host::HostError;
use std::error::Error;
use std::io::ErrorKind;

/// An error and its causes, the outermost first.
pub fn chain<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e| e.source())
}

/// The chain of causes on one line, without those that the line before them tells already.
pub fn line(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in chain(error) {
        let cause = one_line(&cause.to_string());
        // What a cause tells again, the path above all, is told once.
        if text.is_empty() || cause.contains(&text) {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    let io = chain(error).find_map(|c| c.downcast_ref::<std::io::Error>());
    let hint = match io.map(std::io::Error::kind) {
        Some(ErrorKind::NotFound) => "; hint: check the path",
        Some(ErrorKind::PermissionDenied) => {
            "; hint: check the permissions (a board's device may need root)"
        }
        Some(ErrorKind::IsADirectory) => "; hint: name a file, not a folder",
        Some(ErrorKind::StorageFull) => "; hint: free some space",
        _ => "",
    };
    shortened(&text) + hint
}

/// True when the only thing wrong is that the reader of standard output has gone.
pub fn is_nobody_reads(error: &(dyn Error + 'static)) -> bool {
    let nobody = |c: &(dyn Error + 'static)| {
        let host = match c.downcast_ref::<FlowError>() {
            Some(FlowError::Host(e)) => Some(e),
            _ => c.downcast_ref::<HostError>(),
        };
        matches!(host, Some(HostError::NobodyReads))
    };
    chain(error).any(nobody)
}

/// Most characters of a message: names and values come from files, and may have any length.
const MOST: usize = 1000;

/// A long text without its middle.
fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= MOST {
        return text.into();
    }
    let half = MOST / 2;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(count - half).collect();
    format!("{head} [... {} characters ...] {tail}", count - 2 * half)
}

/// Parsers draw their messages over several lines.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What says something about a cause.
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct About(String, #[source] Option<Box<dyn Error>>);

    fn about(text: impl Into<String>, cause: Option<Box<dyn Error>>) -> About {
        About(text.into(), cause)
    }

    #[test]
    fn a_cause_is_told_once_and_with_a_hint() {
        let cause = cnna_machine::Board::load("nowhere.toml", &[]).unwrap_err();
        let text = line(&about("the board", Some(cause.into())));
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
        assert!(text.starts_with("the board: nowhere.toml: "), "{text}");
        assert!(text.ends_with("hint: check the path"), "{text}");
    }

    #[test]
    fn a_path_that_context_and_cause_tell_is_told_once() {
        let cause = about("m.onnx: No such file or directory", None);
        assert_eq!(
            line(&about("m.onnx", Some(cause.into()))),
            "m.onnx: No such file or directory"
        );
    }

    #[test]
    fn a_message_of_any_length_becomes_one_that_can_be_read() {
        let long = format!("begin {} end", "x".repeat(200_000));
        let text = line(&about(long, None));
        assert!(
            text.starts_with("begin x") && text.ends_with("x end"),
            "{text}"
        );
        assert!(
            text.len() < 1100 && text.contains("[... 199010 characters ...]"),
            "{text}"
        );
    }

    #[test]
    fn several_lines_become_one() {
        assert_eq!(one_line("a\n  |\n  b\n"), "a | b");
    }
}

//! Names of classes: one a line, and which class a folder's name means.

use crate::DataError;
use std::path::Path;

/// Longest list read: a wrong file must not fill the memory.
const MAX_BYTES: u64 = 1 << 24;

/// A file's lines, the first for class 0. Errors: unreadable, no text, longer than 16 MiB.
pub fn read_labels(path: &Path) -> Result<Vec<String>, DataError> {
    use std::io::Read as _;
    let bad = |reason: String| {
        DataError::file(
            path,
            format!("{reason}: expected a text file with a class a line"),
        )
    };
    let file = std::fs::File::open(path).map_err(|e| bad(e.to_string()))?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|e| bad(e.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(bad(format!("it is longer than {MAX_BYTES} bytes")));
    }
    Ok(text.lines().map(|l| l.trim().to_owned()).collect())
}

/// The class that a folder's name means: the label of that name (whole, or up to its comma), else the number that the name
/// is or begins with.
pub fn class_of(folder: &str, labels: &[String]) -> Option<usize> {
    let same = |l: &String| {
        l.eq_ignore_ascii_case(folder)
            || l.split(',')
                .next()
                .is_some_and(|f| f.eq_ignore_ascii_case(folder))
    };
    let digits = folder.len()
        - folder
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .len();
    labels
        .iter()
        .position(same)
        .or_else(|| folder[..digits].parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_by_label_or_number() {
        let labels = ["tench, Tinca tinca".to_owned(), "goldfish".to_owned()];
        assert_eq!(class_of("Goldfish", &labels), Some(1));
        assert_eq!(class_of("tench", &labels), Some(0));
        assert_eq!(class_of("007", &labels), Some(7));
        assert_eq!(class_of("243_bull_mastiff", &labels), Some(243));
        assert_eq!(class_of("shark", &labels), None);
    }

    #[test]
    fn a_label_file_is_lines_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("labels.txt");
        std::fs::write(&path, "cat\r\ndog\n").expect("a file");
        assert_eq!(read_labels(&path).expect("text"), ["cat", "dog"]);
        std::fs::write(&path, [0xff, 0xfe]).expect("a file");
        let e = read_labels(&path).expect_err("no text").to_string();
        assert!(
            e.contains("labels.txt") && e.contains("a class a line"),
            "{e}"
        );
    }
}

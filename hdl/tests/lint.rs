//! The whole RTL is free of Verilator's -Wall findings, for the configurations the project promises.

use cnna_hdl::sources;
use cnna_machine::Board;
use std::process::Command;

#[test]
fn every_configuration_lints_clean() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut boards: Vec<Board> = Board::names()
        .map(|n| Board::load(n, &[]).expect("built in"))
        .collect();
    for tiles in [1, 2] {
        for (lanes, ports) in [(2, 1), (5, 2), (11, 3), (13, 4)] {
            for word in [8, 16] {
                let set = [
                    ("tiles", tiles),
                    ("lanes", lanes),
                    ("word", word),
                    ("weight_ports", ports),
                    ("load_ports", 1 + lanes % 2),
                ]
                .map(|(k, v)| (k.to_string(), v.to_string()));
                boards.push(Board::load("ultra96", &set).expect("in range"));
            }
        }
    }
    for b in &boards {
        let mut names = Vec::new();
        for f in sources::rtl(b).expect("every configuration is generated") {
            std::fs::write(dir.path().join(&f.name), &f.text).expect("written");
            names.push(f.name);
        }
        let lint = Command::new("verilator")
            .current_dir(dir.path())
            .args(["--lint-only", "-Wall", "--top-module", "cnna_top"])
            .args(&names)
            .output()
            .expect("verilator runs: apt-get install verilator");
        let text = String::from_utf8_lossy(&lint.stderr);
        assert!(
            lint.status.success() && text.trim().is_empty(),
            "{} {:?}:\n{text}",
            b.name,
            b.accelerator
        );
    }
}

/// A part of SystemVerilog text: a name or number, or one other character; blanks and comments are left out.
fn tokens(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or("");
    let mut found: Vec<String> = Vec::new();
    let mut in_word = false;
    for c in code.chars() {
        let word = c.is_alphanumeric() || c == '_' || c == '$';
        match (word && in_word, found.last_mut()) {
            (true, Some(last)) => last.push(c),
            _ if !c.is_whitespace() => found.push(c.into()),
            _ => {}
        }
        in_word = word;
    }
    found
}

/// What follows the bracket that `rest` begins with, and what is inside; all of it if it stays open.
fn bracketed(rest: &[String]) -> (&[String], &[String]) {
    let mut depth = 0;
    for (i, t) in rest.iter().enumerate() {
        match t.as_str() {
            "(" | "[" => depth += 1,
            ")" | "]" if depth == 1 => return (&rest[1..i], &rest[i + 1..]),
            ")" | "]" => depth -= 1,
            _ => {}
        }
    }
    (rest, &[])
}

/// Names that a line declares as signed: signals, constants, functions.
fn declared_signed(line: &[String]) -> Vec<String> {
    let is = |t: Option<&String>, what: &str| t.is_some_and(|t| t == what);
    let Some(at) = line.iter().position(|t| t == "signed") else {
        return vec![];
    };
    let mut rest = &line[at + 1..];
    let mut names = Vec::new();
    while is(rest.first(), "[") {
        rest = bracketed(rest).1;
    }
    while let Some((name, after)) = rest.split_first() {
        names.push(name.clone());
        rest = after;
        while is(rest.first(), "[") {
            rest = bracketed(rest).1;
        }
        match is(rest.first(), ",") {
            true => rest = &rest[1..],
            false => break,
        }
    }
    names
}

/// Lines with a size cast (`48'(x)`, `UW'(x)`, `(W+2)'(x)`) of anything signed.
fn signed_casts(text: &str) -> Vec<&str> {
    let signed: Vec<String> = text
        .lines()
        .flat_map(|l| declared_signed(&tokens(l)))
        .collect();
    let literal = |t: &str| {
        t.strip_prefix("sd")
            .is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
    };
    let has_sign = |t: &String| signed.contains(t) || t == "$signed" || literal(t);
    let casts = |line: &&str| {
        let line = tokens(line);
        (1..line.len()).any(|i| {
            line[i - 1] == "'" && line[i] == "(" && bracketed(&line[i..]).0.iter().any(has_sign)
        })
    };
    text.lines().filter(casts).collect()
}

/// There are versions of Vivado that drop bits of the sign extension of a size cast: sign bits are written out.
#[test]
fn no_size_cast_extends_a_sign() {
    let seen = "input wire logic signed [A[1:0]+1:0] a_i, b_i\n x <= 48'(a_i);\n x <= 16'(c_i + 16'(i));\n x <= (W+2)'(c + b_i[1]);\n\
                logic signed [2:0] m [4][3], n;\n x <= UW'(m[i]) + UW'(n);\n function logic signed [W:0] f(input logic a);\n\
                x <= V'(f(2)) + 1; // 3'(n)\n x <= 3'(4'sd1) + 3'($signed(c)) ;\n x <= m + 3'(c) + n; // 3'(n)";
    let found = signed_casts(seen);
    assert_eq!(found.len(), 5, "{found:#?}");
    let board = Board::load("ultra96", &[]).expect("built in");
    for f in sources::rtl(&board).expect("generated") {
        assert_eq!(signed_casts(&f.text), [""; 0], "{}", f.name);
    }
}

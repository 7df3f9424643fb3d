//! The page of errors equals the error types: every kind, its message as it is printed, what it means. `CNNA_UPDATE_DOCS=1`
//! writes it anew.

use proc_macro2::{TokenStream, TokenTree};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use syn::parse::ParseStream;
use syn::{Attribute, Expr, ExprLit, Item, Lit, LitStr, Meta, Variant};

/// Folders in downhill order, and what their errors are about.
const ROOMS: [(&str, &str); 14] = [
    ("machine", "Boards, program files, machines"),
    ("net", "Networks"),
    ("onnx", "ONNX files"),
    ("data", "Pictures, arrays, data sets"),
    ("quant", "Quantisation and training"),
    ("compile", "Compiling"),
    ("hdl/emit", "RTL: the back end"),
    ("hdl", "RTL: sources for a board"),
    ("hdl/rtlsim", "RTL: simulation"),
    ("hdl/fit", "RTL: resources"),
    ("host", "On the board"),
    ("report", "Reports"),
    ("flow", "Whole paths"),
    ("explore", "Exploring"),
];

const HEAD: &str = "\
# Errors

Every message of the libraries, by the room that tells it; the command line and the Python package print the same.
A command ends with `error: `, the message and the file, layer or field that it is about. In braces stands what a case
fills in. Printed from the error types by `tests/tests/errors.rs`.
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files below a folder, by name.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(sources(&path)),
            false => all.extend(path.extension().is_some_and(|e| e == "rs").then_some(path)),
        }
    }
    all.sort();
    all
}

fn text(e: &Expr) -> Option<String> {
    match e {
        Expr::Lit(ExprLit {
            lit: Lit::Str(s), ..
        }) => Some(s.value()),
        _ => None,
    }
}

/// What doc comments say, in one line.
fn meaning(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|a| match &a.meta {
        Meta::NameValue(n) if n.path.is_ident("doc") => text(&n.value),
        _ => None,
    });
    let lines: Vec<String> = lines.map(|l| l.trim().to_string()).collect();
    lines.join(" ")
}

/// A variant's message; none where it passes on another error's.
fn message(v: &Variant) -> Option<String> {
    let error = v.attrs.iter().find(|a| a.path().is_ident("error"))?;
    let parse = |input: ParseStream| Ok((input.parse::<LitStr>()?.value(), input.parse()?));
    let (mut message, rest): (String, TokenStream) = error.parse_args_with(parse).ok()?;
    // Places without a name are named by the fields that fill them, in order.
    let fields: Vec<String> = v
        .fields
        .iter()
        .filter_map(|f| Some(f.ident.as_ref()?.to_string()))
        .collect();
    let mut named = false;
    for token in rest {
        match token {
            TokenTree::Punct(p) if p.as_char() == ',' => named = false,
            TokenTree::Ident(i) if !named && fields.contains(&i.to_string()) => {
                named = true;
                let Some((before, after)) = unnamed(&message) else {
                    continue;
                };
                message = format!("{before}{{{i}}}{after}");
            }
            _ => {}
        }
    }
    // Constants and calls fill the rest.
    while let Some((before, after)) = unnamed(&message) {
        message = format!("{before}{{..}}{after}");
    }
    Some(message)
}

/// What stands before and behind the first place without a name, `{}` or `{:08x}`.
fn unnamed(message: &str) -> Option<(&str, &str)> {
    let at = ["{}", "{:"].iter().filter_map(|p| message.find(p)).min()?;
    let end = at + message[at..].find('}')?;
    Some((&message[..at], &message[end + 1..]))
}

/// The page, and how many messages are in it.
fn page() -> (String, usize) {
    let (mut page, mut count) = (String::from(HEAD), 0);
    for (room, about) in ROOMS {
        let mut entries = String::new();
        for path in sources(&root().join(room).join("src")) {
            let code = std::fs::read_to_string(&path).unwrap();
            let file = syn::parse_file(&code).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            for item in file.items {
                let Item::Enum(e) = item else { continue };
                for v in &e.variants {
                    let Some(message) = message(v) else { continue };
                    let meaning = meaning(&v.attrs);
                    write!(
                        entries,
                        "\n- `{}::{}`: {meaning}\n\n      {message}\n",
                        e.ident, v.ident
                    )
                    .unwrap();
                    count += 1;
                }
            }
        }
        assert!(!entries.is_empty(), "{room} has no errors");
        write!(page, "\n## {about} (`{room}`)\n{entries}").unwrap();
    }
    (page, count)
}

#[test]
fn the_error_page_is_the_error_types() {
    let path = root().join("docs/errors.md");
    let (want, count) = page();
    assert!(count > 80, "{count}");
    if std::env::var_os("CNNA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &want).expect("docs are writable");
    }
    let have = std::fs::read_to_string(&path).expect("the page exists");
    assert!(
        have == want,
        "docs/errors.md differs from the error types: run with CNNA_UPDATE_DOCS=1 and review the change"
    );
}

#[test]
fn every_kind_of_error_says_what_it_means() {
    let (page, _) = page();
    let empty: Vec<&str> = page
        .lines()
        .filter(|l| l.starts_with("- `") && l.ends_with(": "))
        .collect();
    assert!(empty.is_empty(), "no doc comment: {empty:?}");
}

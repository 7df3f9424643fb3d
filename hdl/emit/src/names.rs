//! Names in the emitted text: house style, no clashes, no keywords.

use super::scope::EnumType;

/// SystemVerilog's reserved words that a Rust field could be called.
const KEYWORDS: &[&str] = &[
    "accept_on",
    "alias",
    "always",
    "and",
    "assert",
    "assign",
    "assume",
    "automatic",
    "before",
    "begin",
    "bind",
    "bins",
    "bit",
    "buf",
    "byte",
    "case",
    "cell",
    "chandle",
    "checker",
    "class",
    "clocking",
    "config",
    "const",
    "constraint",
    "context",
    "cover",
    "cross",
    "deassign",
    "default",
    "defparam",
    "design",
    "disable",
    "dist",
    "do",
    "edge",
    "else",
    "end",
    "endcase",
    "endmodule",
    "enum",
    "event",
    "eventually",
    "expect",
    "export",
    "extends",
    "extern",
    "final",
    "first_match",
    "for",
    "force",
    "foreach",
    "forever",
    "fork",
    "function",
    "generate",
    "genvar",
    "global",
    "if",
    "iff",
    "ifnone",
    "implements",
    "implies",
    "import",
    "incdir",
    "include",
    "initial",
    "inout",
    "input",
    "inside",
    "instance",
    "int",
    "integer",
    "interconnect",
    "interface",
    "intersect",
    "join",
    "large",
    "let",
    "liblist",
    "library",
    "local",
    "localparam",
    "logic",
    "longint",
    "macromodule",
    "matches",
    "medium",
    "modport",
    "module",
    "nand",
    "negedge",
    "nettype",
    "new",
    "nexttime",
    "nmos",
    "nor",
    "not",
    "notif0",
    "notif1",
    "null",
    "or",
    "output",
    "package",
    "packed",
    "parameter",
    "pmos",
    "posedge",
    "primitive",
    "priority",
    "program",
    "property",
    "protected",
    "pull0",
    "pull1",
    "pulldown",
    "pullup",
    "pure",
    "rand",
    "randc",
    "randcase",
    "real",
    "realtime",
    "ref",
    "reg",
    "reject_on",
    "release",
    "repeat",
    "restrict",
    "return",
    "scalared",
    "sequence",
    "shortint",
    "shortreal",
    "signed",
    "small",
    "soft",
    "solve",
    "specify",
    "specparam",
    "static",
    "string",
    "strong",
    "strong0",
    "strong1",
    "struct",
    "super",
    "supply0",
    "supply1",
    "table",
    "tagged",
    "task",
    "this",
    "throughout",
    "time",
    "timeprecision",
    "timeunit",
    "tran",
    "tri",
    "tri0",
    "tri1",
    "triand",
    "trior",
    "trireg",
    "type",
    "typedef",
    "union",
    "unique",
    "unique0",
    "unsigned",
    "until",
    "untyped",
    "use",
    "uwire",
    "var",
    "vectored",
    "virtual",
    "void",
    "wait",
    "wand",
    "weak",
    "weak0",
    "weak1",
    "while",
    "wildcard",
    "wire",
    "with",
    "within",
    "wor",
    "xnor",
    "xor",
];

/// True for an identifier that the emitted text can use.
pub(crate) fn is_identifier(name: &str) -> bool {
    let start = name
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    start
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !KEYWORDS.contains(&name)
}

/// rust-hdl's key as an identifier: levels joined by `_`.
pub(super) fn flat(key: &str) -> String {
    key.replace('$', "_")
}

/// A port of a control block: `_i` or `_o` at the end, once.
pub(super) fn port(key: &str, suffix: &str) -> String {
    let name = flat(key);
    if name.ends_with(suffix) {
        name
    } else {
        format!("{name}{suffix}")
    }
}

/// An instance: `i_` in front, once.
pub(super) fn instance(name: &str) -> String {
    let name = flat(name);
    if name.starts_with("i_") {
        name
    } else {
        format!("i_{name}")
    }
}

/// A block's name without `i_` and without array indices: what its module is called.
pub(super) fn module_stem(instance: &str) -> String {
    let levels: Vec<&str> = instance
        .split('$')
        .filter(|l| l.parse::<usize>().is_err())
        .collect();
    let name = levels.join("_");
    name.strip_prefix("i_").unwrap_or(&name).to_owned()
}

/// Clock and reset names of a `ClockReset` field: `clk`, `rst`, or with the field's name before them if it says more.
pub(super) fn clock_stems(key: &str) -> (String, String) {
    match key {
        "clock" | "clk" => ("clk".into(), "rst".into()),
        _ => (format!("{}_clk", flat(key)), format!("{}_rst", flat(key))),
    }
}

/// `first_beat` and `first$beat` as `FirstBeat`.
pub(super) fn upper_camel(key: &str) -> String {
    let mut out = String::new();
    for word in key.split(['_', '$']) {
        let mut chars = word.chars();
        out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        out.extend(chars);
    }
    out
}

/// `FetchState` as `fetch_state_e`.
pub(super) fn enum_type(e: &EnumType) -> String {
    let mut out = String::new();
    for (i, c) in e.name.chars().enumerate() {
        if c.is_ascii_uppercase() && i > 0 {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out + "_e"
}

/// `State::Idle` as `StateIdle`.
pub(super) fn enum_label(e: &EnumType, variant: usize) -> String {
    format!("{}{}", e.name, e.variants[variant])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_house_style() {
        assert_eq!(port("valid", "_i"), "valid_i");
        assert_eq!(port("valid_i", "_i"), "valid_i");
        assert_eq!(instance("pe$3"), "i_pe_3");
        assert_eq!(module_stem("pe$3"), "pe");
        assert_eq!(module_stem("i_fetch"), "fetch");
        assert_eq!(upper_camel("last_beat"), "LastBeat");
        assert!(
            !is_identifier("reg")
                && !is_identifier("3a")
                && !is_identifier("a$b")
                && is_identifier("acc_d")
        );
    }
}

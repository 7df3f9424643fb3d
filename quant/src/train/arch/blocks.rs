//! One small network with each down-sampling block in turn: what tests and the table of accuracies train.

/// A block's name, and its layers. `@` is the layer's name and `#` the channels before it, which it keeps.
pub const BLOCKS: &[(&str, &str)] = &[
    (
        "max",
        r#"{ kind = "max-pool", name = "@", kernel = 2, stride = 2 }"#,
    ),
    (
        "average",
        r#"{ kind = "average-pool", name = "@", kernel = 2, stride = 2 }"#,
    ),
    (
        "strided",
        r#"{ kind = "conv", name = "@", channels = #, kernel = 3, stride = 2, pad = 1, norm = true }"#,
    ),
    (
        "nin",
        r#"{ kind = "conv", name = "@a", channels = #, kernel = 1, stride = 1, pad = 0, norm = true },
           { kind = "max-pool", name = "@", kernel = 2, stride = 2 }"#,
    ),
    (
        "maxout",
        r#"{ kind = "max-pool", name = "@a", kernel = 2, stride = 2 },
           { kind = "conv", name = "@b", channels = ##, kernel = 1, stride = 1, pad = 0, norm = true, activation = "none" },
           { kind = "maxout", name = "@", pieces = 2 }"#,
    ),
    (
        "mixed",
        r#"{ kind = "mixed-pool", name = "@", kernel = 2, stride = 2 }"#,
    ),
    (
        "gated",
        r#"{ kind = "gated-pool", name = "@", kernel = 2, stride = 2 }"#,
    ),
    (
        "tree",
        r#"{ kind = "tree-pool", name = "@", kernel = 2, stride = 2, levels = 2 }"#,
    ),
    ("soft", r#"{ kind = "soft-pool", name = "@" }"#),
    ("ada", r#"{ kind = "ada-pool", name = "@" }"#),
    (
        "blur",
        r#"{ kind = "max-pool", name = "@a", kernel = 2, stride = 1 },
           { kind = "blur-pool", name = "@", kernel = 3 }"#,
    ),
    (
        "spd",
        r#"{ kind = "space-to-depth", name = "@a" },
           { kind = "conv", name = "@", channels = #, kernel = 1, stride = 1, pad = 0, norm = true }"#,
    ),
    ("gem", r#"{ kind = "gem-pool", name = "@", kernel = 2 }"#),
];

/// The description of three 3x3 convolutions of these widths with normalisation, the block behind the first and the
/// second, and ten classes.
pub fn with_block(name: &str, layers: &str, widths: [usize; 3]) -> String {
    let conv = |n: usize| {
        format!(
            "{{ kind = \"conv\", name = \"conv{n}\", channels = {}, kernel = 3, stride = 1, pad = 1, norm = true }},\n",
            widths[n]
        )
    };
    let block = |n: usize| {
        let twice = (2 * widths[n]).to_string();
        let layers = layers.replace("##", &twice);
        let layers = layers.replace('#', &widths[n].to_string());
        layers.replace('@', &format!("down{n}")) + ",\n"
    };
    format!(
        "name = \"{name}\"\nlayer = [\n{}{}{}{}{}{}{}]\n",
        conv(0),
        block(0),
        conv(1),
        block(1),
        conv(2),
        "{ kind = \"global-average\", name = \"mean\" },\n",
        "{ kind = \"fc\", name = \"fc\", features = 10 },\n"
    )
}

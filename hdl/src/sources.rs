//! The RTL as text: the parametric SystemVerilog of `hdl/rtl`, and the package generated for it, in compile order.

/// One source file, path relative to the output directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtlFile {
    /// File name.
    pub name: &'static str,
    /// Contents.
    pub text: String,
}

macro_rules! rtl {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("../rtl/", $name)))),*] };
}

/// Modules that use only those before them: the drawing of the machine, leaves first.
const FILES: &[(&str, &str)] = &rtl![
    "ram.sv",
    "fifo.sv",
    "axi_burst.sv",
    "load_engine.sv",
    "weight_port.sv",
    "weight_engine.sv",
    "store_engine.sv",
    "act_buffer.sv",
    "v_transform.sv",
    "u_transform.sv",
    "mac.sv",
    "lane.sv",
    "array.sv",
    "pool_unit.sv",
    "bias_buffer.sv",
    "requantise.sv",
    "post.sv",
    "out_buffer.sv",
    "fetch.sv",
    "tokens.sv",
    "control.sv",
    "compute_seq.sv",
    "core.sv",
];

/// All RTL files, the package first.
pub fn rtl() -> Vec<RtlFile> {
    let mut files = vec![RtlFile {
        name: "cnna_pkg.sv",
        text: crate::package::text(),
    }];
    files.extend(FILES.iter().map(|(name, text)| RtlFile {
        name,
        text: (*text).into(),
    }));
    files
}

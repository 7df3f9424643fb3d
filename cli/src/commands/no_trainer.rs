//! `cnna train` in a build without the trainer: how to get it.

use anyhow::{Result, bail};
use std::process::ExitCode;

/// Arguments of `cnna train`, whichever.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Train {
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGUMENTS"
    )]
    _arguments: Vec<String>,
}

impl Train {
    /// Errors: always.
    pub fn run(self) -> Result<ExitCode> {
        bail!(
            "this cnna was built without the trainer, as `make demo` builds it: `make build` builds it with one"
        )
    }
}

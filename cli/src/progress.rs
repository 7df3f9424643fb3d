//! Progress bars on standard error; silent when it is not a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of `length` steps named `what`, counted in `unit`.
pub fn bar(length: u64, what: &str, unit: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(&format!(
        "{{msg}} [{{bar:30}}] {{human_pos}}/{{human_len}} {unit} {{elapsed}} eta {{eta}}"
    ))
    .expect("a fixed template")
    .progress_chars("=> ");
    let bar = ProgressBar::new(length).with_style(style);
    bar.set_message(what.to_owned());
    bar
}

/// For work of unknown length.
pub fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

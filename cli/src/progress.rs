//! Progress bars on standard error; silent when it is not a terminal.

use cnna_flow::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Mutex;

/// A bar of `length` steps named `what`, counted in `unit`.
fn bar(length: u64, what: &str, unit: &str) -> ProgressBar {
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

/// The one bar of a whole path.
pub struct Bar(Mutex<Option<ProgressBar>>);

impl Bar {
    /// Without work yet.
    pub fn new() -> Self {
        Bar(Mutex::new(None))
    }

    fn with(&self, f: impl FnOnce(&mut Option<ProgressBar>)) {
        // A bar is worth no second panic.
        if let Ok(mut bar) = self.0.lock() {
            f(&mut bar);
        }
    }
}

impl Progress for Bar {
    fn begin(&self, what: &str, length: Option<u64>, unit: &str) {
        self.end();
        self.with(|b| {
            *b = Some(match length {
                Some(n) => bar(n, what, unit),
                None => spinner(what),
            });
        });
    }
    fn at(&self, steps: u64) {
        self.with(|b| b.iter().for_each(|b| b.set_position(steps)));
    }
    fn note(&self, text: &str) {
        self.with(|b| b.iter().for_each(|b| b.set_message(text.to_owned())));
    }
    fn end(&self) {
        self.with(|b| b.take().iter().for_each(ProgressBar::finish_and_clear));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}

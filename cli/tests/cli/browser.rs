//! Debian's Chromium without a window: opens a page at a width and in a colour scheme, and measures what it drew.

use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Width in CSS pixels; dark or light.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub width: u32,
    pub dark: bool,
}

/// Opens the page and returns what `measure.js` saw. The page itself stays as it is.
///
/// It lies in a frame, because no window of Chromium is narrower than 500 pixels.
pub fn measure(page: &Path, view: View) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let harness = folder.path().join("harness.html");
    let html = std::fs::read_to_string(page).unwrap();
    let framed = format!("{html}<script>{}</script>", include_str!("measure.js"));
    let framed = framed.replace('&', "&amp;").replace('"', "&quot;");
    let text = format!(
        "<!doctype html><meta charset=utf-8><meta name=color-scheme content=\"light dark\"><body>\
         <iframe style=\"border:0;width:{}px;height:900px\" srcdoc=\"{framed}\"></iframe>",
        view.width
    );
    std::fs::write(&harness, text).unwrap();
    let scheme = if view.dark { 0 } else { 1 };
    let output = Command::new("timeout")
        .args(["120", "chromium"])
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
        ])
        .args(["--no-first-run", "--disable-background-networking"])
        .args(["--disable-component-update", "--disable-sync"])
        .args(["--hide-scrollbars", "--virtual-time-budget=5000"])
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("user").display()
        ))
        .arg("--window-size=1400,1000")
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .arg("--dump-dom")
        .arg(format!("file://{}", harness.display()))
        .output()
        .expect("`timeout` of coreutils starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_ne!(
        output.status.code(),
        Some(127),
        "chromium is missing, and the page is only tested in a browser: run scripts/setup. {errors}"
    );
    let dom = String::from_utf8_lossy(&output.stdout);
    let measured = dom
        .split_once("<pre id=\"measured\">")
        .and_then(|(_, rest)| {
            let (text, _) = rest.split_once("</pre>")?;
            serde_json::from_str(text).ok()
        });
    measured.unwrap_or_else(|| panic!("chromium measured nothing: {errors}"))
}

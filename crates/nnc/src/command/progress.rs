//! Progress on standard error, shown on terminals only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `n` things called `what`, with the time left.
pub(super) fn bar(n: usize, what: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}").expect("the template is constant");
    ProgressBar::new(n as u64).with_style(style).with_message(what)
}

/// A sign of life while `what` happens, for work that cannot say how far it is.
pub(super) fn spinner(what: String) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

//! Progress and cancellation: how a running experiment talks to the one who waits for it.

pub(crate) mod display;

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};

/// How an experiment tells what it does and learns that it should stop.
pub(crate) trait Progress: Sync {
    /// What is being done now, in a few words.
    fn stage(&self, message: &str);

    /// The share of the whole that is done, in `[0, 1]`.
    fn fraction(&self, done: f64);

    /// Whether the run should end at its next checkpoint.
    fn cancelled(&self) -> bool;

    /// Ends the run with [`Cancelled`] when it should end; call it where a checkpoint has just been written.
    ///
    /// # Errors
    /// [`Cancelled`] when the run should end.
    fn check(&self) -> Result<()> {
        if self.cancelled() { Err(Cancelled.into()) } else { Ok(()) }
    }
}

/// The run was asked to stop, and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cancelled;

impl std::fmt::Display for Cancelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// Whether `error` is the end of a run that was asked to stop, here or below.
pub(crate) fn is_cancelled(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Cancelled>()
            || cause
                .downcast_ref::<nnc_core::Error>()
                .is_some_and(|e| matches!(e, nnc_core::Error::Cancelled))
    })
}

/// A part of a run that has its own 0 to 1.
pub(crate) struct Span<'a> {
    whole: &'a dyn Progress,
    from: f64,
    to: f64,
}

impl<'a> Span<'a> {
    /// The part of `whole` between the shares `from` and `to`.
    pub(crate) fn new(whole: &'a dyn Progress, from: f64, to: f64) -> Self {
        Self { whole, from, to }
    }
}

impl Progress for Span<'_> {
    fn stage(&self, message: &str) {
        self.whole.stage(message);
    }

    fn fraction(&self, done: f64) {
        self.whole.fraction(self.from + (self.to - self.from) * done.clamp(0.0, 1.0));
    }

    fn cancelled(&self) -> bool {
        self.whole.cancelled()
    }
}

/// Set by the first Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes the first Ctrl-C ask for the next checkpoint, the second end at once (status 130).
///
/// # Errors
/// When the system does not let a handler be set.
pub(crate) fn handle_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping at the next checkpoint; Ctrl-C again stops at once");
    })
    .context("setting the Ctrl-C handler")
}

/// Whether Ctrl-C was pressed.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Recorder(Mutex<Vec<f64>>, bool);

    impl Progress for Recorder {
        fn stage(&self, _: &str) {}
        fn fraction(&self, done: f64) {
            self.0.lock().unwrap().push(done);
        }
        fn cancelled(&self) -> bool {
            self.1
        }
    }

    #[test]
    fn spans_nest() {
        let whole = Recorder(Mutex::default(), false);
        let half = Span::new(&whole, 0.5, 1.0);
        let quarter = Span::new(&half, 0.0, 0.5);
        quarter.fraction(0.0);
        quarter.fraction(1.0);
        half.fraction(7.0);
        assert_eq!(*whole.0.lock().unwrap(), [0.5, 0.75, 1.0]);
    }

    #[test]
    fn a_cancelled_run_ends_with_an_error_that_is_known_through_context() {
        Recorder(Mutex::default(), false).check().unwrap();
        let error = Recorder(Mutex::default(), true).check().context("training").unwrap_err();
        assert!(is_cancelled(&error));
        assert!(is_cancelled(&anyhow::Error::from(nnc_core::Error::Cancelled).context("training")));
        assert!(!is_cancelled(&anyhow::anyhow!("cancelled")));
    }
}

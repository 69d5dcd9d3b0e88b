//! Progress shown: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Progress, interrupted};

/// A [`Progress`] that someone sees.
pub(crate) trait Display: Progress {
    /// Ends the display with one line.
    fn finish(&self, line: &str);
}

/// The display of one experiment: a bar where standard error is a terminal, plain lines elsewhere.
pub(crate) fn start(name: &str) -> Box<dyn Display> {
    if stderr().is_terminal() { Box::new(Bar::new(name)) } else { Box::new(Lines::new(name)) }
}

/// `1:05` or `1:02:03`.
pub(crate) fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// What is being done, how much of it is done, and since when.
#[derive(Debug)]
struct Position {
    stage: String,
    done: f64,
    /// When the first share was reported, and which: a resumed run starts above 0.
    first: Option<(Instant, f64)>,
}

impl Position {
    fn new() -> Self {
        Self { stage: String::new(), done: 0.0, first: None }
    }

    fn advance(&mut self, done: f64) {
        self.done = done.clamp(0.0, 1.0);
        self.first.get_or_insert_with(|| (Instant::now(), self.done));
    }

    fn text(&self) -> String {
        let left = self.first.and_then(|(since, first)| remaining(since.elapsed(), first, self.done));
        match left {
            Some(left) if self.done < 1.0 => format!("{} ({} left)", self.stage, clock(left)),
            _ => self.stage.clone(),
        }
    }
}

/// The time left when `elapsed` brought the share done from `first` to `done`.
fn remaining(elapsed: Duration, first: f64, done: f64) -> Option<Duration> {
    let gained = done - first;
    if gained <= 0.0 {
        return None;
    }
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - done).max(0.0) / gained).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of the lock panics")
}

/// Steps of the bar.
const STEPS: u16 = 1000;

struct Bar {
    bar: ProgressBar,
    position: Mutex<Position>,
}

impl Bar {
    fn new(name: &str) -> Self {
        let bar = ProgressBar::new(u64::from(STEPS));
        let template = "{prefix:.bold} {bar:30.cyan/black.bright} {percent:>3}% {elapsed} {wide_msg}";
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        bar.set_style(style.progress_chars("━━─"));
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar, position: Mutex::new(Position::new()) }
    }

    fn update(&self, change: impl FnOnce(&mut Position)) {
        let mut position = lock(&self.position);
        change(&mut position);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to STEPS")]
        self.bar.set_position((position.done * f64::from(STEPS)) as u64);
        self.bar.set_message(position.text());
    }
}

impl Progress for Bar {
    fn stage(&self, message: &str) {
        self.update(|position| message.clone_into(&mut position.stage));
    }

    fn fraction(&self, done: f64) {
        self.update(|position| position.advance(done));
    }

    fn cancelled(&self) -> bool {
        interrupted()
    }
}

impl Display for Bar {
    fn finish(&self, line: &str) {
        self.bar.finish_and_clear();
        eprintln!("{line}");
    }
}

/// A line is printed when the stage changes, and in between at most this often.
const QUIET: Duration = Duration::from_secs(10);

struct Lines {
    name: String,
    position: Mutex<Position>,
    printed: Mutex<Instant>,
}

impl Lines {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            position: Mutex::new(Position::new()),
            printed: Mutex::new(Instant::now()),
        }
    }

    fn print(&self, position: &Position) {
        eprintln!("{} {:3.0} % {}", self.name, position.done * 100.0, position.text());
        *lock(&self.printed) = Instant::now();
    }
}

impl Progress for Lines {
    fn stage(&self, message: &str) {
        let mut position = lock(&self.position);
        if position.stage != message {
            message.clone_into(&mut position.stage);
            self.print(&position);
        }
    }

    fn fraction(&self, done: f64) {
        let mut position = lock(&self.position);
        position.advance(done);
        let due = lock(&self.printed).elapsed() >= QUIET;
        if due {
            self.print(&position);
        }
    }

    fn cancelled(&self) -> bool {
        interrupted()
    }
}

impl Display for Lines {
    fn finish(&self, line: &str) {
        eprintln!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_share_gained() {
        let minute = Duration::from_secs(60);
        assert_eq!(remaining(minute, 0.0, 0.25), Some(3 * minute));
        assert_eq!(remaining(minute, 0.5, 0.75), Some(minute), "a resumed run");
        assert_eq!(remaining(minute, 0.0, 1.0), Some(Duration::ZERO));
        assert_eq!(remaining(minute, 0.5, 0.5), None, "nothing to go by");
    }

    #[test]
    fn clocks_show_hours_only_when_there_are_some() {
        assert_eq!(clock(Duration::from_secs(65)), "1:05");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
    }
}

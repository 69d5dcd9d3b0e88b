//! Why a command failed: one line that names the file.

use std::fmt;
use std::path::Path;

use nnc_core::Error;

/// A message of one line.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// What is wrong with the file at `path`.
    pub(super) fn in_file(path: &Path, error: impl fmt::Display) -> Self {
        Self(format!("{}: {}", path.display(), one_line(&error.to_string())))
    }

    /// What `error` says about the file at `path`, which is named once.
    pub(super) fn of(path: &Path) -> impl Fn(Error) -> Self {
        move |error| match error {
            Error::Io { path, source } => Self(format!("{path}: {source}")),
            other => Self::in_file(path, other),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The lines of a message in one, without the picture of the source that a TOML error draws (`3 | seed = x`).
fn one_line(message: &str) -> String {
    let is_picture = |line: &str| {
        line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|')
    };
    let lines =
        message.lines().filter(|line| !is_picture(line)).map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_one_line() {
        let toml =
            "TOML parse error at line 3, column 1\n  |\n3 | prunes = 1\n  | ^^^^^^\nunknown field `prunes`\n";
        assert_eq!(one_line(toml), "TOML parse error at line 3, column 1: unknown field `prunes`");
        assert_eq!(one_line("as it is"), "as it is");
    }
}

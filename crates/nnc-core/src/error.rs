//! The one error type of this crate: three kinds kept apart.
//!
//! The **caller** was wrong ([`Error::InvalidArgument`], [`Error::ShapeMismatch`], [`Error::NotFound`],
//! [`Error::NoMatch`]); the **data** is corrupt or short ([`Error::Corrupt`], [`Error::UnexpectedEnd`]); the
//! **code** is wrong, which is a panic and never an `Error`.

use std::fmt;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in `nnc-core` and in the method crates above it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument is outside its documented range.
    #[error("invalid `{what}`: expected {expected}, got {got}")]
    InvalidArgument {
        /// The parameter's name.
        what: String,
        /// What would have been right.
        expected: String,
        /// What was found.
        got: String,
    },
    /// Two shapes that must agree do not.
    #[error("shape mismatch in {what}: expected {expected:?}, got {got:?}")]
    ShapeMismatch {
        /// The tensor or the node.
        what: String,
        /// The shape that would have been right.
        expected: Vec<usize>,
        /// The shape found.
        got: Vec<usize>,
    },
    /// A name is unknown; the known ones are listed.
    #[error("no {what} named `{name}`; there are: {}", known.join(", "))]
    NotFound {
        /// The kind of thing looked for (`parameter`, `node`, …).
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// A pattern selects nothing.
    #[error("pattern `{pattern}` matches no {what}; there are: {}", known.join(", "))]
    NoMatch {
        /// The kind of thing matched against.
        what: &'static str,
        /// The pattern.
        pattern: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// Bytes from outside contradict their format.
    #[error("corrupt {what}: {why}")]
    Corrupt {
        /// The file or stream.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Bytes from outside end too early.
    #[error("{what} ends early: expected {expected} bytes, got {got}")]
    UnexpectedEnd {
        /// The file or stream.
        what: String,
        /// Bytes needed.
        expected: u64,
        /// Bytes there are.
        got: u64,
    },
    /// A callback asked for the run to stop.
    #[error("cancelled")]
    Cancelled,
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// candle said no.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// An [`Error::InvalidArgument`].
    pub fn invalid(what: impl Into<String>, expected: impl Into<String>, got: impl fmt::Display) -> Self {
        Self::InvalidArgument { what: what.into(), expected: expected.into(), got: got.to_string() }
    }

    /// An [`Error::ShapeMismatch`].
    pub fn shape(what: impl Into<String>, expected: &[usize], got: &[usize]) -> Self {
        Self::ShapeMismatch { what: what.into(), expected: expected.to_vec(), got: got.to_vec() }
    }

    /// An [`Error::Corrupt`].
    pub fn corrupt(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), why: why.into() }
    }

    /// An [`Error::Io`] that names its file.
    pub fn io(path: impl AsRef<std::path::Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().display().to_string(), source }
    }

    /// An [`Error::NotFound`].
    pub fn not_found<I, S>(what: &'static str, name: impl Into<String>, known: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Self::NotFound { what, name: name.into(), known: known.into_iter().map(Into::into).collect() }
    }
}

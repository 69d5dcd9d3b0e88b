//! The one error type of this crate: the caller was wrong.

use std::fmt;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can be wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An argument is outside its documented range.
    InvalidArgument {
        /// The parameter's name.
        what: &'static str,
        /// What would have been right.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A slice has fewer or more elements than the shape beside it asks for.
    WrongLength {
        /// The parameter's name.
        what: &'static str,
        /// Elements asked for.
        expected: usize,
        /// Elements found.
        found: usize,
    },
    /// Two matrices do not fit together.
    ShapeMismatch {
        /// The parameter's name.
        what: &'static str,
        /// Rows and columns asked for.
        expected: (usize, usize),
        /// Rows and columns found.
        found: (usize, usize),
    },
    /// A sum over so many products could leave the range of `i32`.
    DepthOverflow {
        /// The inner dimension of the product.
        depth: usize,
        /// The largest that is safe for these types and zero points.
        max: usize,
    },
}

impl Error {
    /// An argument that is `found` where `expected` was right.
    pub(crate) fn invalid(what: &'static str, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::InvalidArgument { what, expected: expected.to_string(), found: found.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArgument { what, expected, found } => {
                write!(f, "{what}: expected {expected}, found {found}")
            }
            Self::WrongLength { what, expected, found } => {
                write!(f, "{what}: expected {expected} elements, found {found}")
            }
            Self::ShapeMismatch { what, expected, found } => {
                let ((rows, cols), (m, n)) = (expected, found);
                write!(f, "{what}: expected {rows} x {cols}, found {m} x {n}")
            }
            Self::DepthOverflow { depth, max } => {
                write!(f, "depth: expected at most {max} for these types and zero points, found {depth}")
            }
        }
    }
}

impl std::error::Error for Error {}

//! The one error type of this crate: the caller was wrong, or the bytes are.

use std::fmt;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while coding or decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The caller: an argument is outside its documented range.
    InvalidArgument {
        /// The parameter's name.
        what: &'static str,
        /// What would have been right.
        expected: String,
        /// What was found.
        got: String,
    },
    /// The caller: a symbol to encode, or to price, has no codeword.
    UnknownSymbol {
        /// The symbol.
        symbol: u16,
    },
    /// The data claim more symbols than the caller allows.
    TooManySymbols {
        /// Symbols claimed.
        claimed: u64,
        /// The caller's bound.
        max: u64,
    },
    /// The data are no frame of this crate.
    WrongMagic,
    /// The data are a frame of a format version that this crate does not read.
    UnsupportedVersion {
        /// The version found.
        got: u8,
    },
    /// The data end inside a header or a table.
    UnexpectedEnd {
        /// What was being read.
        what: &'static str,
    },
    /// The data's code lengths leave codewords unused or use some twice.
    Kraft {
        /// `Σ 2^(16 - length)`; a complete code has 65,536.
        sum: u64,
    },
    /// The data's payload does not hold exactly the symbols that were claimed.
    CountMismatch {
        /// Symbols claimed for the stream.
        symbols: u64,
        /// Bits that the stream has.
        bits: u64,
    },
    /// The data contradict their format in another way.
    Corrupt {
        /// The part that is wrong.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    pub(crate) fn invalid(what: &'static str, expected: impl Into<String>, got: impl fmt::Display) -> Self {
        Self::InvalidArgument { what, expected: expected.into(), got: got.to_string() }
    }

    pub(crate) fn corrupt(what: &'static str, why: impl Into<String>) -> Self {
        Self::Corrupt { what, why: why.into() }
    }

    /// Whether the caller, not the data, was wrong.
    pub fn is_caller(&self) -> bool {
        matches!(self, Self::InvalidArgument { .. } | Self::UnknownSymbol { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArgument { what, expected, got } => {
                write!(f, "invalid `{what}`: expected {expected}, got {got}")
            }
            Self::UnknownSymbol { symbol } => write!(f, "symbol {symbol} has no codeword"),
            Self::TooManySymbols { claimed, max } => {
                write!(f, "{claimed} symbols claimed, at most {max} allowed")
            }
            Self::WrongMagic => write!(f, "not a frame of this format: wrong first bytes"),
            Self::UnsupportedVersion { got } => {
                write!(f, "unsupported frame version: expected {}, got {got}", crate::frame::VERSION)
            }
            Self::UnexpectedEnd { what } => write!(f, "{what} ends early"),
            Self::Kraft { sum } => write!(
                f,
                "code lengths are {}: expected Kraft sum 65536/65536, got {sum}/65536",
                if *sum > 1 << 16 { "over-subscribed" } else { "incomplete" }
            ),
            Self::CountMismatch { symbols, bits } => {
                write!(f, "a payload of {bits} bits does not hold exactly {symbols} symbols")
            }
            Self::Corrupt { what, why } => write!(f, "corrupt {what}: {why}"),
        }
    }
}

impl std::error::Error for Error {}

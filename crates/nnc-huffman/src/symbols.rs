//! Feature `tensor`: coded streams as nnc-core's [`Symbols`].

use std::ops::Range;

use nnc_core::weight::symbols::Symbols;

use crate::{CodedSymbols, Error};

impl Symbols for CodedSymbols {
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn width(&self) -> u32 {
        self.code().width()
    }

    fn decode_into(&self, range: Range<usize>, out: &mut [u16]) -> nnc_core::Result<()> {
        Ok(self.decode_range(range, out)?)
    }

    fn payload_bits(&self) -> u64 {
        Self::payload_bits(self)
    }

    fn table_bits(&self) -> u64 {
        Self::table_bits(self)
    }
}

impl From<Error> for nnc_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidArgument { what, expected, got } => Self::invalid(what, expected, got),
            Error::UnknownSymbol { symbol } => {
                Self::invalid("symbols", "symbols that have a codeword", symbol)
            }
            corrupt => Self::corrupt("coded symbols", corrupt.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coded_streams_are_symbols() {
        let symbols: Vec<u16> = (0..3000).map(|i| i * i % 31).collect();
        let coded: Box<dyn Symbols> = Box::new(CodedSymbols::encode(&symbols, 256));
        assert_eq!((coded.len(), coded.width(), coded.is_empty()), (3000, 5, false));
        assert_eq!(coded.to_vec().unwrap(), symbols);
        let mut out = [0; 10];
        coded.decode_into(250..260, &mut out).unwrap();
        assert_eq!(out, symbols[250..260]);
        let error = coded.decode_into(0..3001, &mut vec![0; 3001]).unwrap_err();
        assert!(matches!(error, nnc_core::Error::InvalidArgument { .. }), "{error}");
    }

    #[test]
    fn bits_are_those_of_the_bytes_written() {
        let coded = CodedSymbols::encode(&[1u16, 5, 5, 5, 2], 2);
        let mut bytes = Vec::new();
        coded.write(&mut bytes);
        let symbols: &dyn Symbols = &coded;
        assert_eq!(symbols.payload_bits() + symbols.table_bits(), 8 * bytes.len() as u64);
    }

    #[test]
    fn corrupt_streams_are_corrupt_in_core_too() {
        let mut bytes = Vec::new();
        CodedSymbols::encode(&[1u16, 5, 5, 5, 2], 0).write(&mut bytes);
        bytes.push(0);
        let read = CodedSymbols::read(&bytes, 5, 0).unwrap();
        let error = Symbols::to_vec(&read).unwrap_err();
        assert!(matches!(error, nnc_core::Error::Corrupt { .. }), "{error}");
    }
}

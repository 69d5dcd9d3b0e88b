//! Values as indices into a table of shared values.

use std::sync::Arc;

use super::scan::scan;
use super::{MAX_WIDTH, Symbols};
use crate::{Error, Result};

/// A table of shared values and one index per slot.
///
/// Where positions have fillers, entry 0 is reserved: it is +0.0, and a filler slot holds index 0 (as in the released
/// AlexNet file, whose 2^b entries therefore hold 2^b − 1 shared values).
///
/// # Source
/// Han, Mao, Dally, "Deep Compression", ICLR 2016, §3.
#[derive(Debug, Clone)]
pub struct Codebook {
    table: Vec<f32>,
    indices: Arc<dyn Symbols>,
    entropy_bits: f64,
}

impl Codebook {
    /// A table of at most 2^16 values, and indices into it; reads the stream once to check it.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when the table is too long, [`Corrupt`](Error::Corrupt) when an index
    /// is beyond it, and what the stream's decoder says.
    pub fn new(table: Vec<f32>, indices: Arc<dyn Symbols>) -> Result<Self> {
        let limit = 1_u32 << MAX_WIDTH;
        let len = u32::try_from(table.len())
            .ok()
            .filter(|&len| len <= limit)
            .ok_or_else(|| Error::invalid("codebook", format!("at most {limit} values"), table.len()))?;
        let entropy_bits = scan(&*indices, "codebook indices", len, |_| ())?;
        Ok(Self { table, indices, entropy_bits })
    }

    /// The shared values.
    pub fn table(&self) -> &[f32] {
        &self.table
    }

    /// The indices, one per slot.
    pub fn indices(&self) -> &Arc<dyn Symbols> {
        &self.indices
    }

    /// Whether entry 0 is +0.0, as fillers need it.
    pub fn reserves_zero(&self) -> bool {
        self.table.first().is_some_and(|value| value.to_bits() == 0)
    }

    /// The order-0 entropy of the indices in bits.
    pub fn entropy_bits(&self) -> f64 {
        self.entropy_bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weight::PackedSymbols;

    #[test]
    fn indices_beyond_the_table_are_corrupt() {
        let indices = |symbols: &[u16]| Arc::new(PackedSymbols::narrowest(symbols));
        assert!(matches!(Codebook::new(vec![0.0, 1.0], indices(&[0, 1, 2])), Err(Error::Corrupt { .. })));
        assert!(Codebook::new(vec![], indices(&[])).is_ok());
        assert!(matches!(Codebook::new(vec![], indices(&[0])), Err(Error::Corrupt { .. })));
        assert!(matches!(Codebook::new(vec![0.0; 65_537], indices(&[])), Err(Error::InvalidArgument { .. })));
    }

    #[test]
    fn only_positive_zero_is_reserved() {
        let book = |table| Codebook::new(table, Arc::new(PackedSymbols::narrowest(&[]))).unwrap();
        assert!(book(vec![0.0, 1.0]).reserves_zero());
        assert!(!book(vec![-0.0, 1.0]).reserves_zero());
        assert!(!book(vec![]).reserves_zero());
    }
}

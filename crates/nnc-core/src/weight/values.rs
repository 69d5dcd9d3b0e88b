//! What the stored entries of a weight hold.

use half::{bf16, f16};

use super::affine::Grouping;
use super::scan::SymbolReader;
use super::{Affine, AffineGrid, Codebook};
use crate::footprint::StreamBits;
use crate::{Error, Result};

/// What the stored entries hold, one value per slot of the positions.
///
/// How a filler slot is marked: [`F32`](Self::F32) and [`Half`](Self::Half) hold +0.0, [`Affine`](Self::Affine) holds the
/// zero point of its position, [`Codebook`](Self::Codebook) holds index 0, whose entry is +0.0.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Values {
    /// 32-bit floats, bit for bit.
    F32(Vec<f32>),
    /// 16-bit floats.
    Half(Half),
    /// Integer codes with scales and zero points.
    Affine(Affine),
    /// Indices into a table of shared values.
    Codebook(Codebook),
}

/// 16-bit floats of one of two formats.
#[derive(Debug, Clone, PartialEq)]
pub enum Half {
    /// IEEE binary16: 5 bits of exponent, 10 of fraction.
    F16(Vec<f16>),
    /// bfloat16: 8 bits of exponent, 7 of fraction.
    Bf16(Vec<bf16>),
}

impl Half {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F16(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of slot `i`; every 16-bit float is a 32-bit float.
    fn get(&self, i: usize) -> Option<f32> {
        match self {
            Self::F16(values) => values.get(i).map(|value| value.to_f32()),
            Self::Bf16(values) => values.get(i).map(|value| value.to_f32()),
        }
    }
}

impl Values {
    /// How many slots there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Half(values) => values.len(),
            Self::Affine(affine) => affine.codes().len(),
            Self::Codebook(codebook) => codebook.indices().len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bits of the values, and bits of the tables they need.
    pub(crate) fn footprint(&self) -> (StreamBits, u64) {
        match self {
            Self::F32(values) => (StreamBits::raw(32 * values.len() as u64), 0),
            Self::Half(values) => (StreamBits::raw(16 * values.len() as u64), 0),
            Self::Affine(affine) => {
                let bits = affine.codes().payload_bits();
                let tables = affine.codes().table_bits() + affine.grid().table_bits();
                (StreamBits { bits, entropy_bits: affine.entropy_bits() }, tables)
            }
            Self::Codebook(codebook) => {
                let bits = codebook.indices().payload_bits();
                let tables = codebook.indices().table_bits() + 32 * codebook.table().len() as u64;
                (StreamBits { bits, entropy_bits: codebook.entropy_bits() }, tables)
            }
        }
    }

    /// Reads the values slot by slot; `shape` is the weight's, which these values fit.
    pub(crate) fn reader<'a>(&'a self, shape: &[usize]) -> ValueReader<'a> {
        match self {
            Self::F32(values) => ValueReader::F32(values.iter()),
            Self::Half(values) => ValueReader::Half { values, next: 0 },
            Self::Affine(affine) => ValueReader::Affine {
                codes: SymbolReader::new(&**affine.codes()),
                grid: affine.grid(),
                grouping: affine
                    .grid()
                    .granularity()
                    .grouping(shape)
                    .expect("the weight checked its scales against its shape"),
            },
            Self::Codebook(codebook) => ValueReader::Codebook {
                indices: SymbolReader::new(&**codebook.indices()),
                table: codebook.table(),
            },
        }
    }
}

/// The values of a weight, slot by slot.
#[derive(Debug)]
pub(crate) enum ValueReader<'a> {
    F32(std::slice::Iter<'a, f32>),
    Half { values: &'a Half, next: usize },
    Affine { codes: SymbolReader<'a>, grid: &'a AffineGrid, grouping: Grouping },
    Codebook { indices: SymbolReader<'a>, table: &'a [f32] },
}

impl ValueReader<'_> {
    /// The value of the next slot, which stands at the flat row-major position `flat`.
    pub(crate) fn next(&mut self, flat: usize) -> Result<f32> {
        let value = match self {
            Self::F32(values) => values.next().copied(),
            Self::Half { values, next } => {
                *next += 1;
                values.get(*next - 1)
            }
            Self::Affine { codes, grid, grouping } => {
                codes.next()?.map(|code| grid.value(grouping.of(flat), code))
            }
            // The indices were checked against the table when the codebook was made.
            Self::Codebook { indices, table } => {
                indices.next()?.and_then(|i| table.get(usize::from(i)).copied())
            }
        };
        value.ok_or_else(|| Error::corrupt("stored weight", "a stream changed after it was checked"))
    }
}

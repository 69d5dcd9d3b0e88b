//! Streams of [`Encoder`](crate::Encoder), which are read from their beginning, several symbols a lookup.
//!
//! One body for all instruction sets: what a kernel adds is leave to use shifts that need no flags.

use crate::bits::BitReader;
use crate::multi::{N_ENTRIES, SYMBOL_BYTES, TABLE_BITS, with_table};
use crate::symbol::Symbol;
use crate::{Code, Result};

/// Lookups that the 56 bits of a refill are enough for.
const PER_REFILL: usize = 4;

/// Symbols that a lookup writes, whatever it counts: six bytes or three `u16`, and what fills up a register.
const STORE: usize = 8;

/// Symbols of room that a step needs.
const STEP: usize = 40;

/// A code laid out for streams whose first bit is the lowest.
///
/// # Invariants
/// Each entry is as in [`MultiTable`](crate::multi::MultiTable): 1 to 12 bits, 1 to 6 symbols.
#[derive(Debug, Clone)]
pub(crate) struct ForwardTable {
    /// By the next 12 bits, first bit lowest.
    entries: Box<[u64; N_ENTRIES]>,
    /// Whether entries have symbols of a byte, six at most, and not of two, three at most.
    has_bytes: bool,
}

/// The bits of an index the other way round.
static REVERSED: [u16; N_ENTRIES] = {
    let mut reversed = [0; N_ENTRIES];
    let mut index: u16 = 0;
    while (index as usize) < N_ENTRIES {
        reversed[index as usize] = index.reverse_bits() >> (u16::BITS - TABLE_BITS);
        index += 1;
    }
    reversed
};

impl ForwardTable {
    /// Lays out `code`.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) where the code has fewer than two symbols or words of more than 12 bits.
    pub(super) fn build(isa: super::Isa, code: &Code) -> Result<Self> {
        let has_bytes = code.width() <= u8::BITS;
        with_table(|table| {
            let by_first_bit_highest = if has_bytes {
                isa.build_table::<u8>(table, code)?;
                table.entries::<u8>()
            } else {
                isa.build_table::<u16>(table, code)?;
                table.entries::<u16>()
            };
            let mut entries = Box::new([0; N_ENTRIES]);
            for (entry, &index) in entries.iter_mut().zip(&REVERSED) {
                *entry = by_first_bit_highest[usize::from(index)];
            }
            Ok(Self { entries, has_bytes })
        })
    }
}

/// Where one stream is: what is to be read of it, and how much of `out` is written.
pub(crate) struct ForwardLane<'s, 'o, S> {
    pub(crate) reader: BitReader<'s>,
    pub(crate) out: &'o mut [S],
    pub(crate) n_done: usize,
}

/// Decodes lanes side by side for as long as each has 8 bytes to read and room for a step.
///
/// What is left is for a decoder that looks at each word.
#[inline(always)]
pub(super) fn decode<S: Symbol, const N: usize>(
    table: &ForwardTable,
    lanes: &mut [ForwardLane<'_, '_, S>; N],
) {
    if table.has_bytes {
        while step(&table.entries, lanes, S::spread) {}
    } else {
        while step(&table.entries, lanes, S::unpack) {}
    }
}

/// A refill of each lane and four lookups, which write by `put`; `false` where a lane is too near its end.
#[inline(always)]
#[allow(clippy::cast_possible_truncation, reason = "an index of 12 bits, a shift of 6, a count of a byte")]
fn step<S: Symbol, const N: usize>(
    entries: &[u64; N_ENTRIES],
    lanes: &mut [ForwardLane<'_, '_, S>; N],
    put: impl Fn(u64, &mut [S; STORE]),
) -> bool {
    if !lanes.iter_mut().all(|lane| lane.out.len() - lane.n_done >= STEP && lane.reader.refill_fast()) {
        return false;
    }
    let mut bits: [u64; N] = std::array::from_fn(|i| lanes[i].reader.peek());
    let (mut n_bits, mut n_symbols) = ([0u64; N], [0usize; N]);
    let parts = lanes
        .each_mut()
        .map(|lane| lane.out[lane.n_done..].first_chunk_mut::<STEP>().expect("the room was seen above"));
    for _ in 0..PER_REFILL {
        for i in 0..N {
            let entry = entries[bits[i] as usize % N_ENTRIES];
            // At most three times six symbols come before the last store, so that the remainder changes nothing.
            let at = n_symbols[i] % (STEP - STORE);
            put(entry >> 16, parts[i][at..].first_chunk_mut().expect("a store's room after any remainder"));
            bits[i] >>= entry & 63;
            n_bits[i] += entry & 0xff;
            n_symbols[i] += usize::from((entry >> 8) as u8);
        }
    }
    for ((lane, n_bits), n_symbols) in lanes.iter_mut().zip(n_bits).zip(n_symbols) {
        lane.reader.consume(n_bits as u32);
        lane.n_done += n_symbols;
    }
    true
}

const _: () = assert!((PER_REFILL - 1) * SYMBOL_BYTES < STEP - STORE && (STEP - STORE).is_power_of_two());

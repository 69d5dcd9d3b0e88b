//! Code tables as bytes: lengths by symbol in the cheapest of four forms.
//!
//! A table begins with the two bits of its form. It holds no count: **it ends where the Kraft sum of its lengths reaches
//! one**, so that a table with too few lengths ends early and one with too many is over-subscribed. Zeros fill up the last
//! byte. Fields are in the bit order of the payload (low bit first).
//!
//! | form | bits | then |
//! |---|---|---|
//! | 0 single | γ | 1: no symbol; `s + 2`: the only symbol `s` |
//! | 1 packed | 4 base − 1, 3 w − 1 | w bits a symbol: 0 absent, `v` length `base + v − 1` |
//! | 2 running | | a symbol: `0` as the last length; `10d` one shorter (d = 0) or longer; `110` absent; `111` + 4 bits: length − 1 |
//! | 3 sparse | | a *present* symbol: γ of symbols skipped + 1; then `0`, `10d` as above, `11` + 4 bits: length − 1 |
//!
//! γ is Elias's gamma code. The last length before the first one counts as [`FIRST_LENGTH`]. Lengths of weight codes and
//! gaps go up and down gently along the symbols, so "running" costs about two bits a symbol.

use crate::bits::{BitReader, BitWriter};
use crate::canonical::{KRAFT_ONE, kraft_share};
use crate::{Code, Error, MAX_LENGTH, Result};

const WHAT: &str = "code table";

/// What the first length of a running or sparse table is compared with.
const FIRST_LENGTH: u8 = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Single,
    Packed,
    Running,
    Sparse,
}

impl Form {
    const ALL: [Self; 4] = [Self::Single, Self::Packed, Self::Running, Self::Sparse];
}

impl Code {
    /// Appends the table that [`read_table`](Self::read_table) reads, in whole bytes and the cheapest form.
    ///
    /// ```
    /// // Sixteen symbols of four bits each cost three bytes: a form, one length, fifteen times "the same".
    /// let mut table = Vec::new();
    /// nnc_huffman::Code::from_lengths(&[4; 16])?.write_table(&mut table);
    /// assert_eq!(table, [0b0000_0110, 0, 0]);
    /// # Ok::<(), nnc_huffman::Error>(())
    /// ```
    pub fn write_table(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.cheapest_table());
    }

    /// Bits of the table that [`write_table`](Self::write_table) writes: a multiple of 8.
    pub fn table_bits(&self) -> u64 {
        8 * self.cheapest_table().len() as u64
    }

    /// Reads a table from the front of `bytes`; also returns how many bytes it took.
    ///
    /// Allocates at most a few bytes for each bit that was read.
    ///
    /// # Errors
    /// [`Error::UnexpectedEnd`] where the bytes end before the Kraft sum is one, [`Error::Kraft`] where it passes one,
    /// [`Error::Corrupt`] for lengths outside 1..=16, symbols above 65,535 and padding that is not zero.
    pub fn read_table(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut reader = BitReader::new(bytes);
        let form = Form::ALL[bits(&mut reader, 2)? as usize];
        let pairs =
            if form == Form::Single { read_single(&mut reader)? } else { read_lengths(form, &mut reader)? };
        Ok((Self::from_pairs(pairs)?, reader.finish_byte(WHAT)?))
    }

    fn cheapest_table(&self) -> Vec<u8> {
        if self.n_symbols() < 2 {
            return self.write_single();
        }
        let lengths = self.lengths();
        let forms = [Form::Packed, Form::Running, Form::Sparse];
        forms.map(|form| write_lengths(form, &lengths)).into_iter().min_by_key(Vec::len).expect("three forms")
    }

    fn write_single(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        writer.put(Form::Single as u64, 2);
        writer.put_gamma(self.only_symbol().map_or(1, |symbol| u32::from(symbol) + 2));
        writer.finish();
        bytes
    }
}

fn write_lengths(form: Form, lengths: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = BitWriter::new(&mut bytes);
    writer.put(form as u64, 2);
    match form {
        Form::Packed => write_packed(&mut writer, lengths),
        Form::Running => {
            let mut last = FIRST_LENGTH;
            for &length in lengths {
                if length == 0 {
                    writer.put(0b011, 3);
                } else {
                    write_step(&mut writer, form, &mut last, length);
                }
            }
        }
        Form::Sparse => {
            let (mut last, mut n_skipped) = (FIRST_LENGTH, 0);
            for &length in lengths {
                if length == 0 {
                    n_skipped += 1;
                } else {
                    writer.put_gamma(n_skipped + 1);
                    write_step(&mut writer, form, &mut last, length);
                    n_skipped = 0;
                }
            }
        }
        Form::Single => unreachable!("a single symbol has no lengths"),
    }
    writer.finish();
    bytes
}

fn write_packed(writer: &mut BitWriter<'_>, lengths: &[u8]) {
    let present = lengths.iter().copied().filter(|&length| length > 0);
    let base = present.clone().min().expect("two symbols or more");
    let largest = present.max().expect("two symbols or more") - base + 1;
    let width = u8::BITS - largest.leading_zeros();
    writer.put(u64::from(base - 1), 4);
    writer.put(u64::from(width - 1), 3);
    for &length in lengths {
        writer.put(if length == 0 { 0 } else { u64::from(length - base + 1) }, width);
    }
}

/// Writes a present symbol's length against the last one.
fn write_step(writer: &mut BitWriter<'_>, form: Form, last: &mut u8, length: u8) {
    if length == *last {
        writer.put(0, 1);
    } else if length.abs_diff(*last) == 1 {
        writer.put(0b01 | u64::from(length > *last) << 2, 3);
    } else {
        let escape_bits = if form == Form::Running { 3 } else { 2 };
        writer.put((1 << escape_bits) - 1, escape_bits);
        writer.put(u64::from(length - 1), 4);
    }
    *last = length;
}

fn bits(reader: &mut BitReader<'_>, n: u32) -> Result<u32> {
    reader.get(n).ok_or(Error::UnexpectedEnd { what: WHAT })
}

fn gamma(reader: &mut BitReader<'_>) -> Result<u32> {
    reader.get_gamma().ok_or(Error::UnexpectedEnd { what: WHAT })
}

fn symbol_from(value: u32) -> Result<u16> {
    u16::try_from(value).map_err(|_| Error::corrupt(WHAT, format!("symbol {value} is above 65535")))
}

fn length_from(value: u32) -> Result<u8> {
    match u8::try_from(value) {
        Ok(length) if (1..=MAX_LENGTH).contains(&value) => Ok(length),
        _ => Err(Error::corrupt(WHAT, format!("length {value} is not in 1..={MAX_LENGTH}"))),
    }
}

fn read_single(reader: &mut BitReader<'_>) -> Result<Vec<(u8, u16)>> {
    match gamma(reader)? {
        1 => Ok(Vec::new()),
        value => Ok(vec![(0, symbol_from(value - 2)?)]),
    }
}

/// Reads (length, symbol) pairs until their Kraft sum is one.
fn read_lengths(form: Form, reader: &mut BitReader<'_>) -> Result<Vec<(u8, u16)>> {
    let (base, width) =
        if form == Form::Packed { (bits(reader, 4)? + 1, bits(reader, 3)? + 1) } else { (0, 0) };
    let mut pairs = Vec::new();
    let (mut symbol, mut last, mut sum) = (0u32, FIRST_LENGTH, 0);
    while sum < KRAFT_ONE {
        let length = match form {
            Form::Packed => match bits(reader, width)? {
                0 => None,
                value => Some(length_from(base + value - 1)?),
            },
            Form::Running => read_step(form, reader, last)?,
            Form::Sparse | Form::Single => {
                symbol = symbol.saturating_add(gamma(reader)? - 1);
                read_step(form, reader, last)?
            }
        };
        let valid = symbol_from(symbol)?;
        if let Some(length) = length {
            pairs.push((length, valid));
            sum += kraft_share(length);
            last = length;
        }
        symbol += 1;
    }
    Ok(pairs)
}

/// Reads what [`write_step`] writes; `None` is an absent symbol of a running table.
fn read_step(form: Form, reader: &mut BitReader<'_>, last: u8) -> Result<Option<u8>> {
    let last = u32::from(last);
    let length = if bits(reader, 1)? == 0 {
        last
    } else if bits(reader, 1)? == 0 {
        if bits(reader, 1)? == 0 { last - 1 } else { last + 1 }
    } else if form == Form::Running && bits(reader, 1)? == 0 {
        return Ok(None);
    } else {
        bits(reader, 4)? + 1
    };
    length_from(length).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Histogram;

    #[track_caller]
    fn check_round_trip(code: &Code) -> usize {
        let mut table = vec![0xee];
        code.write_table(&mut table);
        assert_eq!(8 * (table.len() as u64 - 1), code.table_bits());
        let n_bytes = table.len() - 1;
        table.extend([0xff, 0xff]);
        assert_eq!(Code::read_table(&table[1..]), Ok((code.clone(), n_bytes)));
        for end in 1..=n_bytes {
            assert_eq!(
                Code::read_table(&table[1..end]),
                Err(Error::UnexpectedEnd { what: WHAT }),
                "cut at {end}"
            );
        }
        n_bytes
    }

    #[test]
    fn small_tables_cost_few_bytes() {
        // (lengths, bits before padding, counted by hand from the table of forms above)
        let cases: [(&[u8], usize); 8] = [
            (&[], 2 + 1),
            (&[1], 2 + 3),
            (&[0, 0, 0, 0, 0, 1], 2 + 5),
            (&[0, 0, 0, 0, 0, 0, 1], 2 + 7),
            (&[1, 2, 3, 3], 2 + 7 + 3 + 3 + 1),
            (&[4; 16], 2 + 3 + 15),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 8], 2 + 7 + 7 * 3 + 1),
            // The lengths of a 4-bit codebook with two-sided weights.
            (
                &[7, 7, 6, 5, 4, 3, 3, 2, 3, 3, 4, 5, 6, 7, 8, 8],
                2 + 7 + 1 + 4 * 3 + 1 + 2 * 3 + 1 + 5 * 3 + 1,
            ),
        ];
        for (lengths, n_bits) in cases {
            let n_bytes = check_round_trip(&Code::from_lengths(lengths).unwrap());
            assert_eq!(n_bytes, n_bits.div_ceil(8), "{lengths:?}");
        }
    }

    #[test]
    fn sparse_alphabets_do_not_pay_for_holes() {
        let mut lengths = vec![0; 65_536];
        lengths[0] = 1;
        lengths[65_535] = 1;
        // 2 + 1 + 6 for symbol 0, then 31 bits of gap and "the same".
        assert_eq!(check_round_trip(&Code::from_lengths(&lengths).unwrap()), 6);
    }

    #[test]
    fn whole_u16_alphabet_costs_a_bit_a_symbol() {
        let code = Code::from_lengths(&vec![16; 65_536]).unwrap();
        let mut table = Vec::new();
        code.write_table(&mut table);
        assert_eq!(table.len(), 8193);
        assert_eq!(Code::read_table(&table), Ok((code, 8193)));
    }

    #[test]
    fn over_subscribed_tables_are_refused() {
        // Packed, base 1, width 1 bit would be two words of 1 bit; here the lengths are 2, 1 and 1.
        let table = write_lengths(Form::Packed, &[2, 1, 1]);
        assert_eq!(Code::read_table(&table), Err(Error::Kraft { sum: KRAFT_ONE + KRAFT_ONE / 4 }));
    }

    #[test]
    fn incomplete_tables_end_early() {
        for form in [Form::Packed, Form::Running, Form::Sparse] {
            let table = write_lengths(form, &[2, 2, 9]);
            assert!(Code::read_table(&table).is_err());
        }
    }

    proptest! {
        #[test]
        fn tables_round_trip_in_each_form(counts in prop::collection::vec(0u64..40, 2..80)) {
            let code = Code::from_histogram(&Histogram::from_counts(&counts).unwrap());
            check_round_trip(&code);
            if code.n_symbols() >= 2 {
                for form in [Form::Packed, Form::Running, Form::Sparse] {
                    let table = write_lengths(form, &code.lengths());
                    prop_assert!(8 * table.len() as u64 >= code.table_bits());
                    prop_assert_eq!(Code::read_table(&table), Ok((code.clone(), table.len())));
                }
            }
        }

        #[test]
        fn any_bytes_are_a_table_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok((code, n_bytes)) = Code::read_table(&bytes) {
                prop_assert!(n_bytes <= bytes.len());
                prop_assert_eq!(Code::from_lengths(&code.lengths()), Ok(code));
            }
        }
    }
}

//! Bytes in and out: the integers and names of the format, and a cursor that never reads past its end.

use nnc_core::{Error, Result};

use super::Part;

/// Dimensions of a shape at most; bounds what one number of a file can make a reader copy.
const MAX_RANK: usize = 8;

/// Appends an unsigned integer in groups of seven bits, low ones first, the top bit set on all bytes but the last (LEB128).
pub(super) fn put_varint(out: &mut Vec<u8>, value: usize) {
    let mut value = value as u64;
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a count of at most 255.
pub(super) fn put_count(out: &mut Vec<u8>, what: &str, count: usize) -> Result<()> {
    let byte = u8::try_from(count).map_err(|_| Error::invalid(what, "at most 255 in an archive", count))?;
    out.push(byte);
    Ok(())
}

/// Appends a name of at most 255 bytes: its length, then its UTF-8.
pub(super) fn put_name(out: &mut Vec<u8>, name: &str) -> Result<()> {
    put_count(out, &format!("bytes of the name `{name}`"), name.len())?;
    out.extend_from_slice(name.as_bytes());
    Ok(())
}

/// Appends a shape: its rank, then its dimensions.
pub(super) fn put_dims(out: &mut Vec<u8>, dims: &[usize]) -> Result<()> {
    if dims.len() > MAX_RANK {
        let expected = format!("at most {MAX_RANK} dimensions in an archive");
        return Err(Error::invalid("shape", expected, format!("{dims:?}")));
    }
    put_count(out, "rank", dims.len())?;
    dims.iter().for_each(|&dim| put_varint(out, dim));
    Ok(())
}

/// Appends floats, each as its four bytes, low ones first.
pub(super) fn put_f32s(out: &mut Vec<u8>, values: &[f32]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

/// A place in bytes that were read, which remembers what each stretch of them was for.
///
/// Whatever is read has to be [marked](Self::mark); so a ledger made from the marks counts each byte once, and counts what
/// a reader reads rather than what a writer meant to write.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    what: String,
    bytes: &'a [u8],
    at: usize,
    marked: usize,
    marks: Vec<(Part, usize)>,
}

impl<'a> Cursor<'a> {
    /// The start of `bytes`; errors call them `what`.
    pub(super) fn new(what: impl Into<String>, bytes: &'a [u8]) -> Self {
        Self { what: what.into(), bytes, at: 0, marked: 0, marks: Vec::new() }
    }

    /// All bytes, those already read included.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes not yet read.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Says what everything read since the last mark was for, and how many bytes that was.
    pub(super) fn mark(&mut self, part: Part) {
        self.marks.push((part, self.at - self.marked));
        self.marked = self.at;
    }

    /// As [`mark`](Self::mark) for a stretch whose first `n_first` bytes were for another part.
    pub(super) fn mark_two(&mut self, first: Part, n_first: usize, then: Part) {
        self.marks.push((first, n_first));
        self.marked += n_first;
        self.mark(then);
    }

    /// The marks, once everything was read.
    pub(super) fn finish(self) -> Result<Vec<(Part, usize)>> {
        if self.left() > 0 {
            return Err(self.corrupt(format!("{} bytes behind its end", self.left())));
        }
        assert_eq!(self.marked, self.at, "each stretch that is read is marked");
        Ok(self.marks)
    }

    /// The marks so far, whatever comes behind them.
    pub(super) fn into_marks(self) -> Vec<(Part, usize)> {
        self.marks
    }

    /// An error that names these bytes.
    pub(super) fn corrupt(&self, why: impl Into<String>) -> Error {
        Error::corrupt(&self.what, why)
    }

    /// An error that names these bytes, whoever found out.
    pub(super) fn blame<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.corrupt(error.to_string()))
    }

    /// The next `n` bytes.
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        if n > self.left() {
            return Err(Error::UnexpectedEnd {
                what: self.what.clone(),
                expected: (self.at as u64).saturating_add(n as u64),
                got: self.bytes.len() as u64,
            });
        }
        let taken = &self.bytes[self.at..][..n];
        self.at += n;
        Ok(taken)
    }

    /// The next `n` items of `size` bytes each.
    pub(super) fn take_many(&mut self, n: usize, size: usize) -> Result<&'a [u8]> {
        // Saturated it is more than there can be.
        self.take(n.saturating_mul(size))
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// An integer as [`put_varint`] writes it; only the shortest form is accepted.
    pub(super) fn varint(&mut self) -> Result<usize> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let digit = u64::from(byte & 0x7f);
            if digit << shift >> shift != digit || (byte == 0 && shift > 0) {
                return Err(self.corrupt("an integer is not in its shortest form"));
            }
            value |= digit << shift;
            if byte < 0x80 {
                return usize::try_from(value).map_err(|_| self.corrupt(format!("{value} of something")));
            }
        }
        Err(self.corrupt("an integer of more than 64 bits"))
    }

    /// A name as [`put_name`] writes it.
    pub(super) fn name(&mut self) -> Result<String> {
        let len = self.byte()?;
        let name = std::str::from_utf8(self.take(usize::from(len))?);
        name.map(str::to_owned).map_err(|_| self.corrupt("a name is not UTF-8"))
    }

    /// A shape as [`put_dims`] writes it.
    pub(super) fn dims(&mut self) -> Result<Vec<usize>> {
        let rank = usize::from(self.byte()?);
        if rank > MAX_RANK {
            return Err(self.corrupt(format!("{rank} dimensions where at most {MAX_RANK} are allowed")));
        }
        (0..rank).map(|_| self.varint()).collect()
    }

    /// `n` floats as [`put_f32s`] writes them.
    pub(super) fn f32s(&mut self, n: usize) -> Result<Vec<f32>> {
        let (words, _) = self.take_many(n, 4)?.as_chunks();
        Ok(words.iter().map(|&word| f32::from_le_bytes(word)).collect())
    }

    /// One float.
    pub(super) fn f32(&mut self) -> Result<f32> {
        Ok(self.f32s(1)?[0])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_forms_of_integers_are_refused() {
        for bytes in [&[0x80, 0][..], &[0xff; 10], &[0x80], &[]] {
            assert!(Cursor::new("test", bytes).varint().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn counts_beyond_the_end_allocate_nothing() {
        let mut cursor = Cursor::new("test", &[1, 2, 3]);
        let error = cursor.f32s(usize::MAX).unwrap_err();
        assert!(matches!(error, Error::UnexpectedEnd { got: 3, .. }), "{error}");
        assert_eq!(cursor.left(), 3);
    }

    #[test]
    fn names_that_are_too_long_are_the_callers_fault() {
        let mut out = Vec::new();
        put_name(&mut out, &"x".repeat(255)).unwrap();
        assert_eq!(Cursor::new("test", &out).name().unwrap().len(), 255);
        assert!(matches!(put_name(&mut out, &"x".repeat(256)), Err(Error::InvalidArgument { .. })));
    }

    proptest! {
        #[test]
        fn integers_round_trip_and_are_short(value in any::<u64>(), shift in 0_u32..64) {
            let value = usize::try_from(value >> shift).unwrap();
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), (usize::BITS - value.leading_zeros()).div_ceil(7).max(1) as usize);
            prop_assert_eq!(Cursor::new("test", &out).varint().unwrap(), value);
        }
    }
}

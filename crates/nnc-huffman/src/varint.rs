//! LEB128 integers: seven bits a byte, low ones first, the top bit set on all but the last.

use crate::{Error, Result};

/// Appends `value`.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Takes a value off the front of `bytes`; only the shortest form of it is accepted.
pub(crate) fn take_varint(bytes: &mut &[u8], what: &'static str) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Error::UnexpectedEnd { what })?;
        *bytes = rest;
        let digit = u64::from(byte & 0x7f);
        if digit << shift >> shift != digit || (byte == 0 && shift > 0) {
            return Err(Error::corrupt(what, "an integer is not in its shortest form"));
        }
        value |= digit << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Error::corrupt(what, "an integer has more than 64 bits"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_forms_are_refused() {
        for bytes in [&[0x80, 0][..], &[0xff; 10], &[0x80], &[]] {
            assert!(take_varint(&mut &*bytes, "test").is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn values_round_trip(value in any::<u64>(), shift in 0u32..64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value >> shift);
            bytes.push(7);
            let mut rest = &bytes[..];
            prop_assert_eq!(take_varint(&mut rest, "test"), Ok(value >> shift));
            prop_assert_eq!(rest, [7]);
        }
    }
}

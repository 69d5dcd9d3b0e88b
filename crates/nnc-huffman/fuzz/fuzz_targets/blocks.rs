//! One block of any kind and any payload, behind a good header, so that the fuzzer need not find one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nnc_huffman::{VERSION, decompress};

fuzz_target!(|input: (u8, u16, bool, &[u8])| {
    let (kind, n_symbols, is_wide, payload) = input;
    let mut frame = vec![b'n', b'H', VERSION, if is_wide { 16 | 0x80 } else { 16 }];
    put_leb128(&mut frame, u64::from(n_symbols));
    put_leb128(&mut frame, (payload.len() as u64) << 3 | u64::from(kind % 8));
    frame.extend_from_slice(payload);
    frame.push(0);
    let _ = if is_wide {
        decompress::<u16>(&frame, 1 << 16).map(|symbols| assert_eq!(symbols.len(), n_symbols.into()))
    } else {
        decompress::<u8>(&frame, 1 << 16).map(|symbols| assert_eq!(symbols.len(), n_symbols.into()))
    };
});

fn put_leb128(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

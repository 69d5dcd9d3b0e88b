//! Any bytes as the archive's coded symbols: what verifies also decodes, from any start, as going bit by bit does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nnc_huffman::{Code, CodedSymbols, reference};

fuzz_target!(|input: (u16, u8, &[u8])| {
    let (len, block_len, bytes) = (usize::from(input.0), usize::from(input.1), input.2);
    if let Ok((code, n_bytes)) = Code::read_table(bytes) {
        let mut table = Vec::new();
        code.write_table(&mut table);
        assert!(table.len() <= n_bytes);
    }
    let Ok(coded) = CodedSymbols::read(bytes, len, block_len) else { return };
    let whole = coded.to_vec::<u16>();
    assert_eq!(coded.verify().is_ok(), whole.is_ok());
    if block_len == 0 {
        assert_eq!(whole.as_ref().ok(), reference::decode(coded.code(), coded.payload(), len).as_ref().ok());
    }
    let mut part = vec![0u16; len - len / 3];
    if coded.decode_range(len / 3..len, &mut part).is_ok()
        && let Ok(whole) = whole
    {
        assert_eq!(part, &whole[len / 3..]);
    }
});

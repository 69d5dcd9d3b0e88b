//! No access outside of slices: streams and symbols lie against pages that may be neither read nor written.
#![allow(unsafe_code, reason = "maps pages around a slice")]

use std::ptr::NonNull;

use super::*;

/// Where a slice lies between its guards.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Against {
    /// Its first byte is the first that may be accessed.
    Start,
    /// Its last byte is the last.
    End,
}

/// Bytes against a page that nothing may access.
struct Guarded {
    map: NonNull<u8>,
    map_len: usize,
    first: NonNull<u8>,
    len: usize,
}

impl Guarded {
    /// Copies `bytes` there.
    fn new(bytes: &[u8], against: Against) -> Self {
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("pages have a size");
        let inner = bytes.len().next_multiple_of(page).max(page);
        let map_len = inner + 2 * page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new map of no file touches nothing that exists.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), map_len, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(map, libc::MAP_FAILED, "no memory to map");
        let map = NonNull::new(map.cast::<u8>()).expect("a map has an address");
        let skip = if against == Against::Start { 0 } else { inner - bytes.len() };
        // SAFETY: the inner pages are part of the map and nothing points to them yet; the bytes fit behind `skip`.
        let first = unsafe {
            let start = map.add(page);
            let opened = libc::mprotect(start.as_ptr().cast(), inner, libc::PROT_READ | libc::PROT_WRITE);
            assert_eq!(opened, 0, "the pages cannot be opened");
            start.add(skip).copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
            start.add(skip)
        };
        Self { map, map_len, first, len: bytes.len() }
    }

    fn get(&self) -> &[u8] {
        // SAFETY: `new` wrote so many bytes there, and the map lives as long as `self`.
        unsafe { NonNull::slice_from_raw_parts(self.first, self.len).as_ref() }
    }

    fn get_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `get`; `self` is borrowed mutably.
        unsafe { NonNull::slice_from_raw_parts(self.first, self.len).as_mut() }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the map is that of `new`, and no slice of it outlives `self`.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.map_len) };
    }
}

/// The next of a sequence that looks random.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
    (*state >> 33) as usize
}

/// Damages a copy of `bytes`: some bits, or its length.
fn damaged(bytes: &[u8], state: &mut u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..next(state) % 4 {
        if !bytes.is_empty() {
            let at = next(state) % bytes.len();
            bytes[at] ^= 1 << (next(state) % 8);
        }
    }
    match next(state) % 4 {
        0 => bytes.truncate(next(state) % (bytes.len() + 1)),
        1 => bytes.extend_from_within(..bytes.len().min(next(state) % 9)),
        _ => {}
    }
    bytes
}

fn check_streams(table: &MultiTable, streams: &[Vec<u8>], n: usize) {
    for against in [Against::Start, Against::End] {
        let guarded: Vec<Guarded> = streams.iter().map(|stream| Guarded::new(stream, against)).collect();
        let slices: Vec<&[u8]> = guarded.iter().map(Guarded::get).collect();
        let mut expected = vec![0; n];
        let holds = scalar::decode_huffman(table, &slices, &mut expected);
        for isa in Isa::available() {
            let mut out = Guarded::new(&vec![0; n], against);
            assert_eq!(isa.decode_huffman(table, &slices, out.get_mut()), holds);
            assert!(!holds || out.get() == expected);
        }
    }
}

#[test]
fn huffman_kernels_stay_within_damaged_streams_and_their_symbols() {
    let mut state = 1;
    for steps in [1, 3, 11, 40] {
        for n in [1, 150, 1500, 6000] {
            let symbols = symbols(n, steps);
            let code = code_for(&symbols);
            let mut table = MultiTable::new();
            table.build::<u8>(&code).unwrap();
            for n_streams in [1, N_STREAMS] {
                let mut bytes = Vec::new();
                let ends = scalar::encode_huffman(&words_of(&code), &symbols, n_streams, &mut bytes);
                let streams = cut(&bytes, &ends);
                for round in 0..20 {
                    let damaged = |stream: &&[u8]| {
                        if round == 0 { stream.to_vec() } else { damaged(stream, &mut state) }
                    };
                    let streams: Vec<Vec<u8>> = streams.iter().map(damaged).collect();
                    check_streams(&table, &streams, n - usize::from(n > 1 && round % 3 == 2));
                }
            }
        }
    }
}

#[test]
fn rans_kernels_stay_within_damaged_payloads_and_their_symbols() {
    let mut state = 1;
    for (steps, n) in [(1, 100), (1, 8192), (3, 8300), (40, 9001), (11, 8200)] {
        let symbols = symbols(n, steps);
        let model = model_for(&symbols);
        let mut payload = Vec::new();
        scalar::encode_rans(&model.encode_symbols(), &symbols, &mut payload);
        let slots = model.decode_slots();
        for round in 0..40 {
            let payload = if round == 0 { payload.clone() } else { damaged(&payload, &mut state) };
            let mut expected = vec![0; n];
            let holds = scalar::decode_rans(&slots, &payload, &mut expected);
            for (isa, against) in
                Isa::available().into_iter().flat_map(|isa| [(isa, Against::Start), (isa, Against::End)])
            {
                let (payload, mut out) =
                    (Guarded::new(&payload, against), Guarded::new(&vec![0; n], against));
                assert_eq!(isa.decode_rans(&slots, payload.get(), out.get_mut()), holds);
                assert!(!holds || out.get() == expected);
            }
        }
    }
}

#[test]
fn encoders_stay_within_their_symbols() {
    for n in [1, 63, 64, 1000, 8192, 8255] {
        for against in [Against::Start, Against::End] {
            let symbols = Guarded::new(&symbols(n, 3), against);
            let (code, model) = (code_for(symbols.get()), model_for(symbols.get()));
            for isa in Isa::available() {
                isa.encode_huffman(&words_of(&code), symbols.get(), N_STREAMS, &mut Vec::new());
                isa.encode_rans(&model.encode_symbols(), symbols.get(), &mut Vec::new());
            }
        }
    }
}

//! Damaged files: every flipped byte and every cut is an error, and costs nothing to find.

use nnc::archive::{Archive, ledger};
use nnc_core::Error;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::samples::{blocks, every_form};
use nnc_testing::allocator::peak_bytes;

/// The CRC-32 bit by bit, as the division is defined: an oracle for the crate's tables.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Gives changed bytes the checksum that they would have if they were meant.
pub(super) fn seal(bytes: &mut [u8]) {
    let n_body = bytes.len() - 4;
    let crc = crc32(&bytes[..n_body]);
    bytes[n_body..].copy_from_slice(&crc.to_le_bytes());
}

/// What a reader may hold for a file of `n_bytes`: scratch for one stream and decoder tables of coded streams.
fn allowed(n_bytes: usize) -> usize {
    (1 << 20) + 8 * n_bytes
}

#[track_caller]
pub(super) fn check_error(bytes: &[u8], what: std::fmt::Arguments<'_>) {
    let (result, peak) = peak_bytes(|| Archive::read(bytes));
    match result {
        Err(Error::Corrupt { .. } | Error::UnexpectedEnd { .. }) => {}
        other => panic!("{what}: {other:?}"),
    }
    assert!(peak <= allowed(bytes.len()), "{what}: {peak} bytes held");
}

#[test]
fn the_checksum_is_the_standard_one() {
    let bytes = every_form().write().unwrap();
    let (body, stored) = bytes.split_last_chunk::<4>().unwrap();
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(crc32(body), u32::from_le_bytes(*stored));
}

#[test]
fn every_flipped_byte_is_an_error() {
    for archive in [every_form(), blocks()] {
        let mut bytes = archive.write().unwrap();
        for at in 0..bytes.len() {
            for flip in 1..=u8::MAX {
                bytes[at] ^= flip;
                check_error(&bytes, format_args!("byte {at} ^ {flip:#04x}"));
                bytes[at] ^= flip;
            }
        }
        Archive::read(&bytes).unwrap();
    }
}

#[test]
fn every_truncation_and_every_spare_byte_is_an_error() {
    [every_form(), blocks()].iter().for_each(|archive| check_cuts(&archive.write().unwrap()));
}

fn check_cuts(bytes: &[u8]) {
    for end in 0..bytes.len() {
        check_error(&bytes[..end], format_args!("cut at {end}"));
        if end > 9 {
            // Cut by someone who knows about the checksum.
            let mut cut = bytes[..end].to_vec();
            seal(&mut cut);
            check_error(&cut, format_args!("cut at {end} and sealed"));
        }
    }
    for spare in 0..=u8::MAX {
        let mut longer = bytes.to_vec();
        longer.push(spare);
        check_error(&longer, format_args!("{spare:#04x} behind the end"));
        seal(&mut longer);
        check_error(&longer, format_args!("{spare:#04x} behind the end, sealed"));
    }
}

#[test]
fn other_files_and_versions_are_named() {
    let message = |bytes: &[u8]| Archive::read(bytes).unwrap_err().to_string();
    assert_eq!(message(b"PK\x03\x04 and so on"), "corrupt archive: not an .nnc file: wrong first bytes");
    assert_eq!(message(b""), "archive ends early: expected 9 bytes, got 0");
    let mut bytes = every_form().write().unwrap();
    bytes[3] = 2;
    assert_eq!(message(&bytes), "corrupt archive: format version 2, this program reads version 1");
    bytes[3] = 1;
    bytes[40] ^= 1;
    assert!(message(&bytes).contains("damaged or cut"), "{}", message(&bytes));
}

/// Changes with a right checksum are what an attacker would send: an error or another archive, but no panic, no large
/// allocation and no lost byte in the ledger.
#[test]
fn sealed_changes_of_any_byte_are_safe() {
    for original in [every_form(), blocks()].map(|archive| archive.write().unwrap()) {
        check_sealed_changes(&original);
    }
}

fn check_sealed_changes(original: &[u8]) {
    for at in 3..original.len() - 4 {
        let old = original[at];
        let flips = (0..8).map(|bit| old ^ 1 << bit);
        for value in flips.chain([0, 0x7f, 0x80, 0xff, old.wrapping_add(1), old.wrapping_sub(1)]) {
            let mut bytes = original.to_vec();
            bytes[at] = value;
            seal(&mut bytes);
            check_safe(&bytes, format_args!("byte {at} = {value:#04x}"));
        }
    }
}

/// One change to the bytes of a file.
#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    /// Copies up to 20 bytes from one place over another.
    Copy(Index, Index),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let at = any::<Index>;
    let edit = prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, value)| Edit::Set(at, value)),
        1 => (at(), any::<u8>()).prop_map(|(at, value)| Edit::Insert(at, value)),
        1 => at().prop_map(Edit::Remove),
        1 => (at(), at()).prop_map(|(from, to)| Edit::Copy(from, to)),
    ];
    prop::collection::vec(edit, 1..8)
}

proptest! {
    #[test]
    fn sealed_edits_are_safe(edits in edits(), of_blocks in any::<bool>()) {
        let mut bytes = if of_blocks { blocks() } else { every_form() }.write().unwrap();
        bytes.truncate(bytes.len() - 4);
        for edit in &edits {
            // Magic and version stay, so that the edits get past them.
            let place = |index: &Index, bytes: &[u8]| 4 + index.index(bytes.len() - 4);
            match edit {
                Edit::Set(at, value) => { let at = place(at, &bytes); bytes[at] = *value; }
                Edit::Insert(at, value) => bytes.insert(place(at, &bytes), *value),
                Edit::Remove(at) => { bytes.remove(place(at, &bytes)); }
                Edit::Copy(from, to) => {
                    let (from, to) = (place(from, &bytes), place(to, &bytes));
                    let n = 20.min(bytes.len() - from.max(to));
                    bytes.copy_within(from..from + n, to);
                }
            }
        }
        bytes.extend([0; 4]);
        seal(&mut bytes);
        check_safe(&bytes, format_args!("{edits:?}"));
    }
}

#[track_caller]
pub(super) fn check_safe(bytes: &[u8], what: std::fmt::Arguments<'_>) {
    let (result, peak) = peak_bytes(|| Archive::read(bytes));
    assert!(peak <= allowed(bytes.len()), "{what}: {peak} bytes held");
    match result {
        Err(Error::Corrupt { .. } | Error::UnexpectedEnd { .. }) => {}
        Err(other) => panic!("{what}: {other}"),
        Ok(archive) => {
            let ledger = ledger(bytes).unwrap();
            assert_eq!(ledger.rows.iter().map(|row| row.bytes).sum::<u64>(), bytes.len() as u64, "{what}");
            if archive.dense_bytes() < 1 << 20 {
                archive.params(&nnc_core::candle::Device::Cpu).unwrap();
            }
            assert_eq!(
                Archive::read(&archive.write().unwrap()).unwrap().weights.len(),
                archive.weights.len()
            );
        }
    }
}

//! The ledger counts each byte once, and says what a writer can be held to.

use nnc::archive::{Archive, Ledger, Part, Row, ledger};
use nnc_core::params::ParamKind;
use nnc_core::weight::{Form, Order, StoredWeight, Values, WeightTensor as _};
use proptest::prelude::*;

use crate::samples::{coded, every_form, shared, stored_weights};

#[track_caller]
fn check(archive: &Archive) -> Ledger {
    let bytes = archive.write().unwrap();
    let ledger = ledger(&bytes).unwrap();
    assert_eq!(ledger.file_bytes, bytes.len() as u64);
    assert_eq!(ledger.rows.iter().map(|row| row.bytes).sum::<u64>(), bytes.len() as u64, "{ledger:#?}");
    assert!(ledger.rows.iter().all(|row| row.bytes > 0));
    for (row, (name, kind, weight)) in ledger.weights.iter().zip(&archive.weights) {
        assert_eq!((row.name.as_str(), row.kind), (name.as_str(), kind.as_str()));
        let own: u64 = own_rows(&ledger, name).map(|row| row.bytes).sum();
        assert_eq!(row.bytes, own, "{name}");
        assert_eq!((row.n_entries, row.n_slots), (weight.n_entries() as u64, weight.n_slots() as u64));
        check_streams(&ledger, name, weight);
    }
    ledger
}

fn own_rows<'a>(ledger: &'a Ledger, name: &'a str) -> impl Iterator<Item = &'a Row> {
    ledger.rows.iter().filter(move |row| row.weight.as_deref() == Some(name))
}

/// What core says that the streams cost is what they cost in the file, entropy included.
fn check_streams(ledger: &Ledger, name: &str, weight: &StoredWeight) {
    let footprint = weight.footprint();
    let bits =
        |part| 8 * own_rows(ledger, name).filter(|row| row.part == part).map(|row| row.bytes).sum::<u64>();
    assert_eq!(bits(Part::Positions), footprint.positions.bits, "{name}");
    assert_eq!(bits(Part::Values), footprint.values.bits, "{name}");
    for row in own_rows(ledger, name) {
        match row.part {
            Part::Positions => assert_eq!(row.entropy_bits, Some(footprint.positions.entropy_bits)),
            Part::Values if matches!(weight.values(), Values::Affine(_) | Values::Codebook(_)) => {
                assert_eq!(row.entropy_bits, Some(footprint.values.entropy_bits));
            }
            _ => assert_eq!(row.entropy_bits, None),
        }
    }
}

fn one(weight: StoredWeight) -> Archive {
    Archive { weights: vec![("w".into(), ParamKind::Weight, weight)], ..Archive::default() }
}

proptest! {
    #[test]
    fn the_rows_of_any_archive_sum_to_its_length(weight in stored_weights()) {
        // Constant streams that are too long would be packed; these are short.
        check(&one(weight));
    }
}

#[test]
fn the_rows_of_a_network_with_every_form_sum_to_its_length() {
    let ledger = check(&every_form());
    assert_eq!(ledger.bytes_of(Part::Header), 5);
    assert_eq!(ledger.bytes_of(Part::Normalization), 9);
    assert_eq!(ledger.bytes_of(Part::Checksum), 4);
    let forms: Vec<_> = ledger.weights.iter().map(|weight| weight.form.as_str()).collect();
    assert_eq!(forms[0], "mask; f32");
    assert!(forms[2].starts_with("gaps 3 bits, coded; codebook of"), "{}", forms[2]);
    assert_eq!(forms[9], "affine 4 bits");
}

#[test]
fn a_deep_compression_weight_is_accounted_for_by_hand() {
    // 64 entries, the last of each eight stored, all alike: gaps of 3 bits, one shared value.
    let values: Vec<f32> = (0..64_u8).map(|i| if i % 8 == 7 { 0.5 } else { 0.0 }).collect();
    let weight = crate::samples::codebook_of(&[8, 8], &values);
    let weight = weight.rearrange(Form::Gaps { bits: 3 }, Order::RowMajor).unwrap();
    let ledger = check(&one(weight));
    let rows: Vec<_> = ledger.rows.iter().map(|row| (row.weight.is_some(), row.part, row.bytes)).collect();
    let expected = [
        (false, Part::Header, 5),
        (false, Part::Directory, 1),
        // Length of the name and its letter, kind, length of the record.
        (true, Part::Directory, 4),
        // Form; gap widths and slots; length of the codebook; width of the indices.
        (true, Part::Form, 1 + 2 + 1 + 1),
        (true, Part::Shape, 3),
        // Eight gaps of three bits; eight indices of one bit.
        (true, Part::Positions, 3),
        (true, Part::Values, 1),
        // The shared value; entry 0 has no bytes.
        (true, Part::Codebook, 4),
        (false, Part::Checksum, 4),
    ];
    assert_eq!(rows, expected);
    let row = &ledger.weights[0];
    assert_eq!((row.n_nonzero, row.density(), row.bits_per_entry(), row.ratio()), (8, 0.125, 2.5, 12.8));
    assert_eq!(ledger.ratio(), 256.0 / 30.0);
}

#[test]
fn fillers_are_slots_but_not_weights() {
    let mut values = vec![0.0_f32; 40];
    values[39] = 1.0;
    let weight = crate::samples::codebook_of(&[40], &values);
    let weight = weight.rearrange(Form::Gaps { bits: 3 }, Order::RowMajor).unwrap();
    let row = &check(&one(weight)).weights[0];
    assert_eq!((row.n_slots, row.n_nonzero), (5, 1));
}

#[test]
fn coded_streams_show_their_tables() {
    let weight = shared(&[30, 40]).rearrange(Form::Gaps { bits: 4 }, Order::RowMajor).unwrap();
    let ledger = check(&one(coded(&weight, 100)));
    assert!(ledger.bytes_of(Part::PositionTable) > 1 && ledger.bytes_of(Part::ValueTable) > 1);
    for row in ledger.rows.iter().filter(|row| matches!(row.part, Part::Positions | Part::Values)) {
        let entropy = row.entropy_bits.unwrap();
        assert!(entropy > 0.0 && entropy <= 8.0 * row.bytes as f64, "{row:?}");
    }
}

#[test]
fn damaged_files_have_no_ledger() {
    let mut bytes = every_form().write().unwrap();
    bytes[60] ^= 4;
    assert!(ledger(&bytes).is_err());
}

//! Laws that hold for every form: storing loses nothing, bits are counted as written, wrong parts do not fit together.
#![allow(clippy::cast_possible_truncation, reason = "small numbers made in the tests")]

use std::sync::Arc;

use half::{bf16, f16};
use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::rng::Rng;

fn packed(width: u32, symbols: &[u16]) -> Arc<dyn Symbols> {
    Arc::new(PackedSymbols::from_symbols(width, symbols).unwrap())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn forms() -> impl Strategy<Value = Form> {
    prop_oneof![
        Just(Form::All),
        Just(Form::Mask),
        (1_u32..=8).prop_map(|bits| Form::Gaps { bits }),
        Just(Form::Gaps { bits: 16 }),
        (1_usize..8, 1_u32..=16).prop_map(|(size, bits)| Form::Blocks { size, bits }),
    ]
}

/// The form, with the largest block up to its size that cuts the shape without a remainder.
fn fitting(form: Form, shape: &[usize]) -> Form {
    let n: usize = shape.iter().product();
    match form {
        Form::Blocks { size, bits } => {
            let size = (1..=size).rev().find(|&size| n.is_multiple_of(size)).unwrap();
            Form::Blocks { size, bits }
        }
        other => other,
    }
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::RowMajor), Just(Order::ColumnMajor)]
}

fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![]),
        Just(vec![0]),
        Just(vec![3, 0, 2]),
        (1_usize..80).prop_map(|n| vec![n]),
        (1_usize..9, 1_usize..30).prop_map(|(m, n)| vec![m, n]),
        (1_usize..4, 1_usize..4, 1_usize..4, 1_usize..4).prop_map(|(a, b, c, d)| vec![a, b, c, d])
    ]
}

/// Sparse symbols `< limit`, 0 with probability about 0.7, for a shape.
fn symbols(shape: &[usize], limit: u16, seed: u64) -> Vec<u16> {
    let mut rng = Rng::keyed(seed, "symbols", &[]);
    let n = shape.iter().product();
    (0..n).map(|_| if rng.bernoulli(0.7) { 0 } else { rng.below(usize::from(limit)) as u16 }).collect()
}

/// Weights of each kind of values over one shape, all entries stored.
fn dense_kinds(shape: &[usize], seed: u64) -> Vec<StoredWeight> {
    let specials = [0.0, -0.0, f32::from_bits(0x7fc0_1234), f32::NEG_INFINITY, 1.0e-45, 1.5, -2.25, 3.0];
    let codes = symbols(shape, 8, seed);
    let floats: Vec<f32> = codes.iter().map(|&code| specials[usize::from(code)]).collect();
    let store = |values| StoredWeight::new(shape.to_vec(), Positions::All, values, Order::RowMajor).unwrap();
    let mut kinds = vec![
        store(Values::Half(Half::F16(floats.iter().map(|&x| f16::from_f32(x)).collect()))),
        store(Values::Half(Half::Bf16(floats.iter().map(|&x| bf16::from_f32(x)).collect()))),
        store(Values::Codebook(Codebook::new(specials.to_vec(), packed(3, &codes)).unwrap())),
        store(Values::F32(floats)),
    ];
    let mut granularities = vec![Granularity::PerTensor, Granularity::PerGroup { size: 3 }];
    granularities.extend((0..shape.len()).map(|axis| Granularity::PerAxis { axis }));
    for granularity in granularities {
        let n = granularity.n_scales(shape).unwrap();
        let scales = (0..n).map(|i| 0.1 + i as f32).collect();
        let zeros = (0..n).map(|i| (i % 8) as u16).collect();
        let grid = AffineGrid::new(3, granularity, scales, zeros).unwrap();
        kinds.push(store(Values::Affine(Affine::new(grid, packed(3, &codes)).unwrap())));
    }
    kinds
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rearranging_loses_no_bit_of_any_kind(shape in shapes(), seed in any::<u64>(), first in forms(), second in forms(),
                                            order in orders()) {
        let (first, second) = (fitting(first, &shape), fitting(second, &shape));
        for dense in dense_kinds(&shape, seed) {
            let expected = bits(&dense.to_dense_vec().unwrap());
            let stored = dense.rearrange(first, order).unwrap();
            prop_assert_eq!(&bits(&stored.to_dense_vec().unwrap()), &expected);
            let again = stored.rearrange(second, Order::RowMajor).unwrap();
            prop_assert_eq!(&bits(&again.to_dense_vec().unwrap()), &expected);
            prop_assert_eq!(again.n_nonzero().unwrap(), expected.iter().filter(|&&word| word != 0).count());
            let tensor = stored.to_dense(&Device::Cpu).unwrap();
            prop_assert_eq!(tensor.dims(), &shape[..]);
            let back = StoredWeight::dense(&tensor).unwrap();
            prop_assert_eq!(&bits(&back.to_dense_vec().unwrap()), &expected);
        }
    }

    #[test]
    fn entries_walk_the_order_and_agree_with_indices(shape in shapes(), seed in any::<u64>(), form in forms(),
                                                     order in orders()) {
        let stored = dense_kinds(&shape, seed)[2].rearrange(fitting(form, &shape), order).unwrap();
        let entries: Vec<(usize, f32)> = stored.entries().collect::<crate::Result<_>>().unwrap();
        let flats: Vec<usize> = stored.indices().collect::<crate::Result<_>>().unwrap();
        prop_assert_eq!(entries.len(), stored.n_slots());
        prop_assert_eq!(entries.iter().map(|entry| entry.0).collect::<Vec<_>>(), flats.clone());
        let walk = stored.walk();
        prop_assert!(flats.windows(2).all(|pair| walk.step(pair[0]) < walk.step(pair[1])));
        let dense = stored.to_dense_vec().unwrap();
        prop_assert!(entries.iter().all(|&(flat, value)| dense[flat].to_bits() == value.to_bits()));
    }

    #[test]
    fn the_footprint_is_the_number_of_bits_written(shape in shapes(), seed in any::<u64>(), form in forms()) {
        for dense in dense_kinds(&shape, seed) {
            let stored = dense.rearrange(fitting(form, &shape), Order::RowMajor).unwrap();
            prop_assert_eq!(stored.footprint().total_bits(), 8 * written(&stored).len() as u64);
            prop_assert!(stored.footprint().positions.entropy_bits <= stored.footprint().positions.bits as f64 + 1e-6);
        }
    }
}

/// The bytes of every part, as a container would write them.
fn written(stored: &StoredWeight) -> Vec<u8> {
    let bytes_of = |symbols: &Arc<dyn Symbols>| {
        let any: &dyn std::any::Any = &**symbols;
        any.downcast_ref::<PackedSymbols>().unwrap().bytes().to_vec()
    };
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let mut bytes = match stored.positions() {
        Positions::All => vec![],
        Positions::Mask(mask) => mask.as_raw_slice().to_vec(),
        Positions::Gaps(gaps) => bytes_of(gaps.skips()),
        Positions::Blocks(blocks) => bytes_of(blocks.skips()),
    };
    match stored.values() {
        Values::F32(values) => bytes.extend(floats(values)),
        Values::Half(Half::F16(values)) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Values::Half(Half::Bf16(values)) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Values::Affine(affine) => {
            bytes.extend(floats(affine.grid().scales()));
            bytes.extend(
                PackedSymbols::from_symbols(affine.grid().bits(), affine.grid().zero_points())
                    .unwrap()
                    .bytes(),
            );
            bytes.extend(bytes_of(affine.codes()));
        }
        Values::Codebook(codebook) => {
            bytes.extend(floats(codebook.table()));
            bytes.extend(bytes_of(codebook.indices()));
        }
    }
    bytes
}

#[test]
fn a_codebook_of_16_weights_and_4_values_compresses_3_2_times() {
    // Deep Compression, §3: n = 16, b = 32, k = 4.
    let codebook = Codebook::new(
        vec![2.0, 1.5, 0.0, -1.0],
        packed(2, &[0, 3, 1, 2, 2, 2, 3, 0, 3, 0, 2, 3, 0, 2, 1, 1]),
    );
    let values = Values::Codebook(codebook.unwrap());
    let stored = StoredWeight::new(vec![4, 4], Positions::All, values, Order::RowMajor).unwrap();
    assert_eq!(stored.footprint().total_bits(), 160);
    assert!((stored.footprint().ratio_to_f32(16) - 3.2).abs() < 1e-12);
    assert_eq!(stored.to_dense_vec().unwrap()[..4], [2.0, -1.0, 1.5, 0.0]);
}

#[test]
fn eies_example_is_stored_as_printed() {
    // EIE, §III-B: v = [1, 2, 0, 3], z = [2, 0, 15, 2].
    let mut column = vec![0.0_f32; 23];
    (column[2], column[3], column[22]) = (1.0, 2.0, 3.0);
    let dense = StoredWeight::new(vec![23, 1], Positions::All, Values::F32(column), Order::RowMajor).unwrap();
    let stored = dense.rearrange(Form::Gaps { bits: 4 }, Order::ColumnMajor).unwrap();
    let Values::F32(values) = stored.values() else { panic!("floats stay floats") };
    assert_eq!(values[..], [1.0, 2.0, 0.0, 3.0]);
    let Positions::Gaps(gaps) = stored.positions() else { panic!("gaps were asked for") };
    assert_eq!(gaps.skips().to_vec().unwrap(), [2, 0, 15, 2]);
    assert_eq!((stored.n_slots(), stored.n_nonzero().unwrap()), (4, 3));
    assert_eq!(stored.footprint().total_bits(), 4 * 32 + 4 * 4);
}

#[test]
fn an_all_zero_weight_is_an_empty_stream() {
    let dense =
        StoredWeight::new(vec![7, 9], Positions::All, Values::F32(vec![0.0; 63]), Order::RowMajor).unwrap();
    let stored = dense.rearrange(Form::Gaps { bits: 4 }, Order::RowMajor).unwrap();
    assert_eq!((stored.n_slots(), stored.footprint().total_bits()), (0, 0));
    assert_eq!(stored.to_dense_vec().unwrap(), vec![0.0; 63]);
}

#[test]
fn fillers_come_as_often_as_random_sparsity_predicts() {
    // q^(2^b) / (1 - q^(2^b)) fillers per entry: 0.284 at 9 % and 4 bits, 0.371 at 4 % and 5 bits.
    for (density, bits, expected) in [(0.09, 4, 0.284), (0.04, 5, 0.371), (0.25, 4, 0.010)] {
        let mut rng = Rng::keyed(3, "sparsity", &[]);
        let positions: Vec<usize> = (0..400_000).filter(|_| rng.bernoulli(density)).collect();
        let fillers = Gaps::encode(bits, positions.iter().copied()).unwrap().fillers.len();
        let got = fillers as f64 / positions.len() as f64;
        assert!((got - expected).abs() < 0.01, "{density}, {bits} bits: {got} against {expected}");
    }
}

#[test]
fn parts_that_disagree_are_refused() {
    let new = |shape: &[usize], positions, values| {
        StoredWeight::new(shape.to_vec(), positions, values, Order::RowMajor)
    };
    let floats = |n| Values::F32(vec![1.0; n]);
    let gaps =
        |positions: &[usize]| Positions::Gaps(Gaps::encode(4, positions.iter().copied()).unwrap().gaps);
    let book =
        |table: &[f32], n| Values::Codebook(Codebook::new(table.to_vec(), packed(1, &vec![0; n])).unwrap());
    let grid = AffineGrid::new(4, Granularity::PerAxis { axis: 0 }, vec![1.0; 3], vec![8]).unwrap();
    let affine = |n| Values::Affine(Affine::new(grid.clone(), packed(4, &vec![0; n])).unwrap());
    for (case, result) in [
        ("too few values", new(&[2, 2], Positions::All, floats(3))),
        ("a short mask", new(&[2, 2], Positions::Mask(MaskBits::repeat(true, 3)), floats(3))),
        ("more values than set bits", new(&[2, 2], Positions::Mask(MaskBits::repeat(false, 4)), floats(1))),
        ("a gap beyond the shape", new(&[2, 2], gaps(&[4]), floats(1))),
        ("a codebook that lacks a zero", new(&[2, 2], gaps(&[1]), book(&[1.0, 0.0], 1))),
        ("scales that do not fit", new(&[2, 2], Positions::All, affine(4))),
        ("an axis that is not there", new(&[], Positions::All, affine(1))),
        ("too many entries", new(&[usize::MAX, 2], gaps(&[]), floats(0))),
    ] {
        assert!(matches!(result, Err(Error::InvalidArgument { .. })), "{case}: {result:?}");
    }
    assert!(new(&[2, 2], gaps(&[3]), floats(1)).is_ok());
    assert!(new(&[3, 2], Positions::All, affine(6)).is_ok());
}

#[test]
fn a_zero_that_the_codebook_lacks_cannot_be_stored() {
    let codebook = Codebook::new(vec![1.0, 2.0], packed(1, &[0, 1])).unwrap();
    let mut mask = MaskBits::repeat(false, 4);
    mask.set(1, true);
    mask.set(2, true);
    let stored =
        StoredWeight::new(vec![4], Positions::Mask(mask), Values::Codebook(codebook), Order::RowMajor)
            .unwrap();
    assert!(stored.rearrange(Form::All, Order::RowMajor).is_err());
    assert!(stored.rearrange(Form::Gaps { bits: 3 }, Order::RowMajor).is_err());
    let mask = stored.rearrange(Form::Mask, Order::RowMajor).unwrap();
    assert_eq!(mask.to_dense_vec().unwrap(), [0.0, 1.0, 2.0, 0.0]);
}

#[test]
fn a_weight_too_large_for_memory_is_an_error_only_when_it_is_made_dense() {
    let positions = Positions::Gaps(Gaps::encode(4, []).unwrap().gaps);
    let shape = vec![1 << 59];
    let stored = StoredWeight::new(shape, positions, Values::F32(vec![]), Order::RowMajor).unwrap();
    assert!(matches!(stored.to_dense(&Device::Cpu), Err(Error::InvalidArgument { .. })));
}

#[test]
fn streams_can_be_replaced_and_lies_are_found() {
    let dense = &dense_kinds(&[4, 6], 5)[2];
    let stored = dense.rearrange(Form::Gaps { bits: 3 }, Order::RowMajor).unwrap();
    let mut roles = vec![];
    let widened = stored
        .map_streams(|role, old| {
            roles.push(role);
            Ok(packed(16, &old.to_vec()?))
        })
        .unwrap();
    assert_eq!(roles, [StreamRole::Gaps, StreamRole::Values]);
    assert_eq!(bits(&widened.to_dense_vec().unwrap()), bits(&stored.to_dense_vec().unwrap()));
    assert!(widened.footprint().total_bits() > stored.footprint().total_bits());
    assert!(stored.map_streams(|_, _| Ok(packed(3, &[]))).is_err());
}

#[test]
fn masks_are_written_the_same_whatever_their_unused_bits_were() {
    let mut mask = MaskBits::from_vec(vec![0xff]);
    mask.truncate(3);
    let values = Values::F32(vec![1.0; 3]);
    let stored = StoredWeight::new(vec![3], Positions::Mask(mask), values, Order::RowMajor).unwrap();
    let Positions::Mask(mask) = stored.positions() else { panic!("a mask stays a mask") };
    assert_eq!(mask.as_raw_slice(), [0b111]);
}

#[test]
fn anyone_can_be_a_weight_tensor() {
    /// A weight of ones that costs nothing.
    struct Ones([usize; 2]);
    impl WeightTensor for Ones {
        fn shape(&self) -> &[usize] {
            &self.0
        }
        fn to_dense(&self, device: &Device) -> crate::Result<Tensor> {
            Ok(Tensor::ones(&self.0, DType::F32, device)?)
        }
        fn footprint(&self) -> Footprint {
            Footprint::default()
        }
    }
    let tensor = Tensor::ones((2, 3), DType::F32, &Device::Cpu).unwrap();
    let stored = StoredWeight::dense(&tensor).unwrap();
    let all: [(&dyn WeightTensor, u64); 3] = [(&Ones([2, 3]), 0), (&tensor, 192), (&stored, 192)];
    for (weight, bits) in all {
        assert_eq!(weight.shape(), [2, 3]);
        assert_eq!(weight.to_dense(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap(), [[1.0; 3]; 2]);
        assert_eq!(weight.footprint().total_bits(), bits);
    }
}

#[test]
fn blocks_must_cut_the_weight_and_hold_all_of_it() {
    let dense =
        StoredWeight::dense(&Tensor::new(&[0_f32, 0.0, 1.0, 0.0, 0.0, 0.0], &Device::Cpu).unwrap()).unwrap();
    let stored = dense.rearrange(Form::Blocks { size: 2, bits: 3 }, Order::RowMajor).unwrap();
    assert_eq!(
        (stored.n_slots(), stored.footprint().values.bits, stored.footprint().positions.bits),
        (2, 64, 8)
    );
    for (size, bits, word) in
        [(4, 3, "block size"), (0, 3, "block size"), (2, 0, "skip bits"), (2, 17, "skip bits")]
    {
        let message = dense.rearrange(Form::Blocks { size, bits }, Order::RowMajor).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
    // A stream beyond the weight, a size with a remainder, values that are too few.
    for (blocks, n_values, word) in [
        (Blocks::encode(2, 3, [3]), 2, "block skips"),
        (Blocks::encode(4, 3, [0]), 4, "block size"),
        (Blocks::encode(2, 3, [1]), 1, "values"),
    ] {
        let (positions, values) = (Positions::Blocks(blocks.unwrap()), Values::F32(vec![1.0; n_values]));
        let message = StoredWeight::new(vec![6], positions, values, Order::RowMajor).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

//! Weights and archives to test with: fixed ones by formula, random ones by proptest.

use std::sync::Arc;

use nnc::archive::{Archive, Meta};
use nnc_core::candle::{Device, Tensor};
use nnc_core::data::Normalization;
use nnc_core::network::{Conv, Network};
use nnc_core::params::ParamKind;
use nnc_core::weight::{
    Affine, AffineGrid, Codebook, Form, Granularity, Half, Order, PackedSymbols, Positions, StoredWeight,
    Symbols, Values, WeightTensor as _,
};
use nnc_huffman::CodedSymbols;
use proptest::prelude::*;

/// A formula for weights: multiples of 1/16 of either sign, three in four of them +0.0.
pub(crate) fn formula(n: usize) -> Vec<f32> {
    let value = |i: usize| {
        let mixed = (i * 37 + i * i * 11) % 101;
        if mixed.is_multiple_of(4) { (mixed as f32 - 50.0) / 16.0 } else { 0.0 }
    };
    (0..n).map(value).collect()
}

pub(crate) fn dense(shape: &[usize], values: Vec<f32>) -> StoredWeight {
    StoredWeight::dense(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

/// The formula's weight as a codebook of its different values, entry 0 zero.
pub(crate) fn shared(shape: &[usize]) -> StoredWeight {
    codebook_of(shape, &formula(shape.iter().product()))
}

/// A weight as a codebook of its different values in the order in which they come, behind zero.
pub(crate) fn codebook_of(shape: &[usize], values: &[f32]) -> StoredWeight {
    let mut table: Vec<f32> = vec![0.0];
    let mut indices = Vec::new();
    for &value in values {
        let found = table.iter().position(|known| known.to_bits() == value.to_bits());
        let index = found.unwrap_or_else(|| {
            table.push(value);
            table.len() - 1
        });
        indices.push(u16::try_from(index).unwrap());
    }
    let indices = Arc::new(PackedSymbols::narrowest(&indices));
    let codebook = Values::Codebook(Codebook::new(table, indices).unwrap());
    StoredWeight::new(shape.to_vec(), Positions::All, codebook, Order::RowMajor).unwrap()
}

/// Every stream of `weight` Huffman-coded, whether it pays or not.
pub(crate) fn coded(weight: &StoredWeight, block_len: usize) -> StoredWeight {
    let code = |stream: &Arc<dyn Symbols>| -> nnc_core::Result<Arc<dyn Symbols>> {
        Ok(Arc::new(CodedSymbols::encode(&stream.to_vec()?, block_len)))
    };
    weight.map_streams(|_, stream| code(stream)).unwrap()
}

/// A small convolutional network with a weight in each form, a normalisation, and weights beyond the network's.
pub(crate) fn every_form() -> Archive {
    let (network, _) = Network::builder()
        .input("image", &[1, 8, 8])
        .conv2d("conv", Conv::new(3, 3))
        .relu("relu")
        .flatten("flat")
        .linear("ip", 5)
        .output("logits")
        .build()
        .unwrap();
    let affine = |granularity, n_scales: usize, zero_points: Vec<u16>| {
        let scales = (0..n_scales).map(|i| 0.25 * (i + 1) as f32).collect();
        let grid = AffineGrid::new(4, granularity, scales, zero_points).unwrap();
        let codes: Vec<u16> = (0..24).map(|i| (i * 7 + 3) % 16).collect();
        let codes = Arc::new(PackedSymbols::from_symbols(4, &codes).unwrap());
        let values = Values::Affine(Affine::new(grid, codes).unwrap());
        StoredWeight::new(vec![4, 6], Positions::All, values, Order::RowMajor).unwrap()
    };
    let half =
        |half| StoredWeight::new(vec![6], Positions::All, Values::Half(half), Order::RowMajor).unwrap();
    let sixths = || (0_u8..6).map(|i| f32::from(i) / 6.0);
    let weights = [
        ("conv.weight", dense(&[3, 1, 3, 3], formula(27)).rearrange(Form::Mask, Order::RowMajor).unwrap()),
        ("conv.bias", dense(&[3], vec![0.5, -0.25, f32::MIN_POSITIVE])),
        (
            "ip.weight",
            coded(&shared(&[5, 108]).rearrange(Form::Gaps { bits: 3 }, Order::ColumnMajor).unwrap(), 0),
        ),
        ("ip.bias", dense(&[5], vec![0.0, -0.0, 1.0, f32::NAN, f32::NEG_INFINITY])),
        ("gaps", dense(&[9, 7], formula(63)).rearrange(Form::Gaps { bits: 2 }, Order::RowMajor).unwrap()),
        ("f16", half(Half::F16(sixths().map(half::f16::from_f32).collect()))),
        ("bf16", half(Half::Bf16(sixths().map(half::bf16::from_f32).collect()))),
        ("tensor", affine(Granularity::PerTensor, 1, vec![8])),
        ("axis", coded(&affine(Granularity::PerAxis { axis: 1 }, 6, vec![1, 2, 3, 4, 5, 6]), 5)),
        ("group", affine(Granularity::PerGroup { size: 4 }, 8, vec![7])),
        ("shared", shared(&[2, 3, 4])),
        (
            "nothing",
            dense(&[3, 4], vec![0.0; 12]).rearrange(Form::Gaps { bits: 5 }, Order::RowMajor).unwrap(),
        ),
        ("scalar", dense(&[], vec![2.5])),
        ("empty", dense(&[0, 7], vec![])),
    ];
    let kind = |name: &str| if name.ends_with("bias") { ParamKind::Bias } else { ParamKind::Weight };
    Archive {
        network: Some(network),
        weights: weights.into_iter().map(|(name, weight)| (name.to_owned(), kind(name), weight)).collect(),
        meta: Meta { normalization: Some(Normalization::new(vec![0.125], vec![0.5]).unwrap()) },
    }
}

/// Weights stored block by block: packed and coded, in either order, with long runs between and none at all.
pub(crate) fn blocks() -> Archive {
    let spread = |n: usize| -> Vec<f32> {
        let value = |i: usize| if i / 9 % 7 == 3 || i / 9 > 30 { (i % 5) as f32 - 2.0 } else { 0.0 };
        (0..n).map(value).collect()
    };
    let form = |size, bits| Form::Blocks { size, bits };
    let kernels = dense(&[6, 6, 3, 3], spread(324)).rearrange(form(9, 2), Order::RowMajor).unwrap();
    let shared = codebook_of(&[6, 6, 3, 3], &spread(324)).rearrange(form(9, 3), Order::RowMajor).unwrap();
    let weights = [
        ("kernels", kernels),
        ("shared", coded(&shared, 0)),
        ("columns", dense(&[4, 8], spread(32)).rearrange(form(4, 1), Order::ColumnMajor).unwrap()),
        ("nothing", dense(&[3, 4], vec![0.0; 12]).rearrange(form(2, 5), Order::RowMajor).unwrap()),
    ];
    let named = |(name, weight): (&str, StoredWeight)| (name.to_owned(), ParamKind::Weight, weight);
    Archive { network: None, weights: weights.into_iter().map(named).collect(), meta: Meta::default() }
}

/// All that an archive promises to give back of a weight.
#[derive(Debug, PartialEq)]
pub(crate) struct Facts {
    shape: Vec<usize>,
    dense: Vec<u32>,
    order: Order,
    positions: String,
    values: String,
}

impl Facts {
    /// The dense weight, bit for bit.
    pub(crate) fn dense_bits(&self) -> &[u32] {
        &self.dense
    }
}

/// Streams are compared by their symbols, widths and costs; floats by their bits.
pub(crate) fn facts(weight: &StoredWeight) -> Facts {
    let stream = |symbols: &dyn Symbols| {
        let costs = (symbols.width(), symbols.payload_bits(), symbols.table_bits());
        format!("{costs:?} {:?}", symbols.to_vec().unwrap())
    };
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let positions = match weight.positions() {
        Positions::Gaps(gaps) => format!("gaps {} {}", gaps.bits(), stream(&**gaps.skips())),
        Positions::Blocks(blocks) => {
            format!("blocks {} {} {}", blocks.size(), blocks.bits(), stream(&**blocks.skips()))
        }
        Positions::Mask(mask) => format!("mask {} {:?}", mask.len(), mask.as_raw_slice()),
        other => format!("{other:?}"),
    };
    let values = match weight.values() {
        Values::F32(values) => format!("f32 {:?}", bits(values)),
        Values::Half(half) => format!("{half:?}"),
        Values::Affine(affine) => format!("{:?} {}", affine.grid(), stream(&**affine.codes())),
        Values::Codebook(book) => format!("{:?} {}", bits(book.table()), stream(&**book.indices())),
        other => format!("{other:?}"),
    };
    let dense = bits(&weight.to_dense_vec().unwrap());
    Facts { shape: weight.shape().to_vec(), dense, order: weight.order(), positions, values }
}

/// Shapes of up to three dimensions and a few hundred entries, with empty ones among them.
fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        8 => prop::collection::vec(1_usize..8, 0..4),
        1 => prop::collection::vec(0_usize..4, 1..4),
        1 => (1_usize..300).prop_map(|n| vec![n]),
    ]
}

fn granularities(rank: usize) -> BoxedStrategy<Granularity> {
    let axis = (0..rank.max(1)).prop_map(|axis| Granularity::PerAxis { axis });
    let group = (1_usize..9).prop_map(|size| Granularity::PerGroup { size });
    if rank == 0 {
        prop_oneof![Just(Granularity::PerTensor), group].boxed()
    } else {
        prop_oneof![Just(Granularity::PerTensor), axis, group].boxed()
    }
}

/// Values of `n` slots of a weight of `shape`, of every kind.
fn values(shape: Vec<usize>) -> impl Strategy<Value = Values> {
    let n: usize = shape.iter().product();
    let sparse =
        || prop_oneof![3 => Just(0.0_f32), 1 => any::<u32>().prop_map(f32::from_bits), 1 => -1.0_f32..1.0];
    let floats = move || prop::collection::vec(sparse(), n);
    let affine =
        (2_u32..=16, granularities(shape.len()), any::<u64>()).prop_map(move |(bits, granularity, seed)| {
            let n_scales = granularity.n_scales(&shape).unwrap();
            let draw = |i: usize| {
                u16::try_from(seed.rotate_left(7).wrapping_mul(2 * i as u64 + 1) % (1 << bits)).unwrap()
            };
            let scales = (0..n_scales).map(|i| 0.5 + (i % 13) as f32).collect();
            let zero_points = (0..if seed % 2 == 0 { 1 } else { n_scales }).map(draw).collect();
            let grid = AffineGrid::new(bits, granularity, scales, zero_points).unwrap();
            let codes: Vec<u16> = (0..n).map(|i| draw(i % 17)).collect();
            Values::Affine(
                Affine::new(grid, Arc::new(PackedSymbols::from_symbols(bits, &codes).unwrap())).unwrap(),
            )
        });
    let codebook = (1_usize..40, 0_u32..4, any::<u64>()).prop_map(move |(len, spare, seed)| {
        let mut table: Vec<f32> = (0..len).map(|i| (i as f32 - 3.5) * 0.25).collect();
        table[0] = 0.0;
        let indices: Vec<u16> =
            (0..n).map(|i| u16::try_from((seed >> (i % 50)) % len as u64).unwrap()).collect();
        let width = PackedSymbols::narrowest(&indices).width() + spare;
        let indices = PackedSymbols::from_symbols(width, &indices).unwrap();
        Values::Codebook(Codebook::new(table, Arc::new(indices)).unwrap())
    });
    prop_oneof![
        floats().prop_map(Values::F32),
        floats().prop_map(|v| Values::Half(Half::F16(v.into_iter().map(half::f16::from_f32).collect()))),
        floats().prop_map(|v| Values::Half(Half::Bf16(v.into_iter().map(half::bf16::from_f32).collect()))),
        affine,
        codebook,
    ]
}

/// Stored weights of every form, with packed and with coded streams.
pub(crate) fn stored_weights() -> impl Strategy<Value = StoredWeight> {
    let all = shapes().prop_flat_map(|shape| {
        values(shape.clone()).prop_map(move |values| {
            StoredWeight::new(shape.clone(), Positions::All, values, Order::RowMajor).unwrap()
        })
    });
    let form = prop_oneof![
        Just(Form::All),
        Just(Form::Mask),
        (1_u32..=16).prop_map(|bits| Form::Gaps { bits }),
        (1_usize..8, 1_u32..=16).prop_map(|(size, bits)| Form::Blocks { size, bits }),
    ];
    let order = prop_oneof![Just(Order::RowMajor), Just(Order::ColumnMajor)];
    let block_len = prop_oneof![Just(None), Just(Some(0)), (1_usize..50).prop_map(Some)];
    (all, form, order, block_len).prop_map(|(weight, form, order, block_len)| {
        // A block size that does not divide the weight is brought down to one that does.
        let form = match form {
            Form::Blocks { size, bits } => {
                let size = (1..=size).rev().find(|&size| weight.n_entries().is_multiple_of(size)).unwrap();
                Form::Blocks { size, bits }
            }
            other => other,
        };
        let weight = weight.rearrange(form, order).unwrap();
        block_len.map_or_else(|| weight.clone(), |block_len| coded(&weight, block_len))
    })
}

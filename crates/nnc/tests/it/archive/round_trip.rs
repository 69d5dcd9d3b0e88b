//! What is written comes back bit for bit, in the same form.

use nnc::archive::{Archive, Reader, StreamCoding};
use nnc_core::Error;
use nnc_core::candle::Device;
use nnc_core::network::Network;
use nnc_core::params::ParamKind;
use nnc_core::weight::{Form, Order, WeightTensor as _};
use proptest::prelude::*;

use crate::samples::{blocks, codebook_of, coded, dense, every_form, facts, formula, shared, stored_weights};

#[track_caller]
fn check(archive: &Archive) {
    let bytes = archive.write().unwrap();
    let read = Archive::read(&bytes).unwrap();
    assert_eq!(read.network, archive.network);
    assert_eq!(read.meta, archive.meta);
    assert_eq!(read.weights.len(), archive.weights.len());
    for ((name, kind, weight), (read_name, read_kind, read_weight)) in
        archive.weights.iter().zip(&read.weights)
    {
        assert_eq!((read_name, read_kind), (name, kind));
        assert_eq!(facts(read_weight), facts(weight), "{name}");
    }
    assert_eq!(read.write().unwrap(), bytes, "written again");
}

fn weights_only(weights: Vec<nnc_core::weight::StoredWeight>) -> Archive {
    let name = |i: usize| format!("layer.{i}");
    let kinds = [ParamKind::Weight, ParamKind::Bias, ParamKind::Buffer];
    let weights =
        weights.into_iter().enumerate().map(|(i, weight)| (name(i), kinds[i % 3], weight)).collect();
    Archive { weights, ..Archive::default() }
}

proptest! {
    #[test]
    fn weights_of_every_form_come_back_bit_for_bit(weights in prop::collection::vec(stored_weights(), 0..4)) {
        check(&weights_only(weights));
    }
}

#[test]
fn weights_in_blocks_come_back_and_cost_one_index_a_block() {
    check(&blocks());
    // The specification's 100 kernels of which 30 stay, at 8 bits a weight and 4 an index.
    let values: Vec<f32> =
        (0..900).map(|i| if i / 9 % 10 < 3 { 1.0 + (i % 200) as f32 } else { 0.0 }).collect();
    let shared = codebook_of(&[10, 10, 3, 3], &values);
    let kernels = shared.rearrange(Form::Blocks { size: 9, bits: 4 }, Order::RowMajor).unwrap().footprint();
    let fine = shared.rearrange(Form::Gaps { bits: 4 }, Order::RowMajor).unwrap().footprint();
    assert_eq!((kernels.values.bits, kernels.positions.bits), (30 * 9 * 8, 30 * 4));
    assert!(fine.values.bits + fine.positions.bits >= 3240);
}

#[test]
fn networks_with_weights_of_every_form_come_back() {
    let mut archive = every_form();
    check(&archive);
    // Without the weights beyond the network's, names follow from it and cost nothing.
    let n_with_names = archive.write().unwrap().len();
    let spare = archive.weights.split_off(4);
    check(&archive);
    let bytes = archive.write().unwrap();
    assert!(!bytes.windows(9).any(|window| window == b"ip.weight"));
    assert!(bytes.len() < n_with_names);
    // In another order they have to be named again.
    archive.weights.swap(0, 2);
    check(&archive);
    archive.weights.extend(spare);
    check(&archive);
}

#[test]
fn a_reader_goes_to_one_weight() {
    let archive = every_form();
    let bytes = archive.write().unwrap();
    let reader = Reader::new(&bytes).unwrap();
    assert_eq!(reader.len(), archive.weights.len());
    for (name, _, weight) in archive.weights.iter().rev() {
        assert_eq!(facts(&reader.weight(name).unwrap()), facts(weight));
    }
    assert!(matches!(reader.weight("conv"), Err(Error::NotFound { .. })));
}

#[test]
fn a_damaged_weight_does_not_hide_the_others() {
    let archive = weights_only(vec![dense(&[4], formula(4)), dense(&[3], formula(3))]);
    let mut bytes = archive.write().unwrap();
    // The form of the first record, behind two lines of 1 + 7 + 1 + 1 bytes, becomes an unknown one.
    bytes[5 + 1 + 20] = 3;
    crate::archive::corruption::seal(&mut bytes);
    let reader = Reader::new(&bytes).unwrap();
    assert!(matches!(reader.weight("layer.0"), Err(Error::Corrupt { .. })));
    assert_eq!(reader.weight("layer.1").unwrap().to_dense_vec().unwrap(), formula(3));
    assert!(Archive::read(&bytes).is_err());
}

#[test]
fn long_constant_streams_are_packed_because_no_byte_vouches_for_them() {
    let weight = |n: usize| {
        let ones = dense(&[n], vec![1.0; n]).rearrange(Form::Gaps { bits: 3 }, Order::RowMajor).unwrap();
        coded(&ones, 0)
    };
    // All gaps are 0; the values are floats, so the record has 4 bytes a symbol to vouch for them.
    check(&weights_only(vec![weight(100_000)]));
    let constant = |n: usize| {
        let table =
            std::sync::Arc::new(nnc_core::weight::PackedSymbols::from_symbols(4, &vec![0; n]).unwrap());
        let values =
            nnc_core::weight::Values::Codebook(nnc_core::weight::Codebook::new(vec![0.5], table).unwrap());
        let all = nnc_core::weight::Positions::All;
        coded(&nnc_core::weight::StoredWeight::new(vec![n], all, values, Order::RowMajor).unwrap(), 0)
    };
    // 12 bytes: form 1, shape 4, codebook 5, block length 1, code 1. So 12 times 4096 symbols are allowed.
    assert_eq!(weights_only(vec![constant(12 * 4096)]).write().unwrap().len(), 5 + 1 + 10 + 12 + 4);
    let long = weights_only(vec![constant(12 * 4096 + 1)]);
    let bytes = long.write().unwrap();
    assert!(bytes.len() > 12 * 4096 / 8);
    let read = Archive::read(&bytes).unwrap();
    assert_eq!(read.weights[0].2.to_dense_vec().unwrap(), long.weights[0].2.to_dense_vec().unwrap());
}

#[test]
fn files_are_written_whole_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.nnc");
    let archive = every_form();
    archive.write_file(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), archive.write().unwrap());
    assert_eq!(Archive::open(&path).unwrap().write().unwrap(), archive.write().unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside the file");
    let missing = dir.path().join("no such directory").join("model.nnc");
    let error = archive.write_file(&missing).unwrap_err().to_string();
    assert!(error.contains("no such directory"), "{error}");
    assert!(matches!(Archive::open(&missing), Err(Error::Io { .. })));
}

#[test]
fn params_are_the_dense_weights_with_their_kinds() {
    let archive = every_form();
    let params = archive.params(&Device::Cpu).unwrap();
    assert_eq!(4 * params.count() as u64, archive.dense_bytes());
    for (param, (name, kind, weight)) in params.iter().zip(&archive.weights) {
        assert_eq!((&param.name, &param.kind, param.tensor.dims()), (name, kind, weight.shape()));
        let dense: Vec<f32> = param.tensor.flatten_all().unwrap().to_vec1().unwrap();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(dense), bits(weight.to_dense_vec().unwrap()));
    }
}

#[test]
fn weights_that_are_not_the_networks_are_refused() {
    let archive = || {
        let mut archive = every_form();
        archive.weights.truncate(4);
        archive
    };
    let mut missing = archive();
    missing.weights.pop();
    assert!(matches!(missing.write(), Err(Error::NotFound { name, .. }) if name == "ip.bias"));
    let mut misfit = archive();
    misfit.weights[3].2 = dense(&[6], formula(6));
    assert!(misfit.write().is_err());
    let mut twice = archive();
    twice.weights.push(twice.weights[0].clone());
    assert!(matches!(twice.write(), Err(Error::InvalidArgument { .. })));
    let mut channels = archive();
    channels.meta.normalization = Some(nnc_core::data::Normalization::unit(3));
    assert!(matches!(channels.write(), Err(Error::InvalidArgument { .. })));
}

#[test]
fn lenet_300_100_spends_less_than_200_bytes_on_all_but_its_weights() {
    let config = nnc_core::network::zoo::LeNetConfig { dropout: Some(0.5), ..Default::default() };
    let (network, specs) = nnc_core::network::zoo::lenet_300_100(&config).unwrap();
    let gaps = |shape: &[usize]| shared(shape).rearrange(Form::Gaps { bits: 4 }, Order::RowMajor).unwrap();
    let best = StreamCoding::Smallest { block_len: 0 };
    let weights = specs.iter().map(|spec| {
        let weight = match spec.kind {
            ParamKind::Weight => best.apply(&gaps(&spec.shape)).unwrap(),
            _ => dense(&spec.shape, formula(spec.count())),
        };
        (spec.name.clone(), spec.kind, weight)
    });
    let weights: Vec<_> = weights.collect();
    let footprint: u64 = weights.iter().map(|(_, _, weight)| weight.footprint().total_bytes()).sum();
    let archive = Archive { network: Some(network), weights, ..Archive::default() };
    check(&archive);
    let overhead = archive.write().unwrap().len() as u64 - footprint;
    assert!(overhead < 200, "{overhead} bytes");
}

#[test]
fn the_smallest_coding_is_never_larger_and_deterministic() {
    let weight = shared(&[40, 50]).rearrange(Form::Gaps { bits: 6 }, Order::RowMajor).unwrap();
    let len = |weight| weights_only(vec![weight]).write().unwrap().len();
    let smallest = StreamCoding::Smallest { block_len: 0 }.apply(&weight).unwrap();
    let all_coded = coded(&weight, 0);
    assert!(len(smallest.clone()) < len(weight.clone()));
    assert!(len(smallest.clone()) <= len(all_coded.clone()));
    assert_eq!(
        facts(&StreamCoding::Packed.apply(&smallest).unwrap()).dense_bits(),
        facts(&weight).dense_bits()
    );
    // Four symbols that occur alike cannot be coded below two bits each, and the code costs a byte.
    let flat = [0.0_f32, 1.0, 2.0, 3.0].repeat(8);
    let even = crate::samples::codebook_of(&[32], &flat);
    assert_eq!(facts(&StreamCoding::Smallest { block_len: 0 }.apply(&even).unwrap()), facts(&even));
    let bytes =
        || weights_only(vec![StreamCoding::Smallest { block_len: 64 }.apply(&weight).unwrap()]).write();
    assert_eq!(bytes().unwrap(), bytes().unwrap());
}

#[test]
fn networks_without_weights_and_archives_without_anything_are_files_too() {
    check(&Archive::default());
    assert_eq!(Archive::default().write().unwrap().len(), 10);
    let (network, _) = Network::builder().input("x", &[2]).relu("y").output("y").build().unwrap();
    check(&Archive { network: Some(network), ..Archive::default() });
}

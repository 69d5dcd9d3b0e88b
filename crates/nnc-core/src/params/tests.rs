//! Order is kept everywhere, files survive, and bytes from outside are not trusted.

use candle_core::{DType, Var};
use candle_nn::VarMap;
use proptest::prelude::*;

use super::*;

fn f32s(params: &Params, name: &str) -> Vec<f32> {
    params.tensor(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

/// Names whose insertion order is neither that of the alphabet nor that of the element types.
fn sample() -> Params {
    let mut params = Params::new();
    params.insert(
        "z.weight",
        ParamKind::Weight,
        tensor(&[1.0, -0.0, f32::from_bits(0x7fc0_1234), 4.0], &[2, 2]),
    );
    params.insert("n.count", ParamKind::Buffer, Tensor::new(7_i64, &Device::Cpu).unwrap());
    params.insert("a.bias", ParamKind::Bias, tensor(&[0.5, 0.25], &[2]));
    params.insert("m.empty", ParamKind::Weight, tensor(&[], &[0, 3]));
    params.insert("h.weight", ParamKind::Weight, tensor(&[1.0, 2.0], &[1, 2]).to_dtype(DType::F16).unwrap());
    params
}

fn names(params: &Params) -> Vec<&str> {
    params.names().collect()
}

#[test]
fn insertion_order_survives_replacing_and_removing() {
    let mut params = sample();
    assert_eq!(names(&params), ["z.weight", "n.count", "a.bias", "m.empty", "h.weight"]);
    let old = params.insert("n.count", ParamKind::Bias, tensor(&[1.0, 2.0, 3.0], &[3])).unwrap();
    assert_eq!((old.kind, old.tensor.rank()), (ParamKind::Buffer, 0));
    assert_eq!(params.remove("z.weight").unwrap().tensor.dims(), [2, 2]);
    assert!(params.remove("z.weight").is_none());
    assert_eq!(names(&params), ["n.count", "a.bias", "m.empty", "h.weight"]);
    assert_eq!(f32s(&params, "n.count"), [1.0, 2.0, 3.0]);
    assert_eq!(params.get("h.weight").unwrap().dims(), [1, 2]);
    assert_eq!((params.len(), params.count(), params.count_kind(ParamKind::Bias)), (4, 7, 5));
    assert_eq!(params.shape_of("m.empty"), Some(vec![0, 3]));
    let error = params.tensor("z.weight").unwrap_err().to_string();
    assert_eq!(error, "no parameter named `z.weight`; there are: n.count, a.bias, m.empty, h.weight");
}

#[test]
fn safetensors_keep_order_kinds_types_and_bits() {
    let params = sample();
    let bytes = params.to_safetensors().unwrap();
    assert_eq!(bytes, sample().to_safetensors().unwrap());
    let read = Params::from_safetensors(&bytes, &Device::Cpu).unwrap();
    assert_eq!(names(&read), names(&params));
    for (new, old) in read.iter().zip(&params) {
        assert_eq!((new.kind, new.tensor.dtype()), (old.kind, old.tensor.dtype()), "{}", new.name);
        assert_eq!(new.tensor.dims(), old.tensor.dims(), "{}", new.name);
    }
    let bits = |params: &Params| f32s(params, "z.weight").iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&read), bits(&params));
    assert_eq!(read.get("n.count").unwrap().to_scalar::<i64>().unwrap(), 7);
}

#[test]
fn a_saved_file_is_read_back_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    sample().save(&path).unwrap();
    sample().save(&path).unwrap();
    assert_eq!(names(&Params::load(&path, &Device::Cpu).unwrap()), names(&sample()));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(matches!(Params::load(dir.path().join("none"), &Device::Cpu), Err(Error::Io { .. })));
}

/// A safetensors file of that header and `n_bytes` bytes of data.
fn file(header: &str, n_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; n_bytes]);
    bytes
}

#[test]
fn files_of_others_come_in_the_order_of_their_data() {
    let header = r#"{"bn.running_mean":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},
        "z.w":{"dtype":"F16","shape":[2,1],"data_offsets":[0,4]},
        "b.empty":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},
        "a.empty":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},
        "bn.bias":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
    let params = Params::from_safetensors(&file(header, 12), &Device::Cpu).unwrap();
    assert_eq!(names(&params), ["a.empty", "b.empty", "z.w", "bn.running_mean", "bn.bias"]);
    let kinds: Vec<_> = params.iter().skip(2).map(|param| param.kind).collect();
    assert_eq!(kinds, [ParamKind::Weight, ParamKind::Buffer, ParamKind::Bias]);
}

#[test]
fn every_truncation_is_an_error_and_no_changed_byte_panics() {
    let bytes = sample().to_safetensors().unwrap();
    for len in 0..bytes.len() {
        let error = Params::from_safetensors(&bytes[..len], &Device::Cpu).unwrap_err();
        assert!(matches!(error, Error::UnexpectedEnd { .. }), "{len}: {error}");
    }
    for i in 0..bytes.len() {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            let mut hostile = bytes.clone();
            hostile[i] ^= flip;
            // Values may change unseen, but the reader must come back.
            drop(Params::from_safetensors(&hostile, &Device::Cpu));
        }
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(matches!(Params::from_safetensors(&longer, &Device::Cpu), Err(Error::Corrupt { .. })));
}

#[test]
fn hostile_headers_are_refused() {
    let corrupt = [
        ("no JSON", "{", 0),
        ("a gap in the data", r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8),
        ("a shape that does not fit", r#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8),
        ("an overflow", r#"{"w":{"dtype":"F32","shape":[4294967296,4294967296,8],"data_offsets":[0,8]}}"#, 8),
        ("backwards", r#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}"#, 8),
        ("a list that is none", r#"{"__metadata__":{"nnc.params":"7"}}"#, 0),
        ("a name that is not there", r#"{"__metadata__":{"nnc.params":"[[\"w\",\"weight\"]]"}}"#, 0),
        (
            "a kind that is none",
            r#"{"__metadata__":{"nnc.params":"[[\"w\",\"x\"]]"},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#,
            1,
        ),
    ];
    for (case, header, n_bytes) in corrupt {
        let result = Params::from_safetensors(&file(header, n_bytes), &Device::Cpu);
        assert!(matches!(result, Err(Error::Corrupt { .. })), "{case}: {result:?}");
    }
    let huge_zero = r#"{"w":{"dtype":"F32","shape":[0,1099511627776,1099511627776],"data_offsets":[0,0]}}"#;
    let unknown_type = r#"{"w":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}"#;
    for (header, n_bytes) in [(huge_zero, 0), (unknown_type, 1)] {
        let result = Params::from_safetensors(&file(header, n_bytes), &Device::Cpu);
        assert!(matches!(result, Err(Error::InvalidArgument { .. })), "{header}: {result:?}");
    }
    let mut long_header = u64::MAX.to_le_bytes().to_vec();
    long_header.push(b'{');
    let result = Params::from_safetensors(&long_header, &Device::Cpu);
    assert!(matches!(result, Err(Error::UnexpectedEnd { expected: u64::MAX, .. })), "{result:?}");
}

#[test]
fn what_the_format_cannot_hold_is_refused_on_writing() {
    let mut params = Params::new();
    params.insert("__metadata__", ParamKind::Weight, tensor(&[1.0], &[1]));
    assert!(params.to_safetensors().is_err());
    let mut params = Params::new();
    params.insert("w", ParamKind::Weight, tensor(&[1.0], &[1]).to_dtype(DType::F8E4M3).unwrap());
    let error = params.to_safetensors().unwrap_err().to_string();
    assert!(error.contains("element type of w"), "{error}");
}

#[test]
fn strided_views_are_written_as_they_look() {
    let mut params = Params::new();
    params.insert("t", ParamKind::Weight, tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).t().unwrap());
    let read = Params::from_safetensors(&params.to_safetensors().unwrap(), &Device::Cpu).unwrap();
    assert_eq!(f32s(&read, "t"), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
}

#[test]
fn varmaps_go_in_and_out_in_the_order_of_names() {
    let map = VarMap::new();
    let var = Var::from_tensor(&tensor(&[1.0, 2.0], &[1, 2])).unwrap();
    map.data().lock().unwrap().insert("fc.weight".into(), var.clone());
    map.data().lock().unwrap().insert("fc.bias".into(), Var::from_tensor(&tensor(&[3.0], &[1])).unwrap());
    map.data()
        .lock()
        .unwrap()
        .insert("bn.running_var".into(), Var::from_tensor(&tensor(&[1.0], &[1])).unwrap());
    let mut params = Params::from_varmap(&map).unwrap();
    let kinds: Vec<_> = params.iter().map(|param| (param.name.as_str(), param.kind)).collect();
    let expected = [
        ("bn.running_var", ParamKind::Buffer),
        ("fc.bias", ParamKind::Bias),
        ("fc.weight", ParamKind::Weight),
    ];
    assert_eq!(kinds, expected);

    // A snapshot: what happens to the variable afterwards does not reach it.
    var.set(&tensor(&[9.0, 9.0], &[1, 2])).unwrap();
    assert_eq!(f32s(&params, "fc.weight"), [1.0, 2.0]);
    params.assign_to(&map).unwrap();
    assert_eq!(var.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [1.0, 2.0]);

    let copy = params.to_varmap().unwrap();
    assert_eq!(
        Params::from_varmap(&copy).unwrap().to_safetensors().unwrap(),
        params.to_safetensors().unwrap()
    );

    params.insert("fc.bias", ParamKind::Bias, tensor(&[7.0, 7.0], &[2]));
    params.insert("bn.running_var", ParamKind::Buffer, tensor(&[5.0], &[1]));
    assert!(matches!(params.assign_to(&map), Err(Error::ShapeMismatch { .. })));
    params.remove("fc.bias");
    params.insert("other", ParamKind::Bias, tensor(&[7.0], &[1]));
    assert!(matches!(params.assign_to(&map), Err(Error::NotFound { .. })));
    // Refused as a whole: the part that would have fitted was not written.
    assert_eq!(f32s(&Params::from_varmap(&map).unwrap(), "bn.running_var"), [1.0]);
}

fn specs(order: &[&str]) -> ParamSpecs {
    let mut specs = ParamSpecs::new();
    for &name in order {
        let (shape, kind, init) = match name {
            "w" => (vec![20, 30], ParamKind::Weight, Init::KaimingUniform { fan_in: 30 }),
            "v" => (vec![5], ParamKind::Weight, Init::Uniform(0.1)),
            _ => (vec![20], ParamKind::Bias, Init::Zeros),
        };
        specs.push(ParamSpec { name: name.into(), shape, kind, init }).unwrap();
    }
    specs
}

#[test]
fn first_values_depend_on_seed_and_name_alone() {
    let both = specs(&["w", "b"]).init(1, &Device::Cpu).unwrap();
    let more = specs(&["v", "b", "w"]).init(1, &Device::Cpu).unwrap();
    assert_eq!(names(&both), ["w", "b"]);
    assert_eq!(f32s(&both, "w"), f32s(&more, "w"));
    assert_ne!(f32s(&both, "w"), f32s(&specs(&["w"]).init(2, &Device::Cpu).unwrap(), "w"));
    assert!(f32s(&both, "w").iter().all(|x| x.abs() <= (6.0_f32 / 30.0).sqrt()));
    assert_eq!(f32s(&both, "b"), [0.0; 20]);
    assert_eq!(both.kind("b"), Some(ParamKind::Bias));
}

#[test]
fn declarations_order_and_check_loaded_parameters() {
    let declared = specs(&["w", "b"]);
    let loaded = specs(&["b", "w"]).init(1, &Device::Cpu).unwrap();
    assert_eq!(names(&loaded.declared(&declared).unwrap()), ["w", "b"]);
    assert!(matches!(loaded.declared(&specs(&["w", "b", "v"])), Err(Error::NotFound { .. })));
    assert!(matches!(loaded.declared(&specs(&["w"])), Err(Error::InvalidArgument { .. })));
    let mut wrong = loaded;
    wrong.insert("b", ParamKind::Bias, tensor(&[1.0], &[1]));
    assert!(matches!(wrong.declared(&declared), Err(Error::ShapeMismatch { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_bytes_never_panic(header in ".{0,80}", tail in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut bytes = file(&header, 0);
        bytes.extend(&tail);
        drop(Params::from_safetensors(&bytes, &Device::Cpu));
        drop(Params::from_safetensors(&tail, &Device::Cpu));
    }

    #[test]
    fn any_floats_survive_a_file(words in prop::collection::vec(any::<u32>(), 0..50)) {
        let values: Vec<f32> = words.iter().map(|&word| f32::from_bits(word)).collect();
        let mut params = Params::new();
        params.insert("w", ParamKind::Weight, tensor(&values, &[values.len()]));
        let read = Params::from_safetensors(&params.to_safetensors().unwrap(), &Device::Cpu).unwrap();
        prop_assert_eq!(f32s(&read, "w").iter().map(|x| x.to_bits()).collect::<Vec<_>>(), words);
    }
}

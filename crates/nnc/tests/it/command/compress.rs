//! `nnc compress`, `nnc inspect`, `nnc unpack`: the whole round.

use std::path::PathBuf;

use nnc::archive::Archive;
use nnc_core::candle::{DType, Device, Tensor};
use nnc_core::params::{ParamKind, Params};

use super::{Dir, args, nnc_ok};

const RECIPE: &str = r#"
    [[layer]]
    match = "fc1.weight"
    prune = { density = 0.1 }
    share = { bits = 4 }

    [[layer]]
    match = "fc2.*"
    share = { bits = 3 }
    store = { huffman = false }
"#;

/// Numbers that look like trained weights: a bell shape, no two alike.
fn bell(shape: &[usize], key: &str) -> Tensor {
    let mut rng = nnc_core::rng::Rng::keyed(11, key, &[]);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| 0.1 * rng.normal()).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn model() -> Params {
    let mut params = Params::new();
    params.insert("fc1.weight", ParamKind::Weight, bell(&[50, 80], "fc1"));
    params.insert("fc1.bias", ParamKind::Bias, bell(&[50], "bias"));
    params.insert("fc2.weight", ParamKind::Weight, bell(&[10, 50], "fc2"));
    params.insert("half", ParamKind::Weight, bell(&[4, 4], "half").to_dtype(DType::F16).unwrap());
    params.insert("steps", ParamKind::Buffer, Tensor::new(70_000_i64, &Device::Cpu).unwrap());
    params
}

fn compress(dir: &Dir) -> PathBuf {
    let (input, recipe) = (dir.path("model.safetensors"), dir.write("recipe.toml", RECIPE));
    model().save(&input).unwrap();
    let output = dir.path("model.nnc");
    let printed = nnc_ok(args([&"compress" as &dyn AsRef<_>, &input, &"--recipe", &recipe, &"-o", &output]));
    let n_bytes = std::fs::metadata(&output).unwrap().len();
    assert!(printed.contains(&format!("model.nnc: {n_bytes} bytes, ")), "{printed}");
    output
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn compressing_and_unpacking_keeps_what_the_recipe_keeps() {
    let dir = Dir::new();
    let archive = compress(&dir);
    let restored = dir.path("restored.safetensors");
    let printed = nnc_ok(args([&"unpack" as &dyn AsRef<_>, &archive, &"-o", &restored]));
    assert!(printed.contains("5 tensors, 4567 numbers"), "{printed}");
    let (before, after) = (model(), Params::load(&restored, &Device::Cpu).unwrap());
    assert_eq!(after.names().collect::<Vec<_>>(), before.names().collect::<Vec<_>>());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((before.kind, before.tensor.dims()), (after.kind, after.tensor.dims()), "{}", before.name);
    }
    // Bit for bit what is in the archive...
    let stored = Archive::open(&archive).unwrap().params(&Device::Cpu).unwrap();
    assert_eq!(stored.to_safetensors().unwrap(), std::fs::read(&restored).unwrap());
    // ...which for tensors that no pattern matches is what was in the model.
    let same = |name| {
        let before = before.tensor(name).unwrap().to_dtype(DType::F32).unwrap();
        assert_eq!(floats(after.tensor(name).unwrap()), floats(&before), "{name}");
    };
    ["fc1.bias", "half", "steps"].into_iter().for_each(same);
    check_pruned_and_shared(&before, &after);
}

fn check_pruned_and_shared(before: &Params, after: &Params) {
    let (dense, pruned) =
        (floats(before.tensor("fc1.weight").unwrap()), floats(after.tensor("fc1.weight").unwrap()));
    let kept: Vec<usize> = (0..pruned.len()).filter(|&i| pruned[i] != 0.0).collect();
    assert_eq!(kept.len(), 400);
    let threshold = kept.iter().map(|&i| dense[i].abs()).fold(f32::INFINITY, f32::min);
    assert!(
        (0..dense.len()).all(|i| pruned[i] != 0.0 || dense[i].abs() <= threshold),
        "the largest are kept"
    );
    for (name, n_shared) in [("fc1.weight", 15), ("fc2.weight", 8)] {
        let mut values = floats(after.tensor(name).unwrap());
        values.retain(|&value| value != 0.0);
        values.sort_by(f32::total_cmp);
        values.dedup();
        assert!(values.len() <= n_shared, "{name}: {values:?}");
    }
}

#[test]
fn equal_inputs_give_equal_bytes() {
    let (one, other) = (Dir::new(), Dir::new());
    assert_eq!(std::fs::read(compress(&one)).unwrap(), std::fs::read(compress(&other)).unwrap());
}

#[test]
fn inspect_accounts_for_every_byte_in_text_and_json() {
    let dir = Dir::new();
    let archive = compress(&dir);
    let n_bytes = std::fs::metadata(&archive).unwrap().len();
    let json = nnc_ok(args([&"inspect" as &dyn AsRef<_>, &archive, &"--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["file_bytes"].as_u64(), json["n_params"].as_u64()), (Some(n_bytes), Some(4567)));
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["bytes"].as_u64().unwrap()).sum::<u64>(), n_bytes);

    let text = nnc_ok(args([&"inspect" as &dyn AsRef<_>, &archive]));
    assert!(text.contains("fc1.weight  50×80"), "{text}");
    let ledger = text.split("\n\n").nth(1).unwrap();
    let mut lines = ledger.lines();
    // Numbers end where the head of their column ends.
    let header = lines.next().unwrap();
    let end = header.find("bytes").unwrap() + "bytes".len();
    let column: Vec<u64> =
        lines.map(|line| line[..end].rsplit(' ').next().unwrap().parse().unwrap()).collect();
    let (all, parts) = column.split_last().unwrap();
    assert_eq!((*all, parts.iter().sum::<u64>()), (n_bytes, n_bytes), "{text}");
    assert_eq!(parts.len(), rows.len());
}

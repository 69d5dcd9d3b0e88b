//! `nnc eval`: a network that is known to be right but for some labels.

use nnc::archive::{Archive, Meta};
use nnc_core::candle::{Device, Tensor};
use nnc_core::data::Normalization;
use nnc_core::network::Network;
use nnc_core::params::ParamKind;
use nnc_core::weight::{Form, Order, StoredWeight};

use super::{Dir, args, nnc, nnc_ok};

/// Images of 2×2 pixels, the brightest of which says the class.
fn images(n: usize) -> Vec<u8> {
    let image =
        |i: usize| (0..4).map(move |pixel| if pixel == i % 4 { 200 } else { u8::try_from(i % 90).unwrap() });
    [&[0, 0, 8, 3][..], &u32::try_from(n).unwrap().to_be_bytes(), &[0, 0, 0, 2, 0, 0, 0, 2]]
        .concat()
        .into_iter()
        .chain((0..n).flat_map(image))
        .collect()
}

/// The right classes, but for each tenth image.
fn labels(n: usize) -> Vec<u8> {
    let label = |i: usize| u8::try_from(if i % 10 == 9 { i + 1 } else { i } % 4).unwrap();
    [&[0, 0, 8, 1][..], &u32::try_from(n).unwrap().to_be_bytes()]
        .concat()
        .into_iter()
        .chain((0..n).map(label))
        .collect()
}

/// A directory with a set of 5,100 training and 70 test images.
fn data() -> Dir {
    let dir = Dir::new();
    for (name, n) in [("train", 5_100), ("t10k", 70)] {
        dir.write(&format!("{name}-images-idx3-ubyte"), images(n));
        dir.write(&format!("{name}-labels-idx1-ubyte"), labels(n));
    }
    dir
}

/// The network whose logits are the pixels.
fn archive(output: &str) -> Archive {
    let (network, _) = Network::builder()
        .input("image", &[1, 2, 2])
        .flatten("flat")
        .linear("ip", 4)
        .output(output)
        .build()
        .unwrap();
    let identity: Vec<f32> = (0..16_u8).map(|i| f32::from(u8::from(i % 5 == 0))).collect();
    let identity = Tensor::from_vec(identity, (4, 4), &Device::Cpu).unwrap();
    let weight = StoredWeight::dense(&identity).unwrap().rearrange(Form::Mask, Order::RowMajor).unwrap();
    let bias = StoredWeight::dense(&Tensor::new(&[0.0_f32; 4], &Device::Cpu).unwrap()).unwrap();
    Archive {
        network: Some(network),
        weights: vec![
            ("ip.weight".into(), ParamKind::Weight, weight),
            ("ip.bias".into(), ParamKind::Bias, bias),
        ],
        meta: Meta { normalization: Some(Normalization::new(vec![0.5], vec![0.25]).unwrap()) },
    }
}

#[test]
fn the_network_in_the_file_is_run_on_the_test_set() {
    let data = data();
    let file = data.path("identity.nnc");
    archive("logits").write_file(&file).unwrap();
    let text = nnc_ok(args([&"eval" as &dyn AsRef<_>, &file, &"--data", &data.0.path()]));
    assert!(text.starts_with("error    10.00 % (7 of 70)\naccuracy 90.00 %\n"), "{text}");
    let json = nnc_ok(args([&"eval" as &dyn AsRef<_>, &file, &"--data", &data.0.path(), &"--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["n_errors"].as_u64(), json["n_images"].as_u64()), (Some(7), Some(70)));
}

#[test]
fn the_stored_normalization_is_used() {
    // Class 0 gets 0.3 for nothing. Of pixels from 0 to 1 the bright one (0.78) still wins over a dark one (at most 0.35)
    // with that; but normalised to 0.07 and below 0, it loses, and the answer is always 0.
    let data = data();
    let file = data.path("biased.nnc");
    let run = |meta: Meta| {
        let mut biased = archive("answer");
        let network =
            Network::builder().input("image", &[1, 2, 2]).flatten("flat").relu("relu").linear("ip", 4);
        biased.network = Some(network.output("answer").build().unwrap().0);
        let bias = Tensor::new(&[0.3_f32, 0.0, 0.0, 0.0], &Device::Cpu).unwrap();
        biased.weights[1].2 = StoredWeight::dense(&bias).unwrap();
        biased.meta = meta;
        biased.write_file(&file).unwrap();
        nnc_ok(args([&"eval" as &dyn AsRef<_>, &file, &"--data", &data.0.path()]))
    };
    let text = run(Meta::default());
    assert!(text.contains("(7 of 70)"), "{text}");
    let n_not_0 = labels(70)[8..].iter().filter(|&&label| label != 0).count();
    let text = run(Meta { normalization: Some(Normalization::new(vec![0.5], vec![4.0]).unwrap()) });
    assert!(text.contains(&format!("({n_not_0} of 70)")), "{text}");
}

#[test]
fn what_cannot_be_run_is_explained() {
    let data = data();
    let file = data.path("weights.nnc");
    let mut weights_only = archive("logits");
    weights_only.network = None;
    weights_only.write_file(&file).unwrap();
    let run = nnc(args([&"eval" as &dyn AsRef<_>, &file, &"--data", &data.0.path()]));
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("weights.nnc: there is no network in it, only weights"), "{}", run.stderr);

    archive("logits").write_file(&file).unwrap();
    let run = nnc(args([&"eval" as &dyn AsRef<_>, &file, &"--data", &data.path("nowhere")]));
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("nowhere"), "{}", run.stderr);

    let mnist = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/mnist");
    let run = nnc(args([&"eval" as &dyn AsRef<_>, &file, &"--data", &mnist]));
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("the network takes [1, 2, 2], the images are 1×28×28"), "{}", run.stderr);
}

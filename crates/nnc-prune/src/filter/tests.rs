//! Which filters go: Li's rules, the controls, and what is refused.

use nnc_core::candle::{Device, Tensor};
use nnc_core::network::zoo::{cifar_resnet, cifar_vgg_16, resnet_34};
use nnc_core::network::{Conv, Linear};
use nnc_core::params::ParamSpecs;
use proptest::prelude::*;

use super::*;

fn init((network, specs): (Network, ParamSpecs)) -> (Network, Params) {
    let params = specs.init(1, &Device::Cpu).unwrap();
    (network, params)
}

/// Three linear layers whose weights are given, the last all ones.
fn linear<const N: usize>(a: &[[f32; 2]; N], b: &[Vec<f32>]) -> (Network, Params) {
    let (network, mut params) = init(
        Network::builder()
            .input("x", &[2])
            .linear("a", Linear::new(a.len()).without_bias())
            .relu("relu")
            .linear("b", Linear::new(b.len()).without_bias())
            .linear("c", 1)
            .output("y")
            .build()
            .unwrap(),
    );
    params.replace("a.weight", Tensor::new(a, &Device::Cpu).unwrap()).unwrap();
    params.replace("b.weight", Tensor::new(b.to_vec(), &Device::Cpu).unwrap()).unwrap();
    (network, params)
}

fn kept(
    network: &Network,
    params: &Params,
    layers: &[(&str, f64)],
    config: &FilterConfig,
    of: &str,
) -> Vec<usize> {
    let groups = Groups::of(network, params).unwrap();
    let cut = choose(&groups, params, layers, config).unwrap();
    cut.kept(network.value(of).unwrap())
}

#[test]
fn the_filter_with_the_smaller_sum_goes() {
    let (network, params) = linear(&[[1.0, -2.0], [-0.5, 0.5]], &[vec![1.0, 1.0]]);
    let half = |order| {
        let config = FilterConfig { order, ..FilterConfig::default() };
        kept(&network, &params, &[("a", 0.5)], &config, "a")
    };
    assert_eq!(half(Order::Smallest), [0]);
    assert_eq!(half(Order::Largest), [1]);
    let (small, small_params) = prune(&network, &params, &[("a", 0.5)], &FilterConfig::default()).unwrap();
    assert_eq!(small_params.tensor("a.weight").unwrap().to_vec2::<f32>().unwrap(), [[1.0, -2.0]]);
    assert_eq!(small_params.tensor("b.weight").unwrap().dims(), [1, 1]);
    assert_eq!(small.node("a").unwrap(), network.node("a").unwrap());
}

#[test]
fn the_two_norms_can_differ() {
    let (network, params) = linear(&[[3.0, 0.0], [2.0, 2.0]], &[vec![1.0, 1.0]]);
    let with = |norm| {
        let config = FilterConfig { norm, ..FilterConfig::default() };
        kept(&network, &params, &[("a", 0.5)], &config, "a")
    };
    assert_eq!(with(Norm::L1), [1]);
    assert_eq!(with(Norm::L2), [0]);
}

#[test]
fn greedy_leaves_out_the_inputs_that_are_gone() {
    // `a` loses filter 1, on which filter 0 of `b` lives.
    let (network, params) = linear(&[[5.0, 5.0], [0.1, 0.1]], &[vec![0.5, 9.0], vec![1.0, 1.0]]);
    let with = |selection| {
        let config = FilterConfig { selection, ..FilterConfig::default() };
        kept(&network, &params, &[("b", 0.5), ("a", 0.5)], &config, "b")
    };
    assert_eq!(with(Selection::Independent), [0]);
    assert_eq!(with(Selection::Greedy), [1]);
    // Alone, `b` has nothing to leave out.
    let greedy = FilterConfig { selection: Selection::Greedy, ..FilterConfig::default() };
    assert_eq!(kept(&network, &params, &[("b", 0.5)], &greedy, "b"), [0]);
}

#[test]
fn pruned_again_the_rest_shrinks_on() {
    let (mut network, mut params) = init(cifar_resnet(8, 10).unwrap());
    let mut widths = Vec::new();
    for _ in 0..3 {
        (network, params) =
            prune(&network, &params, &[("layer1.0.conv1", 0.5)], &FilterConfig::default()).unwrap();
        widths.push(params.tensor("layer1.0.conv1.weight").unwrap().dim(0).unwrap());
    }
    assert_eq!(widths, [8, 4, 2]);
}

#[test]
fn counts_kept_are_the_floor_rounded_up_to_the_multiple() {
    for (n, share, width, multiple, expected) in [
        (10, 0.9, 1, 1, 1),
        (16, 0.1, 1, 1, 14),
        (64, 0.3, 1, 1, 44),
        (64, 0.3, 1, 8, 48),
        (64, 0.0, 1, 16, 64),
        (20, 0.3, 1, 16, 16),
        (20, 0.1, 1, 16, 20),
        (12, 0.5, 4, 8, 6),
        (11, 0.5, 4, 8, 6),
        (3, 0.9, 1, 1, 0),
    ] {
        assert_eq!(n_kept(n, share, width, multiple), expected, "{n} {share} {width} {multiple}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn exactly_the_filters_with_the_smallest_norms_go(seed in 0..1000_u64, share in 0.0..0.95_f64, l1 in any::<bool>()) {
        let built = Network::builder()
            .input("x", &[3, 5, 5])
            .conv2d("a", Conv::new(24, 3))
            .flatten("flatten")
            .linear("ip", 2)
            .output("y")
            .build()
            .unwrap();
        let params = built.1.init(seed, &Device::Cpu).unwrap();
        let norm = if l1 { Norm::L1 } else { Norm::L2 };
        let config = FilterConfig { norm, ..FilterConfig::default() };
        let kept = kept(&built.0, &params, &[("a", share)], &config, "a");
        prop_assert_eq!(kept.len(), n_kept(24, share, 1, 1));
        let norms = filter_norms(params.tensor("a.weight").unwrap(), norm).unwrap();
        let least_kept = kept.iter().map(|&i| norms[i]).fold(f32::INFINITY, f32::min);
        prop_assert!((0..24).filter(|i| !kept.contains(i)).all(|i| norms[i] <= least_kept));
    }
}

#[test]
fn random_filters_depend_on_seed_and_layer_alone() {
    let (network, params) = init(cifar_resnet(8, 10).unwrap());
    let with = |seed, layers: &[(&str, f64)]| {
        let config = FilterConfig { order: Order::Random { seed }, ..FilterConfig::default() };
        kept(&network, &params, layers, &config, "layer2.0.conv1")
    };
    let alone = with(1, &[("layer2.0.conv1", 0.5)]);
    assert_eq!(with(1, &[("layer1.0.conv1", 0.5), ("layer2.0.conv1", 0.5)]), alone);
    assert_ne!(with(2, &[("layer2.0.conv1", 0.5)]), alone);
    assert_eq!(alone.len(), 16);
}

#[test]
fn the_last_convolution_of_a_block_follows_the_projection() {
    let (network, params) = init(resnet_34(10).unwrap());
    let default = FilterConfig::default();
    // Named by the projection, by the block's own convolution, or by one behind an identity further on: one choice.
    let by = |layer| kept(&network, &params, &[(layer, 0.2)], &default, "layer3.4.conv2");
    let chosen = by("layer3.0.downsample.0");
    assert_eq!(chosen.len(), 204);
    assert_eq!((&by("layer3.0.conv2"), &by("layer3.3.conv2")), (&chosen, &chosen));
    let norms = filter_norms(params.tensor("layer3.0.downsample.0.weight").unwrap(), Norm::L1).unwrap();
    let least_kept = chosen.iter().map(|&i| norms[i]).fold(f32::INFINITY, f32::min);
    assert!((0..256).filter(|i| !chosen.contains(i)).all(|i| norms[i] <= least_kept));
    // The second name of a group has nothing left to cut.
    let both = [("layer3.0.downsample.0", 0.2), ("layer3.1.conv2", 0.2)];
    assert_eq!(kept(&network, &params, &both, &default, "layer3.4.conv2"), chosen);
}

#[test]
fn an_identity_shortcut_leaves_its_block_alone_unless_all_members_decide() {
    let (network, params) = init(cifar_resnet(8, 10).unwrap());
    let groups = Groups::of(&network, &params).unwrap();
    let layers = [("layer1.0.conv2", 0.25)];
    let refused = choose(&groups, &params, &layers, &FilterConfig::default()).map(|cut| cut.n_cut());
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("`conv1`, `layer1.0.conv2`, `layer2.0.conv2`, `layer3.0.conv2`"), "{message}");
    for coupled in [Coupled::Sum, Coupled::Mean] {
        let config = FilterConfig { coupled, ..FilterConfig::default() };
        let (_, small) = prune(&network, &params, &layers, &config).unwrap();
        let rows = |name: &str| small.tensor(name).unwrap().dims()[..2].to_vec();
        assert_eq!((rows("conv1.weight"), rows("layer3.0.conv2.weight")), (vec![12, 3], vec![60, 64]));
        assert_eq!(rows("layer2.0.conv1.weight"), [32, 12]);
    }
}

#[test]
fn the_sum_counts_filters_and_the_kernels_that_read_them() {
    // Filter 0 has norm 2 and is read with 1, filter 1 has norm 1 and is read with 8.
    let (network, params) = linear(&[[1.0, 1.0], [1.0, 0.0]], &[vec![1.0, 4.0], vec![0.0, -4.0]]);
    let with = |coupled| {
        let config = FilterConfig { coupled, ..FilterConfig::default() };
        kept(&network, &params, &[("a", 0.5)], &config, "a")
    };
    assert_eq!(with(Coupled::Projection), [0]);
    assert_eq!((with(Coupled::Sum), with(Coupled::Mean)), (vec![1], vec![1]));
}

#[test]
fn resnet_56_a_has_the_counts_of_li_2017() {
    let (network, params) = init(cifar_resnet(56, 10).unwrap());
    // Layer 2b is the first of block b = 1 … 27; 16, 20, 38 and 54 are left alone.
    let names: Vec<String> = (1..=27)
        .filter(|b| ![16, 20, 38, 54].contains(&(2 * b)))
        .map(|b| format!("layer{}.{}.conv1", (b - 1) / 9 + 1, (b - 1) % 9))
        .collect();
    let layers: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 0.1)).collect();
    let (small, small_params) = prune(&network, &params, &layers, &FilterConfig::default()).unwrap();
    let macs = small.cost(&small_params).unwrap().total().macs;
    assert_eq!((macs + 5_000) / 10_000, 11_244, "{macs}");
}

#[test]
fn wrong_arguments_are_named() {
    let (network, mut params) = init(cifar_vgg_16(10).unwrap());
    let message = |params: &Params, layers: &[(&str, f64)], config: &FilterConfig| {
        prune(&network, params, layers, config).unwrap_err().to_string()
    };
    let default = FilterConfig::default();
    assert!(
        message(&params, &[("conv99", 0.5)], &default)
            .starts_with("no layer named `conv99`; there are: conv1, ")
    );
    assert!(message(&params, &[("relu1", 0.5)], &default).contains("no layer named `relu1`"));
    for share in [-0.1, 1.0, f64::NAN] {
        assert!(message(&params, &[("conv1", share)], &default).contains("share of `conv1`"));
    }
    assert!(message(&params, &[("linear2", 0.5)], &default).contains("an output of the network"));
    assert!(message(&params, &[("conv1", 0.99)], &default).contains("one that leaves a filter"));
    assert!(message(&params, &[("conv1", 0.1), ("conv1", 0.2)], &default).contains("`conv1` twice"));
    assert!(
        message(&params, &[("conv1", 0.1)], &FilterConfig { multiple: 0, ..default }).contains("multiple")
    );
    let mut weight = vec![0.5_f32; 64 * 27];
    weight[100] = f32::NAN;
    let weight = Tensor::from_vec(weight, (64, 3, 3, 3), &Device::Cpu).unwrap();
    params.replace("conv1.weight", weight).unwrap();
    assert!(
        message(&params, &[("conv1", 0.5)], &default).contains("`conv1.weight`: expected numbers, got NaN")
    );
}

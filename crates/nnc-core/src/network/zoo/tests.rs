//! The networks of Li 2017 have the sizes and costs that their papers publish.

use super::super::{Network, Op};
use super::{cifar_resnet, cifar_vgg_16, resnet_34, resnet_50};
use crate::params::ParamSpecs;

/// Multiply-accumulates; weights; all that is trained.
fn counts((network, specs): &(Network, ParamSpecs)) -> (u64, u64, u64) {
    let total = network.cost(specs).unwrap().total();
    (total.macs, total.weights, total.params())
}

fn shape((network, specs): &(Network, ParamSpecs), value: &str) -> Vec<usize> {
    network.infer_shapes(specs).unwrap()[network.value(value).unwrap()].clone()
}

#[test]
fn cifar_vgg_16_has_the_cost_of_li_2017() {
    let model = cifar_vgg_16(10).unwrap();
    // 3.13e8 and 1.5e7 in the paper's table 1; 13 convolutions, 262,144 and 5,120 in the linear layers.
    assert_eq!(counts(&model), (313_463_808, 14_977_728, 14_977_728 + 2 * (4_224 + 512) + 10));
    assert_eq!(shape(&model, "flatten"), [512]);
    assert_eq!(shape(&model, "pool1"), [64, 16, 16]);
}

#[test]
fn cifar_resnets_have_the_costs_of_li_2017() {
    for (depth, macs, weights) in [(56, 125_485_696, 848_944), (110, 252_887_680, 1_719_856)] {
        let model = cifar_resnet(depth, 10).unwrap();
        let (got_macs, got_weights, _) = counts(&model);
        assert_eq!((got_macs, got_weights), (macs, weights), "{depth}");
        // Half of the layers end a block.
        let n_adds = model.0.nodes().iter().filter(|node| node.op == Op::Add).count();
        assert_eq!(n_adds, (depth - 2) / 2);
    }
    // He et al., CVPR 2016, table 6: 0.27 million parameters.
    assert_eq!(counts(&cifar_resnet(20, 10).unwrap()).2, 269_722);
}

#[test]
fn option_a_changes_size_without_parameters() {
    let model = cifar_resnet(20, 10).unwrap();
    assert_eq!(shape(&model, "layer2.0.shortcut.pool"), [16, 16, 16]);
    assert_eq!(shape(&model, "layer2.0.shortcut.pad"), [32, 16, 16]);
    assert_eq!(model.0.node("layer2.0.add").unwrap().inputs, ["layer2.0.bn2", "layer2.0.shortcut.pad"]);
    assert_eq!(model.0.node("layer2.1.add").unwrap().inputs, ["layer2.1.bn2", "layer2.0.relu"]);
    assert!(!model.0.param_names().any(|name| name.contains("shortcut")));
}

#[test]
fn imagenet_resnets_have_the_sizes_of_torchvisions() {
    // torchvision.models: 21,797,672 and 25,557,032 parameters, 3.664 and 4.089 billion multiply-accumulates.
    let (macs, _, params) = counts(&resnet_34(1000).unwrap());
    assert_eq!((macs / 1_000_000, params), (3_663, 21_797_672));
    let model = resnet_50(1000).unwrap();
    let (macs, _, params) = counts(&model);
    assert_eq!((macs / 1_000_000, params), (4_089, 25_557_032));
    assert_eq!(shape(&model, "layer4.2.relu"), [2048, 7, 7]);
    assert!(model.1.get("layer1.0.downsample.0.weight").is_some());
    assert!(model.1.get("layer1.1.downsample.0.weight").is_none());
}

#[test]
fn only_depths_of_6n_plus_2_are_cifar_resnets() {
    for depth in [0, 2, 7, 51, usize::MAX] {
        let message = cifar_resnet(depth, 10).unwrap_err().to_string();
        assert!(message.contains("depth") && message.contains(&depth.to_string()), "{message}");
    }
}

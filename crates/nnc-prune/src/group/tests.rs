//! What stands or falls together, on the topologies of the field.

use nnc_core::network::zoo::{cifar_resnet, resnet_34};
use nnc_core::network::{Builder, Conv};
use nnc_core::params::ParamSpecs;

use super::*;

fn image() -> Builder {
    Network::builder().input("x", &[4, 6, 6])
}

/// The names of the layers of each group that can be cut, with its number of units.
fn free((network, specs): &(Network, ParamSpecs)) -> Vec<(String, usize)> {
    let groups = Groups::of(network, specs).unwrap();
    let free = groups.groups().iter().filter(|group| group.held().is_none());
    free.map(|group| (groups.layer_names(group).join(" "), group.units().len())).collect()
}

fn named(groups: &[(&str, usize)]) -> Vec<(String, usize)> {
    groups.iter().map(|&(names, n)| (names.into(), n)).collect()
}

#[test]
fn the_shortcuts_of_option_a_tie_the_channels_that_run_through_a_stage() {
    let free = free(&cifar_resnet(20, 10).unwrap());
    // The first 16 maps run through all three stages; zero maps let 16 begin in the second and 32 in the third.
    let through = |stages: &[usize]| {
        stages
            .iter()
            .flat_map(|s| (0..3).map(move |i| format!("layer{s}.{i}.conv2")))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lengths: Vec<_> = free.iter().filter(|(names, _)| names.contains("conv2")).cloned().collect();
    assert_eq!(
        lengths,
        [(format!("conv1 {}", through(&[1, 2, 3])), 16), (through(&[2, 3]), 16), (through(&[3]), 32),]
    );
    // The first convolution of each block is free.
    let inner: Vec<usize> =
        free.iter().filter(|(names, _)| !names.contains("conv2")).map(|(_, n)| *n).collect();
    assert_eq!(inner, [16, 16, 16, 32, 32, 32, 64, 64, 64]);
}

#[test]
fn a_projection_keeps_stages_apart() {
    let free = free(&resnet_34(10).unwrap());
    let stage_3 = "layer3.0.conv2 layer3.0.downsample.0 layer3.1.conv2 layer3.2.conv2 layer3.3.conv2 layer3.4.conv2 layer3.5.conv2";
    assert!(free.contains(&(stage_3.into(), 256)), "{free:?}");
    assert_eq!(free.len(), 16 + 4);
}

#[test]
fn a_depthwise_convolution_follows_and_a_gate_joins() {
    let built = image()
        .conv2d("expand", Conv::new(6, 1))
        .conv2d("depthwise", Conv::new(12, 3).padding(1).groups(6))
        .op("pool", Op::GlobalAvgPool2d)
        .conv2d("squeeze", Conv::new(2, 1))
        .conv2d("excite", Conv::new(12, 1))
        .op("gate", Op::Sigmoid)
        .from(&["depthwise", "gate"])
        .op("scaled", Op::Mul)
        .conv2d("project", Conv::new(3, 1))
        .output("y")
        .build()
        .unwrap();
    // Two maps of `depthwise`, so two of `excite`, stand on one of `expand`.
    assert_eq!(free(&built), named(&[("expand depthwise excite", 6), ("squeeze", 2)]));
}

#[test]
fn a_grouped_convolution_loses_the_same_filter_of_each_group() {
    let built = image()
        .conv2d("a", Conv::new(8, 1))
        .conv2d("grouped", Conv::new(6, 1).groups(2))
        .conv2d("b", Conv::new(3, 1))
        .output("y")
        .build()
        .unwrap();
    assert_eq!(free(&built), named(&[("a", 4), ("grouped", 3)]));
    let groups = Groups::of(&built.0, &built.1).unwrap();
    let unit = &groups.units()[groups.units_of(1)[1]];
    assert_eq!(unit.channels_of(1).collect::<Vec<_>>(), [1, 5]);
}

#[test]
fn a_concatenation_keeps_its_parts_apart() {
    let built = image()
        .conv2d("a", Conv::new(2, 1))
        .from(&["x"])
        .conv2d("b", Conv::new(3, 1))
        .from(&["a", "x", "b"])
        .concat("joined")
        .conv2d("c", Conv::new(2, 1))
        .output("y")
        .build()
        .unwrap();
    assert_eq!(free(&built), named(&[("a", 2), ("b", 3)]));
    let groups = Groups::of(&built.0, &built.1).unwrap();
    let joined = groups.units_of(built.0.value("joined").unwrap());
    assert_eq!(groups.group_of(joined[2]).held().unwrap().node, "x");
}

/// What holds the channels of `a` in front of an operator.
#[track_caller]
fn held_by(op: Op) -> String {
    let built =
        image().conv2d("a", Conv::new(4, 1)).op("op", op).flatten("flat").linear("ip", 2).output("y").build();
    let (network, specs) = built.unwrap();
    let groups = Groups::of(&network, &specs).unwrap();
    groups.cut().channels("a", &[0]).unwrap_err().to_string()
}

#[test]
fn operators_that_mix_channels_hold_them() {
    for op in [Op::Softmax, Op::Lrn { size: 3, alpha: 1.0, beta: 0.75, k: 1.0 }] {
        let message = held_by(op);
        assert_eq!(
            message,
            "invalid `cut of `a``: expected channels that can be removed, got channels held by `op`: each of its \
             channels depends on the others"
        );
    }
    let message = held_by(Op::Reshape { shape: vec![2, 2, 36] });
    assert!(message.contains("held by `op`: channels cannot be followed"), "{message}");
}

#[test]
fn a_single_channel_that_multiplies_all_is_held_and_the_others_are_not() {
    let built = image()
        .conv2d("a", Conv::new(4, 1))
        .from(&["x"])
        .conv2d("one", Conv::new(1, 1))
        .from(&["a", "one"])
        .op("scaled", Op::Mul)
        .conv2d("b", Conv::new(2, 1))
        .output("y")
        .build()
        .unwrap();
    assert_eq!(free(&built), named(&[("a", 4)]));
    let groups = Groups::of(&built.0, &built.1).unwrap();
    let message = groups.cut().channels("one", &[0]).unwrap_err().to_string();
    assert!(message.contains("held by `scaled`"), "{message}");
}

#[test]
fn a_name_that_is_no_layer_is_an_error_that_lists_the_layers() {
    let (network, specs) = image()
        .conv2d("a", Conv::new(4, 1))
        .relu("r")
        .flatten("f")
        .linear("ip", 2)
        .output("y")
        .build()
        .unwrap();
    let groups = Groups::of(&network, &specs).unwrap();
    assert_eq!(groups.layer("r").unwrap_err().to_string(), "no layer named `r`; there are: a, ip");
}

//! Table 1 and table 2 by surgery: what is left of each network, counted.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use nnc_core::candle::{Device, Tensor};
use nnc_core::forward;
use nnc_core::network::zoo::{cifar_resnet, cifar_vgg_16, resnet_34};
use nnc_core::network::{Network, Op};
use nnc_core::params::{ParamKind, ParamShapes, ParamSpecs, Params};
use nnc_core::rng::Rng;
use nnc_core::source::{Step, VarSource};
use nnc_core::tap::Taps;
use nnc_prune::filter::{self, FilterConfig};
use nnc_prune::group::Groups;
use nnc_prune::surgery;
use serde_json::{Value, json};

use crate::experiment::{Better, Progress, Row, Rule};

/// The networks that are pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Base {
    Vgg16,
    ResNet56,
    ResNet110,
    ResNet34,
}

impl Base {
    const ALL: [Self; 4] = [Self::Vgg16, Self::ResNet56, Self::ResNet110, Self::ResNet34];

    fn name(self) -> &'static str {
        match self {
            Self::Vgg16 => "vgg-16",
            Self::ResNet56 => "resnet-56",
            Self::ResNet110 => "resnet-110",
            Self::ResNet34 => "resnet-34",
        }
    }

    pub(super) fn build(self) -> nnc_core::Result<(Network, ParamSpecs)> {
        match self {
            Self::Vgg16 => cifar_vgg_16(10),
            Self::ResNet56 => cifar_resnet(56, 10),
            Self::ResNet110 => cifar_resnet(110, 10),
            Self::ResNet34 => resnet_34(1000),
        }
    }

    /// Multiply-accumulates and parameters as the paper prints them.
    fn papers_size(self) -> (f64, f64) {
        match self {
            Self::Vgg16 => (3.13e8, 1.5e7),
            Self::ResNet56 => (1.25e8, 8.5e5),
            Self::ResNet110 => (2.53e8, 1.72e6),
            Self::ResNet34 => (3.64e9, 2.16e7),
        }
    }

    /// How many blocks each stage of a ResNet has.
    fn blocks(self) -> &'static [usize] {
        match self {
            Self::Vgg16 => &[],
            Self::ResNet56 => &[9, 9, 9],
            Self::ResNet110 => &[18, 18, 18],
            Self::ResNet34 => &[3, 4, 6, 3],
        }
    }

    /// The first convolutions of all blocks but those that the paper skips, with their stage's share.
    ///
    /// The paper counts `conv1` as layer 1, so block b begins with layer 2b.
    fn first_convs(self, shares: &[f64], skipped: &[usize]) -> Vec<(String, f64)> {
        let blocks = (1..).zip(self.blocks()).flat_map(|(stage, &n)| (0..n).map(move |i| (stage, i)));
        let layers = (1..).zip(blocks).filter_map(|(block, (stage, i)): (usize, (usize, usize))| {
            let share = shares.get(stage - 1).copied().filter(|&share| share > 0.0)?;
            (!skipped.contains(&(2 * block))).then(|| (format!("layer{stage}.{i}.conv1"), share))
        });
        layers.collect()
    }
}

/// One row of the paper's table: which filters go, and what the paper says is saved.
#[derive(Debug)]
pub(super) struct Variant {
    base: Base,
    letter: &'static str,
    pub(super) layers: Vec<(String, f64)>,
    /// Per cent of multiply-accumulates and of parameters, as printed.
    paper: (f64, f64),
}

impl Variant {
    fn name(&self) -> String {
        format!("{}-{}", self.base.name(), self.letter)
    }
}

/// VGG-16-A: half of conv1 and of conv8 to conv13.
pub(super) fn vgg_16_a() -> Variant {
    let layers = [1, 8, 9, 10, 11, 12, 13].map(|layer| (format!("conv{layer}"), 0.5)).to_vec();
    Variant { base: Base::Vgg16, letter: "a", layers, paper: (34.2, 64.0) }
}

/// The pruned networks of table 1, with the layers of section 4.
fn variants() -> Vec<Variant> {
    let first = |base: Base, letter, shares: &[f64], skipped: &[usize], paper| {
        let layers = base.first_convs(shares, skipped);
        Variant { base, letter, layers, paper }
    };
    let skipped_34 = [2, 8, 14, 16, 26, 28, 30, 32];
    let third_stage = vec![("layer3.0.downsample.0".to_owned(), 0.2)];
    vec![
        vgg_16_a(),
        first(Base::ResNet56, "a", &[0.1, 0.1, 0.1], &[16, 20, 38, 54], (10.4, 9.4)),
        first(Base::ResNet56, "b", &[0.6, 0.3, 0.1], &[16, 18, 20, 34, 38, 54], (27.6, 13.7)),
        first(Base::ResNet110, "a", &[0.5], &[36], (15.9, 2.3)),
        first(Base::ResNet110, "b", &[0.5, 0.4, 0.3], &[36, 38, 74], (38.6, 32.4)),
        first(Base::ResNet34, "a", &[0.3, 0.3, 0.3], &skipped_34, (15.5, 7.6)),
        first(Base::ResNet34, "b", &[0.5, 0.6, 0.4], &skipped_34, (24.2, 10.8)),
        Variant { base: Base::ResNet34, letter: "c", layers: third_stage, paper: (7.5, 7.2) },
    ]
}

/// What is pruned, for the configuration's hash.
pub(super) fn describe() -> Value {
    variants().iter().map(|variant| json!({ "model": variant.name(), "layers": variant.layers })).collect()
}

/// Multiply-accumulates, and the parameters of convolutions and linear layers; those of batch norm the paper leaves out.
#[derive(Debug, Clone, Copy)]
struct Size {
    macs: f64,
    params: f64,
}

fn size(network: &Network, params: &dyn ParamShapes) -> Result<Size> {
    let cost = network.cost(params)?;
    let is_layer = |name: &str| {
        network.node(name).is_ok_and(|node| matches!(node.op, Op::Conv2d { .. } | Op::Linear { .. }))
    };
    let n_params: u64 = cost.nodes.iter().filter(|node| is_layer(&node.name)).map(|node| node.params()).sum();
    Ok(Size { macs: cost.total().macs as f64, params: n_params as f64 })
}

fn per_cent_cut(whole: f64, rest: f64) -> f64 {
    100.0 * (1.0 - rest / whole)
}

/// A network pruned as `variant` says.
pub(super) fn cut(
    variant: &Variant,
    network: &Network,
    params: &Params,
) -> nnc_core::Result<(Network, Params)> {
    filter::prune(network, params, &named(&variant.layers), &FilterConfig::default())
}

fn named(layers: &[(String, f64)]) -> Vec<(&str, f64)> {
    layers.iter().map(|(name, share)| (name.as_str(), *share)).collect()
}

/// The sizes of the whole networks, the cuts of the pruned ones, and VGG-16-A layer by layer.
pub(super) fn rows(seed: u64, progress: &dyn Progress) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let variants = variants();
    let mut done = 0;
    for base in Base::ALL {
        progress.stage(base.name());
        let (network, specs) = base.build()?;
        let params = specs.init(seed, &Device::Cpu)?;
        let whole = size(&network, &params)?;
        let (macs, n_params) = base.papers_size();
        for (what, ours, paper) in [("macs", whole.macs, macs), ("parameters", whole.params, n_params)] {
            let rule = Rule::Within { value: paper, share: 0.01 };
            rows.push(
                Row::new(format!("{}/{what}", base.name()), ours, "", Better::Equal, rule).paper(paper),
            );
        }
        for variant in variants.iter().filter(|variant| variant.base == base) {
            progress.check()?;
            let (small, small_params) = cut(variant, &network, &params)?;
            rows.extend(cut_rows(variant, whole, size(&small, &small_params)?));
            if base == Base::Vgg16 {
                rows.extend(layer_rows(variant, (&network, &params), (&small, &small_params))?);
            }
            if base != Base::ResNet34 {
                rows.push(difference_row(variant, seed, &network, &params)?);
            }
            done += 1;
            progress.fraction(f64::from(done) / variants.len() as f64);
        }
    }
    Ok(rows)
}

fn cut_rows(variant: &Variant, whole: Size, small: Size) -> [Row; 2] {
    let row = |what: &str, ours: f64, paper: f64| {
        let rule = Rule::Equals { value: paper, tolerance: 0.2 };
        Row::new(format!("{}/{what}", variant.name()), ours, "%", Better::Equal, rule)
            .paper(paper)
            .note(&format!("{:+.2} points from the paper", ours - paper))
    };
    [
        row("flop-cut", per_cent_cut(whole.macs, small.macs), variant.paper.0),
        row("parameter-cut", per_cent_cut(whole.params, small.params), variant.paper.1),
    ]
}

/// Table 2: the FLOP cut of each layer of VGG-16-A.
fn layer_rows(variant: &Variant, whole: (&Network, &Params), small: (&Network, &Params)) -> Result<Vec<Row>> {
    let paper = |layer: &str| match layer {
        "conv1" | "conv2" | "conv8" | "linear1" => Some(50.0),
        "conv9" | "conv10" | "conv11" | "conv12" | "conv13" => Some(75.0),
        "linear2" => None,
        _ => Some(0.0),
    };
    let rest: HashMap<String, u64> =
        small.0.cost(small.1)?.nodes.into_iter().map(|node| (node.name, node.macs)).collect();
    let mut rows = Vec::new();
    for node in whole.0.cost(whole.1)?.weighted() {
        if let Some(paper) = paper(&node.name) {
            let rest = rest.get(&node.name).context("surgery keeps names")?;
            let ours = per_cent_cut(node.macs as f64, *rest as f64);
            let rule = Rule::Equals { value: paper, tolerance: 0.2 };
            let metric = format!("{}/{}-flop-cut", variant.name(), node.name);
            rows.push(Row::new(metric, ours, "%", Better::Equal, rule).paper(paper));
        }
    }
    ensure!(rows.len() == 14, "expected 13 convolutions and a linear layer, got {}", rows.len());
    Ok(rows)
}

/// The small network against the whole one with the removed maps forced to 0, over one random image.
fn difference_row(variant: &Variant, seed: u64, network: &Network, params: &Params) -> Result<Row> {
    let groups = Groups::of(network, params)?;
    let cut = filter::choose(&groups, params, &named(&variant.layers), &FilterConfig::default())?;
    // The choice reads weights alone, so new statistics do not change it; with shifts there is something to leave behind.
    let params = &shifted(params, seed)?;
    let (small, small_params) = surgery::apply(&cut, params)?;
    let shape = &network.inputs()[0].shape;
    let mut rng = Rng::keyed(seed, "li2017/image", &[]);
    let image: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    let image = Tensor::from_vec(image, shape.as_slice(), &Device::Cpu)?.unsqueeze(0)?;
    let logits = |network: &Network, params: &Params, taps: &Taps| -> Result<Vec<f32>> {
        let source = VarSource::new(params)?;
        let outputs = forward::run(network, &source, taps, &image, &["logits"], &Step::eval())?;
        Ok(outputs.get("logits")?.flatten_all()?.to_vec1()?)
    };
    let forced = logits(network, params, &surgery::forced(&cut)?)?;
    let got = logits(&small, &small_params, &Taps::new())?;
    let largest = forced.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
    let apart = got.iter().zip(&forced).fold(0.0, |max: f32, (a, b)| max.max((a - b).abs()));
    ensure!(forced.iter().chain(&got).all(|x| x.is_finite()), "{}: a logit is not finite", variant.name());
    let ours = f64::from(apart / largest);
    let metric = format!("{}/distance-to-masked", variant.name());
    Ok(Row::new(metric, ours, "", Better::Lower, Rule::AtMost(1e-5))
        .note("logits of the small network against the whole one with the removed maps forced to 0, over the largest"))
}

/// The parameters with batch norms that do something.
fn shifted(params: &Params, seed: u64) -> Result<Params> {
    let mut shifted = params.clone();
    for param in params.iter().filter(|param| param.kind != ParamKind::Weight) {
        let mut rng = Rng::keyed(seed, &format!("li2017/{}", param.name), &[]);
        let n = param.tensor.elem_count();
        let values: Vec<f32> = match param.name.rsplit('.').next() {
            Some("running_var") => (0..n).map(|_| rng.uniform_in(0.5, 2.0)).collect(),
            Some("weight") => continue,
            _ => (0..n).map(|_| 0.2 * rng.normal()).collect(),
        };
        shifted.replace(&param.name, Tensor::from_vec(values, n, &Device::Cpu)?)?;
    }
    Ok(shifted)
}

/// What the rows do not say.
pub(super) fn notes() -> Vec<String> {
    vec![
        "FLOP counts one multiply-accumulate as one, parameters leave out those of batch norm: so the paper's figures come \
         out. The whole ResNet-34 is 0.7 per cent larger here than in print; its cuts agree."
            .into(),
        "Of n filters floor(n (1 - p)) stay. Weights are drawn, not trained: which filters go changes no count."
            .into(),
        "ResNet-34-C cuts a fifth of the third stage's projection, and with it the same maps of all second convolutions of the \
         stage. The paper gives no more detail than that; read so, it comes out within a tenth of a point."
            .into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_numbered_as_in_the_paper() {
        // 18 blocks a stage: the last of the first stage begins with layer 36, the first of the second with 38.
        let layers = Base::ResNet110.first_convs(&[0.5, 0.4], &[36, 38]);
        assert_eq!(layers.len(), 34);
        assert_eq!(layers[16], ("layer1.16.conv1".into(), 0.5));
        assert_eq!(layers[17], ("layer2.1.conv1".into(), 0.4));
        let without_fourth = Base::ResNet34.first_convs(&[0.3, 0.3, 0.3], &[2, 8, 14, 16, 26, 28, 30, 32]);
        let names: Vec<&str> = without_fourth.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "layer1.1.conv1",
                "layer1.2.conv1",
                "layer2.1.conv1",
                "layer2.2.conv1",
                "layer3.1.conv1",
                "layer3.2.conv1",
                "layer3.3.conv1",
                "layer3.4.conv1",
            ]
        );
    }

    #[test]
    fn the_claimed_cuts_are_the_papers() {
        struct Still;
        impl Progress for Still {
            fn stage(&self, _: &str) {}
            fn fraction(&self, _: f64) {}
            fn cancelled(&self) -> bool {
                false
            }
        }
        let rows = rows(1, &Still).unwrap();
        crate::experiment::row::check_rows(&rows).unwrap();
        for row in &rows {
            assert_ne!(row.verdict(), crate::experiment::row::Verdict::Fails, "{row:?}");
        }
        assert_eq!(rows.len(), 8 + 16 + 14 + 5);
    }
}

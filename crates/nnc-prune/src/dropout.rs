//! Dropout for a network that has lost connections.

use nnc_core::Result;
use nnc_core::network::{Channels, Network, Op};

/// The dropout ratio for retraining: `D_r = D_o · sqrt(C_ir / C_io)`.
///
/// `ratio` is the original ratio `D_o` in `[0, 1)` of the layer; `density` is the share `C_ir / C_io` of its connections
/// that are left, in `[0, 1]`. Fewer connections overfit less, and a layer's connections grow with the square of its neurons.
///
/// # Source
/// Han et al. 2015, §3.2, eq. 1 and 2.
///
/// # Example
/// ```
/// assert_eq!(nnc_prune::dropout::adjusted(0.5, 0.25), 0.25);
/// assert_eq!(nnc_prune::dropout::adjusted(0.5, 1.0), 0.5);
/// ```
pub fn adjusted(ratio: f64, density: f64) -> f64 {
    ratio * density.clamp(0.0, 1.0).sqrt()
}

/// Sets every dropout node of `network` to its ratio in `original`, [`adjusted`] to the density of the layer whose outputs it
/// drops.
///
/// `density` gives the share of connections left of a weight by name; `None` counts as 1.
///
/// # Errors
/// When `original` lacks a node of `network`.
pub fn adjust(
    network: &mut Network,
    original: &Network,
    density: impl Fn(&str) -> Option<f64>,
) -> Result<()> {
    let names: Vec<String> = network.nodes().iter().map(|node| node.name.clone()).collect();
    for (node_idx, name) in names.iter().enumerate() {
        let Op::Dropout { ratio } = original.node(name)?.op else { continue };
        let density = layer_before(network, node_idx).and_then(|layer| density(&format!("{layer}.weight")));
        #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
        let ratio = adjusted(f64::from(ratio), density.unwrap_or(1.0)) as f32;
        network.replace_op(name, Op::Dropout { ratio })?;
    }
    Ok(())
}

/// The nearest linear or convolution node before a node, through operators with one input that keep channels.
fn layer_before(network: &Network, node_idx: usize) -> Option<&str> {
    let mut value = *network.reads(node_idx).first()?;
    loop {
        let before = value.checked_sub(network.inputs().len())?;
        let node = &network.nodes()[before];
        match node.op.traits().channels {
            Channels::Mixes { .. } => return Some(&node.name),
            Channels::Keeps | Channels::Flattens if node.inputs.len() == 1 => {
                value = network.reads(before)[0]
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_follows_the_layer_whose_outputs_it_drops() {
        let (original, _) = Network::builder()
            .input("x", &[4])
            .linear("a", 4)
            .relu("relu")
            .dropout("drop_a", 0.5)
            .linear("b", 4)
            .dropout("drop_b", 0.4)
            .output("y")
            .build()
            .unwrap();
        let mut network = original.clone();
        // Twice: the second call must start from the original ratios, not from the first call's.
        for _ in 0..2 {
            adjust(&mut network, &original, |name| (name == "a.weight").then_some(0.25)).unwrap();
        }
        assert_eq!(network.node("drop_a").unwrap().op, Op::Dropout { ratio: 0.25 });
        assert_eq!(network.node("drop_b").unwrap().op, Op::Dropout { ratio: 0.4 });
    }

    #[test]
    fn the_ratio_follows_the_root_of_the_density() {
        for (density, expected) in
            [(0.08, 0.141_421), (1.0 / 9.0, 0.166_667), (0.26, 0.254_951), (0.5, 0.353_553), (0.0, 0.0)]
        {
            let got = adjusted(0.5, density);
            assert!((got - expected).abs() < 5e-7, "density {density}: expected {expected}, got {got}");
        }
    }
}

//! Which layer's norms decide for a group: Li's rule for residuals.

use nnc_core::network::{Channels, Network, Op};
use nnc_core::{Error, Result};

use crate::group::{Group, Groups};

/// The index of the layer whose filters are ranked for `group`.
///
/// One layer decides for itself and for the depthwise convolutions behind it. Where a residual ties several, it is the
/// projection on a shortcut.
///
/// # Errors
/// [`Error::InvalidArgument`] when there is no projection or more than one, naming the layers.
pub(super) fn lead(groups: &Groups<'_>, group: &Group) -> Result<usize> {
    let network = groups.network();
    let leaders: Vec<usize> =
        group.layers().iter().copied().filter(|&layer| !follows(network, groups, layer)).collect();
    if let [only] = leaders[..] {
        return Ok(only);
    }
    let mut projections: Vec<usize> =
        leaders.iter().copied().filter(|&layer| is_projection(network, layer)).collect();
    projections.dedup();
    match projections[..] {
        [projection] => Ok(projection),
        _ => {
            let names = groups.layer_names(group).join("`, `");
            let got = format!("{} projections for `{names}`, whose maps are added", projections.len());
            let expected = "one shortcut projection to decide for all (or Coupled::Sum, Coupled::Mean)";
            Err(Error::invalid("residual", expected, got))
        }
    }
}

/// Whether a layer is depthwise, so that its maps are those of the layer before it.
fn follows(network: &Network, groups: &Groups<'_>, layer: usize) -> bool {
    let n_in = groups.shapes()[network.reads(layer)[0]][0];
    matches!(network.nodes()[layer].op.traits().channels, Channels::Mixes { groups } if groups > 1 && groups == n_in)
}

/// Whether a layer stands alone on a branch of an addition whose other branch has more layers from the same value on.
fn is_projection(network: &Network, layer: usize) -> bool {
    let adds = network.nodes().iter().enumerate().filter(|(_, node)| node.op == Op::Add);
    adds.map(|(add, _)| branches(network, add)).any(|branches| {
        branches.contains(&Some(layer))
            && branches.iter().flatten().any(|&other| other != layer && reaches_round(network, layer, other))
    })
}

/// Per input of an addition the layer that yields it, if only per-channel operators stand between.
fn branches(network: &Network, add: usize) -> Vec<Option<usize>> {
    let walk = |&read: &usize| {
        let mut value = read;
        loop {
            let node_idx = value.checked_sub(network.inputs().len())?;
            match network.nodes()[node_idx].op.traits().channels {
                Channels::Mixes { .. } => return Some(node_idx),
                Channels::Keeps if network.reads(node_idx).len() == 1 => value = network.reads(node_idx)[0],
                _ => return None,
            }
        }
    };
    network.reads(add).iter().map(walk).collect()
}

/// Whether `other` depends on what `projection` reads through layers beside it.
///
/// Where it depends on `projection` itself, the shortcut begins behind that layer and is the identity.
fn reaches_round(network: &Network, projection: usize, other: usize) -> bool {
    let (start, goal) = (network.reads(other)[0], network.reads(projection)[0]);
    let mut pending = vec![start];
    let mut seen = vec![false; network.n_values()];
    while let Some(value) = pending.pop() {
        if !std::mem::replace(&mut seen[value], true)
            && let Some(node_idx) = value.checked_sub(network.inputs().len())
        {
            pending.extend(network.reads(node_idx));
        }
    }
    start != goal && seen[goal] && !seen[network.value_of_node(projection)]
}

//! Dependency groups: which channels of a network can only be cut together.
//!
//! A map that goes takes others with it: the same map behind batch norm and activation, the map that a residual adds to
//! it, the inputs of every layer that reads it. All channels that are tied like this form a [unit](Unit): it is cut whole or
//! not at all. Units that run through the same layers form a [`Group`]. An input or output of the network, and an operator
//! whose channels cannot be told apart, hold their units: cutting one is an error that names the node.
//!
//! # Source
//! Fang, Ma, Song, Mi, Wang, "DepGraph: Towards Any Structural Pruning", CVPR 2023, §3. We differ: they tie layers and then
//! translate indices; we tie single channels, so concatenations, slices and zero maps need no index arithmetic of their own.

mod couple;
mod cut;
mod tied;

use nnc_core::network::{Channels, Network, Op, Shape};
use nnc_core::params::ParamShapes;
use nnc_core::{Error, Result};

pub use cut::Cut;
use tied::Tied;

/// Channels of one or more values that can only be cut together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// (number of the value, channel), ascending.
    channels: Vec<(usize, usize)>,
    group: usize,
}

impl Unit {
    /// Its channels of one value, ascending.
    pub fn channels_of(&self, value: usize) -> impl Iterator<Item = usize> {
        self.channels.iter().filter(move |(of, _)| *of == value).map(|&(_, channel)| channel)
    }

    /// The values that have channels in it, ascending.
    pub fn values(&self) -> impl Iterator<Item = usize> {
        self.channels.chunk_by(|a, b| a.0 == b.0).map(|run| run[0].0)
    }

    /// The number of its group.
    pub fn group(&self) -> usize {
        self.group
    }
}

/// The units that run through the same layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    layers: Vec<usize>,
    units: Vec<usize>,
    held: Option<Held>,
}

impl Group {
    /// The indices of the convolution and linear nodes that yield its channels, ascending.
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// The numbers of its units, ascending.
    pub fn units(&self) -> &[usize] {
        &self.units
    }

    /// Why none of them can be cut, if so.
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }
}

/// What keeps channels from being cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The node or input.
    pub node: String,
    /// What about it.
    pub why: &'static str,
}

/// The units and groups of a network with parameters of given shapes.
///
/// # Example
/// ```
/// use nnc_core::network::{Conv, Network};
/// use nnc_prune::group::Groups;
/// let (network, specs) = Network::builder()
///     .input("image", &[3, 8, 8])
///     .conv2d("a", Conv::new(4, 3).padding(1))
///     .relu("relu")
///     .conv2d("b", Conv::new(4, 3).padding(1))
///     .from(&["b", "a"])
///     .add("sum")
///     .flatten("flatten")
///     .linear("ip", 10)
///     .output("logits")
///     .build()?;
/// let groups = Groups::of(&network, &specs)?;
/// // The residual ties each map of `a` to one of `b`.
/// let free: Vec<_> = groups.groups().iter().filter(|group| group.held().is_none()).collect();
/// assert_eq!(groups.layer_names(free[0]), ["a", "b"]);
/// assert_eq!((free.len(), free[0].units().len()), (1, 4));
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Groups<'a> {
    network: &'a Network,
    shapes: Vec<Shape>,
    /// Channel c of value v has the number `first[v] + c`.
    first: Vec<usize>,
    /// Per channel number.
    unit_of: Vec<usize>,
    units: Vec<Unit>,
    groups: Vec<Group>,
}

impl<'a> Groups<'a> {
    /// Finds the groups of `network`, for its declared input shapes and parameters of the shapes in `params`.
    ///
    /// Cost: about the sum of all channel counts.
    ///
    /// # Errors
    /// As [`Network::infer_shapes`].
    pub fn of(network: &'a Network, params: &dyn ParamShapes) -> Result<Self> {
        let shapes = network.infer_shapes(params)?;
        let mut n_channels = 0;
        let mut first = Vec::with_capacity(shapes.len());
        for shape in &shapes {
            first.push(n_channels);
            n_channels += shape[0];
        }
        let mut tied = Tied::new(n_channels);
        couple::couple(network, &shapes, &first, &mut tied);
        let mut groups = Self {
            network,
            shapes,
            first,
            unit_of: vec![0; n_channels],
            units: Vec::new(),
            groups: Vec::new(),
        };
        groups.collect(&mut tied);
        Ok(groups)
    }

    /// Sorts channels into units, and units into groups, both in the order of their first channel.
    fn collect(&mut self, tied: &mut Tied) {
        let mut unit_of_root = vec![None; self.unit_of.len()];
        for value in 0..self.shapes.len() {
            for channel in 0..self.shapes[value][0] {
                let number = self.first[value] + channel;
                let unit = *unit_of_root[tied.root(number)].get_or_insert_with(|| {
                    self.units.push(Unit { channels: Vec::new(), group: 0 });
                    self.units.len() - 1
                });
                self.units[unit].channels.push((value, channel));
                self.unit_of[number] = unit;
            }
        }
        let mut group_of = std::collections::HashMap::new();
        for unit in 0..self.units.len() {
            let (value, channel) = self.units[unit].channels[0];
            let held = tied.held(self.first[value] + channel);
            let layers: Vec<usize> =
                self.units[unit].values().filter_map(|value| self.layer_of(value)).collect();
            let group = *group_of.entry((layers.clone(), held)).or_insert_with(|| {
                let held =
                    held.map(|held| Held { node: self.network.value_name(held.0).into(), why: held.1 });
                self.groups.push(Group { layers, units: Vec::new(), held });
                self.groups.len() - 1
            });
            self.groups[group].units.push(unit);
            self.units[unit].group = group;
        }
    }

    /// The index of the node that yields a value, if it is a convolution or linear node.
    fn layer_of(&self, value: usize) -> Option<usize> {
        let node_idx = value.checked_sub(self.network.inputs().len())?;
        is_layer(&self.network.nodes()[node_idx].op).then_some(node_idx)
    }

    /// The network.
    pub fn network(&self) -> &'a Network {
        self.network
    }

    /// The shape of each value.
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// All groups, in the order of their first channel.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// All units, in the order of their first channel.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// The group of a unit.
    ///
    /// # Panics
    /// When there are not that many units.
    pub fn group_of(&self, unit: usize) -> &Group {
        &self.groups[self.units[unit].group]
    }

    /// The unit of each channel of a value.
    ///
    /// # Panics
    /// When there are not that many values.
    pub fn units_of(&self, value: usize) -> &[usize] {
        let first = self.first[value];
        &self.unit_of[first..first + self.shapes[value][0]]
    }

    /// The names of a group's layers.
    pub fn layer_names(&self, group: &Group) -> Vec<&'a str> {
        group.layers.iter().map(|&node_idx| self.network.nodes()[node_idx].name.as_str()).collect()
    }

    /// The index of the convolution or linear node of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`], which lists the layers there are.
    pub fn layer(&self, name: &str) -> Result<usize> {
        let nodes = self.network.nodes();
        let known = || nodes.iter().filter(|node| is_layer(&node.op)).map(|node| &node.name);
        let found = nodes.iter().position(|node| node.name == name && is_layer(&node.op));
        found.ok_or_else(|| Error::not_found("layer", name, known()))
    }

    /// A [`Cut`] that cuts nothing yet.
    pub fn cut(&'a self) -> Cut<'a> {
        Cut::none(self)
    }
}

/// Convolution and linear nodes: what yields new channels.
fn is_layer(op: &Op) -> bool {
    matches!(op.traits().channels, Channels::Mixes { .. })
}

#[cfg(test)]
mod tests;

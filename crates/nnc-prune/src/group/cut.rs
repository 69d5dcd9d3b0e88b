//! A choice of units to cut, checked against what holds them.

use nnc_core::{Error, Result};

use super::{Groups, Held};

/// Which units are to be cut.
#[derive(Debug, Clone)]
pub struct Cut<'a> {
    groups: &'a Groups<'a>,
    is_cut: Vec<bool>,
}

impl<'a> Cut<'a> {
    /// Nothing yet.
    pub(super) fn none(groups: &'a Groups<'a>) -> Self {
        Self { groups, is_cut: vec![false; groups.units.len()] }
    }

    /// Cuts channels of the value of a node, and with them all that is tied to them.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown node, [`Error::InvalidArgument`] for a channel that it does not have or that cannot
    /// be cut, naming what holds it. Nothing is then cut.
    pub fn channels(&mut self, node: &str, channels: &[usize]) -> Result<()> {
        let units = self.groups.units_of(self.groups.network.value(node)?);
        if let Some(channel) = channels.iter().find(|&&channel| channel >= units.len()) {
            let expected = format!("below {}", units.len());
            return Err(Error::invalid(format!("channel of `{node}`"), expected, channel));
        }
        if let Some(held) = channels.iter().find_map(|&channel| self.groups.group_of(units[channel]).held()) {
            return Err(held.error(node));
        }
        channels.iter().for_each(|&channel| self.is_cut[units[channel]] = true);
        Ok(())
    }

    /// Cuts a unit of a group that is not held.
    pub(crate) fn unit(&mut self, unit: usize) {
        debug_assert!(self.groups.group_of(unit).held().is_none(), "a held unit is an error before this");
        self.is_cut[unit] = true;
    }

    /// Whether a unit is cut.
    ///
    /// # Panics
    /// When there are not that many units.
    pub fn cuts(&self, unit: usize) -> bool {
        self.is_cut[unit]
    }

    /// The channels of a value that stay, ascending.
    ///
    /// # Panics
    /// When there are not that many values.
    pub fn kept(&self, value: usize) -> Vec<usize> {
        let units = self.groups.units_of(value).iter().enumerate();
        units.filter(|&(_, &unit)| !self.is_cut[unit]).map(|(channel, _)| channel).collect()
    }

    /// How many units are cut.
    pub fn n_cut(&self) -> usize {
        self.is_cut.iter().filter(|&&cut| cut).count()
    }

    /// The groups it speaks of.
    pub fn groups(&self) -> &'a Groups<'a> {
        self.groups
    }
}

impl Held {
    /// The error for who wants to cut channels of `node`.
    pub(crate) fn error(&self, node: &str) -> Error {
        let got = format!("channels held by `{}`: {}", self.node, self.why);
        Error::invalid(format!("cut of `{node}`"), "channels that can be removed", got)
    }
}

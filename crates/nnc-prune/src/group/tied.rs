//! Disjoint sets of channels, some of them held.

/// Disjoint sets with path halving; the root of a set is its least member, so that results do not depend on the order of ties.
#[derive(Debug)]
pub(super) struct Tied {
    parent: Vec<usize>,
    /// Per root: the value that holds the set and why; the least of several.
    held: Vec<Option<(usize, &'static str)>>,
}

impl Tied {
    /// `n` channels, each on its own.
    pub(super) fn new(n: usize) -> Self {
        Self { parent: (0..n).collect(), held: vec![None; n] }
    }

    /// The root of a channel's set.
    pub(super) fn root(&mut self, mut channel: usize) -> usize {
        while self.parent[channel] != channel {
            self.parent[channel] = self.parent[self.parent[channel]];
            channel = self.parent[channel];
        }
        channel
    }

    /// Makes two channels stand or fall together.
    pub(super) fn tie(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        self.parent[high] = low;
        self.held[low] = [self.held[low], self.held[high]].into_iter().flatten().min();
    }

    /// Keeps a channel and all that is tied to it, now or later, from being cut.
    pub(super) fn hold(&mut self, channel: usize, by: usize, why: &'static str) {
        let root = self.root(channel);
        self.held[root] = self.held[root].into_iter().chain([(by, why)]).min();
    }

    /// What holds a channel.
    pub(super) fn held(&mut self, channel: usize) -> Option<(usize, &'static str)> {
        let root = self.root(channel);
        self.held[root]
    }
}

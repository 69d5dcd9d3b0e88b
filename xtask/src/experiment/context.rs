//! What an experiment is given: profile, seed, data, folders.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::data_set::DataSet;
use super::state;

/// How much work an experiment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Profile {
    /// At most 30 seconds: shows that every part works, not that it reaches the paper.
    Smoke,
    /// At most three minutes.
    Quick,
    /// At most an hour: the figures that are committed.
    Full,
}

impl Profile {
    /// The word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

/// What one run of one experiment may depend on.
#[derive(Debug)]
pub(crate) struct Context {
    profile: Profile,
    seed: u64,
    data: DataSet,
    out_dir: PathBuf,
}

impl Context {
    /// A context whose folders lie under `out_dir`, which exists.
    pub(crate) fn new(profile: Profile, seed: u64, data: DataSet, out_dir: PathBuf) -> Self {
        Self { profile, seed, data, out_dir }
    }

    /// How much work to do.
    pub(crate) fn profile(&self) -> Profile {
        self.profile
    }

    /// The seed that, with the configuration, fixes every result.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// What is read, by name and content.
    pub(crate) fn data(&self) -> &DataSet {
        &self.data
    }

    /// The folder of this experiment's results; it exists.
    pub(crate) fn out_dir(&self) -> &Path {
        &self.out_dir
    }

    /// The folder of this experiment's checkpoints; it exists while the experiment runs.
    ///
    /// What it holds was written by a run of this very configuration; a run that starts afresh finds it empty.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.out_dir.join(state::FOLDER)
    }

    /// Writes a file into [`Self::out_dir`], whole or not at all, and returns its path.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.out_dir.join(name);
        state::write_atomic(&path, bytes)?;
        Ok(path)
    }
}

//! A training run on disk: written after each epoch, read to go on exactly there.

use std::path::{Path, PathBuf};

use super::{Callback, Learner, Optimizer};
use crate::params::Params;
use crate::{Error, Result};

/// 2: the optimizer counts steps for each trainable.
const FORMAT_VERSION: f64 = 2.0;

/// Where a run saves itself, and the key of its configuration.
///
/// A finished run stays on disk: calling [`fit`](super::fit) again with it loads the final state and returns at once, so a
/// pipeline of several runs resumes by being run again.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    key: String,
}

/// How far the saved run was.
pub(super) struct Position {
    pub(super) n_epochs_done: usize,
    pub(super) finished: bool,
}

impl Checkpoint {
    /// A checkpoint at `path` for the configuration whose hash is `key`.
    pub fn new(path: impl Into<PathBuf>, key: impl Into<String>) -> Self {
        Self { path: path.into(), key: key.into() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn save<L: Learner + ?Sized>(
        &self,
        position: &Position,
        learner: &L,
        optimizer: &Optimizer,
        callbacks: &[&mut dyn Callback<L>],
    ) -> Result<()> {
        let mut all = Params::new();
        all.insert_number("format_version", FORMAT_VERSION)?;
        all.insert_number("n_epochs_done", position.n_epochs_done as f64)?;
        all.insert_number("finished", f64::from(u8::from(position.finished)))?;
        all.insert_text("key", &self.key)?;
        all.extend_prefixed("learner/", &learner.state()?);
        all.extend_prefixed("optimizer/", &optimizer.state()?);
        for (i, callback) in callbacks.iter().enumerate() {
            all.extend_prefixed(&format!("callback{i}/"), &callback.state()?);
        }
        // `save` renames a whole file into place: a kill at any moment leaves the old checkpoint or the new one.
        all.save(&self.path)
    }

    /// Loads the saved run into its parts, or says that there is none.
    pub(super) fn load<L: Learner + ?Sized>(
        &self,
        learner: &mut L,
        optimizer: &mut Optimizer,
        callbacks: &mut [&mut dyn Callback<L>],
    ) -> Result<Option<Position>> {
        // A file that is there but cannot be looked at must not be taken for none, and then be written over.
        if !self.path.try_exists().map_err(|e| Error::io(&self.path, e))? {
            return Ok(None);
        }
        let all = Params::load(&self.path, &candle_core::Device::Cpu)?;
        let version = all.number("format_version")?;
        if version != FORMAT_VERSION {
            let what = format!("checkpoint {}", self.path.display());
            return Err(Error::invalid(what, format!("format version {FORMAT_VERSION}"), version));
        }
        let key = all.text("key")?;
        if key != self.key {
            let what = format!("checkpoint {}", self.path.display());
            return Err(Error::invalid(what, format!("configuration {}", self.key), key));
        }
        learner.load_state(&all.strip_prefix("learner/"))?;
        optimizer.load_state(&all.strip_prefix("optimizer/"))?;
        for (i, callback) in callbacks.iter_mut().enumerate() {
            callback.load_state(&all.strip_prefix(&format!("callback{i}/")))?;
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count that we wrote"
        )]
        let n_epochs_done = all.number("n_epochs_done")? as usize;
        Ok(Some(Position { n_epochs_done, finished: all.number("finished")? != 0.0 }))
    }
}

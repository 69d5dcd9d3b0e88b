//! What an experiment reads, known by content: the paper's data or other data.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nnc_core::data::{Normalization, Splits};
use nnc_core::network::Network;
use nnc_core::params::Params;
use sha2::{Digest, Sha256};

use super::state::hex;
use crate::data::fetch;

/// The kind of data an experiment reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataKind {
    /// Only figures printed in the paper.
    PublishedTables,
    /// MNIST, or any set in its form.
    Mnist,
}

/// The data of one run.
#[derive(Debug, Clone)]
pub(crate) struct DataSet {
    name: String,
    dir: PathBuf,
    identity: String,
    is_papers: bool,
    cifar10: Option<Cifar10>,
}

/// CIFAR-10 and a network trained on it, both fetched.
#[derive(Debug, Clone)]
pub(crate) struct Cifar10 {
    dir: PathBuf,
    model_dir: PathBuf,
}

impl Cifar10 {
    /// How to bring what is not here; for an experiment's notes.
    pub(crate) const MISSING: &str = "CIFAR-10 is not fetched, so its rows are left out: `cargo xtask data fetch cifar10 \
                                      cifar-10-model` brings it.";

    /// Finds both in the repository; without either there is neither.
    fn find(root: &Path) -> Option<Self> {
        let folder = |name| fetch::find(name).expect("a source of that name").folder(root);
        let (dir, model_dir) = (folder("cifar10"), folder("cifar-10-model"));
        (dir.exists() && model_dir.exists()).then_some(Self { dir, model_dir })
    }

    /// Training and validation set.
    ///
    /// # Errors
    /// When the files are not CIFAR-10.
    pub(crate) fn open(&self) -> Result<Splits> {
        let splits =
            Splits::open(&self.dir).with_context(|| format!("the data in {}", self.dir.display()))?;
        ensure!(splits.is_cifar10(), "{}: expected CIFAR-10, found other data", self.dir.display());
        Ok(splits)
    }

    /// The trained network, and how images become its numbers.
    ///
    /// # Errors
    /// When the file is not its.
    pub(crate) fn network(&self) -> Result<(Network, Params, Normalization)> {
        fetch::cifar_model(&self.model_dir)
    }

    /// What tells other data from these.
    fn identity(&self) -> Result<String> {
        let (_, params, _) = self.network()?;
        let model = hex(&Sha256::digest(params.to_safetensors()?));
        Ok(format!("cifar10 {}, cifar-10-model {model}", self.open()?.fingerprint()))
    }
}

impl DataSet {
    /// Finds the data of `kind`: in `dir` if given, else in the repository.
    ///
    /// # Errors
    /// When files are missing, unreadable, not those of a manifest beside them, or (in the repository) not MNIST.
    pub(crate) fn open(kind: DataKind, root: &Path, dir: Option<&Path>) -> Result<Self> {
        match kind {
            DataKind::PublishedTables => Ok(Self {
                name: "published tables".into(),
                dir: root.to_owned(),
                identity: "published tables".into(),
                is_papers: true,
                cifar10: None,
            }),
            DataKind::Mnist => Self::mnist(root, dir),
        }
    }

    /// The same and, where they are fetched, CIFAR-10 and its network; name and identity say whether they are.
    ///
    /// # Errors
    /// When they are there and not what they should be.
    pub(crate) fn with_cifar10(self, root: &Path) -> Result<Self> {
        let Some(cifar10) = Cifar10::find(root) else { return Ok(self) };
        let name = format!("{} and cifar10", self.name);
        let identity = format!("{}, {}", self.identity, cifar10.identity()?);
        Ok(Self { name, identity, cifar10: Some(cifar10), ..self })
    }

    fn mnist(root: &Path, given: Option<&Path>) -> Result<Self> {
        let dir = given.map_or_else(|| root.join("data/mnist"), Path::to_owned);
        let splits = Splits::open(&dir).with_context(|| format!("the data in {}", dir.display()))?;
        let (identity, is_papers) = (splits.fingerprint().to_owned(), splits.is_mnist());
        // Otherwise a changed file and manifest would silently take the paper's figures out of the tables.
        ensure!(given.is_some() || is_papers, "{}: expected MNIST, found other data", dir.display());
        let name = if is_papers { "mnist".to_owned() } else { other_name(&dir, &identity) };
        Ok(Self { name, dir, identity, is_papers, cifar10: None })
    }

    /// The name in `result.json`: `mnist`, or the folder's name and the start of its digest.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its splits, with at most the first `n_training_images` to train on, and the normalization of what is left.
    ///
    /// # Errors
    /// When files cannot be read, or there are fewer images than asked for.
    pub(crate) fn splits(&self, n_training_images: Option<usize>) -> Result<(Splits, Normalization)> {
        let mut splits = Splits::open(&self.dir)?;
        if let Some(n) = n_training_images {
            splits.truncate_train(n)?;
        }
        let normalization = Normalization::of(splits.train());
        Ok((splits, normalization))
    }

    /// What tells two data sets apart: the digest of their content.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// CIFAR-10, for an experiment that asked for it and where it is fetched.
    pub(crate) fn cifar10(&self) -> Option<&Cifar10> {
        self.cifar10.as_ref()
    }

    /// The same data under the assumption that the paper used others.
    #[cfg(test)]
    pub(crate) fn not_the_papers(self) -> Self {
        Self { is_papers: false, ..self }
    }

    /// Whether these are the paper's data, so that its figures may stand beside ours.
    pub(crate) fn is_papers(&self) -> bool {
        self.is_papers
    }
}

fn other_name(dir: &Path, identity: &str) -> String {
    let folder = dir.file_name().map_or_else(|| "idx".into(), |name| name.to_string_lossy());
    format!("{folder} (sha256 {})", &identity[..12])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace_root;

    /// An IDX file: unsigned bytes in `shape`, counting up.
    fn idx(shape: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, u8::try_from(shape.len()).unwrap()];
        bytes.extend(shape.iter().flat_map(|size| size.to_be_bytes()));
        let n: u32 = shape.iter().product();
        bytes.extend((0..n).map(|i| u8::try_from(i % 10).unwrap()));
        bytes
    }

    /// A small set in the form of MNIST.
    fn small() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (part, n) in [("train", 6_000), ("t10k", 10)] {
            fs::write(dir.path().join(format!("{part}-images-idx3-ubyte")), idx(&[n, 2, 2])).unwrap();
            fs::write(dir.path().join(format!("{part}-labels-idx1-ubyte")), idx(&[n])).unwrap();
        }
        dir
    }

    #[test]
    fn the_embedded_data_are_the_papers_wherever_they_lie() {
        let root = workspace_root().unwrap();
        let embedded = DataSet::open(DataKind::Mnist, &root, None).unwrap();
        let given = DataSet::open(DataKind::Mnist, Path::new("nowhere"), Some(&embedded.dir)).unwrap();
        assert!(embedded.is_papers() && given.is_papers());
        assert_eq!(embedded.name(), "mnist");
        assert_eq!(embedded.identity(), given.identity());
    }

    #[test]
    fn other_data_are_named_by_folder_and_content() {
        let dir = small();
        let other = DataSet::open(DataKind::Mnist, Path::new("nowhere"), Some(dir.path())).unwrap();
        assert!(!other.is_papers());
        let folder = dir.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(other.name(), format!("{folder} (sha256 {})", &other.identity()[..12]));

        let path = dir.path().join("train-labels-idx1-ubyte");
        let mut labels = fs::read(&path).unwrap();
        labels[8] ^= 1;
        fs::write(&path, labels).unwrap();
        let changed = DataSet::open(DataKind::Mnist, Path::new("nowhere"), Some(dir.path())).unwrap();
        assert_ne!(changed.identity(), other.identity());
    }

    #[test]
    fn other_data_in_the_repositorys_place_are_refused() {
        let (root, dir) = (tempfile::tempdir().unwrap(), small());
        fs::create_dir(root.path().join("data")).unwrap();
        fs::rename(dir.path(), root.path().join("data/mnist")).unwrap();
        let error = DataSet::open(DataKind::Mnist, root.path(), None).unwrap_err();
        assert!(error.to_string().contains("expected MNIST"), "{error}");
    }

    #[test]
    fn missing_files_are_named() {
        let empty = tempfile::tempdir().unwrap();
        let error = DataSet::open(DataKind::Mnist, Path::new("nowhere"), Some(empty.path())).unwrap_err();
        assert!(format!("{error:#}").contains("train-images-idx3-ubyte"), "{error:#}");
    }

    #[test]
    fn without_cifar10_the_rest_is_there_all_the_same() {
        let root = tempfile::tempdir().unwrap();
        let bare = DataSet::open(DataKind::PublishedTables, root.path(), None).unwrap();
        let both = bare.clone().with_cifar10(root.path()).unwrap();
        assert!(both.cifar10().is_none());
        assert_eq!((both.name(), both.identity()), (bare.name(), bare.identity()));
    }

    #[test]
    fn a_broken_cifar10_is_refused_and_not_left_out() {
        let root = tempfile::tempdir().unwrap();
        let bare = DataSet::open(DataKind::PublishedTables, root.path(), None).unwrap();
        for name in ["cifar10", "cifar-10-model"] {
            fs::create_dir_all(root.path().join("data").join(name)).unwrap();
        }
        let error = bare.with_cifar10(root.path()).unwrap_err();
        assert!(format!("{error:#}").contains("cifar-cnn.safetensors"), "{error:#}");
    }

    #[test]
    fn published_tables_need_no_files() {
        let set = DataSet::open(DataKind::PublishedTables, Path::new("nowhere"), None).unwrap();
        assert!(set.is_papers());
        assert_eq!(set.name(), "published tables");
    }
}

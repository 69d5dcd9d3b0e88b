//! `cargo xtask data verify`: the data sets in the repository are those of their manifests.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::experiment::state::hex;

/// The manifest in each data set's folder, in the form of `sha256sum`.
pub(crate) const MANIFEST: &str = "SHA256SUMS";

/// Verifies every folder under `data/` and prints one line a file.
///
/// # Errors
/// When a folder lacks a manifest, or a file is missing or differs.
pub(crate) fn verify_all(root: &Path) -> Result<()> {
    let data = root.join("data");
    let mut folders = fs::read_dir(&data)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        .with_context(|| data.display().to_string())?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    for folder in folders {
        for name in verify(&folder)? {
            println!("{}/{name}: right", folder.strip_prefix(root).unwrap_or(&folder).display());
        }
    }
    Ok(())
}

/// Verifies one folder against its manifest and returns the names of its files.
///
/// # Errors
/// When the manifest is missing or malformed, or a file is missing or differs.
pub(crate) fn verify(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join(MANIFEST);
    let manifest = fs::read_to_string(&path).with_context(|| format!("no manifest {}", path.display()))?;
    let entries = parse_manifest(&manifest).with_context(|| path.display().to_string())?;
    for (expected, name) in &entries {
        let found = file_digest(&folder.join(name))?;
        ensure!(
            found == *expected,
            "corrupt {}: expected sha256 {expected}, found {found}; `git checkout` restores it",
            folder.join(name).display()
        );
    }
    Ok(entries.into_iter().map(|(_, name)| name).collect())
}

fn parse_manifest(text: &str) -> Result<Vec<(String, String)>> {
    let mut entries = Vec::new();
    for (idx, line) in text.lines().enumerate() {
        let Some((digest, name)) = line.split_once("  ") else {
            bail!("line {}: expected `<sha256>  <file>`, found `{line}`", idx + 1);
        };
        let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        // A manifest speaks of its own folder only.
        let is_name = !name.is_empty() && !name.contains(['/', '\\']);
        ensure!(is_digest && is_name, "line {}: expected `<sha256>  <file>`, found `{line}`", idx + 1);
        entries.push((digest.to_ascii_lowercase(), name.to_owned()));
    }
    ensure!(!entries.is_empty(), "the manifest names no file");
    Ok(entries)
}

fn file_digest(path: &Path) -> Result<String> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.read_to_end(&mut bytes)?;
        io::Result::Ok(hex(&Sha256::digest(&bytes)))
    };
    read().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_read_in_the_form_of_sha256sum() {
        let digest = "ab".repeat(32);
        let entries = parse_manifest(&format!("{digest}  one.gz\n{digest}  two.gz\n")).unwrap();
        assert_eq!(entries, [(digest.clone(), "one.gz".into()), (digest.clone(), "two.gz".into())]);
        for bad in ["", "abc  one.gz", &format!("{digest} one.gz"), &format!("{digest}  ../one.gz")] {
            assert!(parse_manifest(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_changed_file_is_named_with_both_digests() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "abc").unwrap();
        // The digest of "abc" is FIPS 180-2's first example.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        fs::write(dir.path().join(MANIFEST), format!("{abc}  a\n")).unwrap();
        assert_eq!(verify(dir.path()).unwrap(), ["a"]);
        fs::write(dir.path().join("a"), "abd").unwrap();
        let message = verify(dir.path()).unwrap_err().to_string();
        assert!(message.contains(abc) && message.contains("/a"), "{message}");
        fs::remove_file(dir.path().join("a")).unwrap();
        assert!(verify(dir.path()).is_err());
    }
}

//! A directory of data files, plain or gzip, checked against its manifest where it has one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// The name of the manifest: lines of a SHA-256 in hexadecimal and a file name, as `sha256sum` writes and
/// checks them.
pub const MANIFEST: &str = "SHA256SUMS";

/// No data file may be larger, as it lies on disk or unpacked: 1 GiB.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// A directory and its manifest.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    /// File name → SHA-256 in lower-case hexadecimal; `None` without a manifest.
    manifest: Option<HashMap<String, String>>,
}

impl Folder {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let manifest = if path.exists() { Some(parse_manifest(&read_file(&path)?, &path)?) } else { None };
        Ok(Self { dir: dir.into(), manifest })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether there is a file of that name, plain or with `.gz`.
    pub(super) fn has(&self, name: &str) -> bool {
        [name.to_owned(), format!("{name}.gz")].iter().any(|file| self.dir.join(file).is_file())
    }

    /// The file of that name, plain or with `.gz`; with a manifest, the one that it lists.
    pub(super) fn locate(&self, name: &str) -> Result<PathBuf> {
        let candidates = [name.to_owned(), format!("{name}.gz")];
        let found = match &self.manifest {
            Some(manifest) => {
                candidates.iter().find(|file| manifest.contains_key(*file)).ok_or_else(|| {
                    Error::corrupt(
                        self.dir.join(MANIFEST).display().to_string(),
                        format!("no line for {name}[.gz]"),
                    )
                })?
            }
            None => candidates.iter().find(|file| self.dir.join(file).is_file()).unwrap_or(&candidates[0]),
        };
        let path = self.dir.join(found);
        if path.is_file() {
            return Ok(path);
        }
        let cause = format!("no such file, plain or with .gz: {name}");
        Err(Error::io(&self.dir, std::io::Error::new(ErrorKind::NotFound, cause)))
    }

    /// The bytes of that file as they lie on disk, after the check against the manifest; and its path, for
    /// messages.
    pub(super) fn read(&self, name: &str) -> Result<(Vec<u8>, String)> {
        let path = self.locate(name)?;
        let bytes = read_file(&path)?;
        let shown = path.display().to_string();
        let listed = path.file_name().and_then(|file| self.manifest.as_ref()?.get(file.to_str()?));
        if let Some(expected) = listed {
            let got = hex(&Sha256::digest(&bytes));
            if got != *expected {
                return Err(Error::corrupt(
                    shown,
                    format!("SHA-256 is {got}, but {MANIFEST} says {expected}"),
                ));
            }
        }
        Ok((bytes, shown))
    }
}

/// Reads a regular file of at most [`MAX_BYTES`].
fn read_file(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let metadata = file.metadata().map_err(|error| Error::io(path, error))?;
    // A pipe or device has no length to check, and may never end.
    if !metadata.is_file() || metadata.len() > MAX_BYTES {
        let why = format!("not a regular file of at most {MAX_BYTES} bytes");
        return Err(Error::corrupt(path.display().to_string(), why));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| Error::io(path, error))?;
    Ok(bytes)
}

fn parse_manifest(bytes: &[u8], path: &Path) -> Result<HashMap<String, String>> {
    let what = || path.display().to_string();
    let text = std::str::from_utf8(bytes).map_err(|_| Error::corrupt(what(), "not text"))?;
    let mut manifest = HashMap::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        // `sha256sum` writes two spaces, or a space and a star, between sum and name.
        let entry = line.split_once(' ').and_then(|(sum, name)| {
            let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
            let name = name.strip_prefix([' ', '*'])?;
            (is_sum && !name.is_empty()).then(|| (name.to_owned(), sum.to_ascii_lowercase()))
        });
        let (name, sum) = entry
            .ok_or_else(|| Error::corrupt(what(), format!("line {}: expected `SHA-256  name`", i + 1)))?;
        if manifest.insert(name, sum).is_some() {
            return Err(Error::corrupt(what(), format!("line {}: a file listed twice", i + 1)));
        }
    }
    Ok(manifest)
}

/// A reader of the content: unpacked when the bytes begin as gzip does, as they are otherwise.
pub(super) fn content(bytes: &[u8]) -> Box<dyn Read + '_> {
    if bytes.starts_with(&[0x1f, 0x8b]) { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) }
}

/// Reads exactly `n` bytes of `what`; memory grows with what has been read, not with `n`.
///
/// `before` bytes of the content were read already; for the message.
pub(super) fn read_exactly(reader: &mut dyn Read, before: u64, n: u64, what: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let outcome = reader.take(n).read_to_end(&mut bytes);
    let got = bytes.len() as u64;
    match outcome {
        Ok(_) if got == n => Ok(bytes),
        // gzip that breaks off is short, as plain bytes that break off are.
        Ok(_) => Err(Error::UnexpectedEnd { what: what.into(), expected: before + n, got: before + got }),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(Error::UnexpectedEnd { what: what.into(), expected: before + n, got: before + got })
        }
        Err(error) => Err(Error::corrupt(what, error.to_string())),
    }
}

/// Refuses anything behind what was read; for gzip, this also checks its own sums.
pub(super) fn expect_end(reader: &mut dyn Read, what: &str) -> Result<()> {
    match reader.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Error::corrupt(what, "more bytes than its header declares")),
        Err(error) => Err(Error::corrupt(what, error.to_string())),
    }
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

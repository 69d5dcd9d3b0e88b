//! Files that earlier builds wrote. A file of a version must be readable as long as the version is.

use std::path::PathBuf;

use nnc::archive::{Archive, VERSION};

use crate::samples::{blocks, every_form, facts};

fn path(version: u8, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/golden/v{version}_{name}.nnc"))
}

/// Compares a golden file with the archive that a formula gives; with `NNC_BLESS=1` a missing one is written.
#[track_caller]
fn check(version: u8, name: &str, expected: &Archive) {
    let path = path(version, name);
    if !path.exists() && std::env::var("NNC_BLESS").is_ok_and(|value| value == "1") {
        expected.write_file(&path).unwrap();
    }
    let read = Archive::open(&path).unwrap();
    assert_eq!(read.network, expected.network);
    assert_eq!(read.meta, expected.meta);
    assert_eq!(read.weights.len(), expected.weights.len());
    for ((name, kind, weight), (read_name, read_kind, read_weight)) in
        expected.weights.iter().zip(&read.weights)
    {
        assert_eq!((read_name, read_kind), (name, kind));
        assert_eq!(facts(read_weight), facts(weight), "{name}");
    }
    // Within a version the bytes do not change either.
    if version == VERSION {
        assert_eq!(std::fs::read(&path).unwrap(), expected.write().unwrap());
    }
}

#[test]
fn version_1_with_every_form_is_read() {
    check(1, "every_form", &every_form());
}

#[test]
fn version_1_with_blocks_is_read() {
    check(1, "blocks", &blocks());
}

#[test]
fn version_1_with_derived_names_is_read() {
    let mut archive = every_form();
    archive.weights.truncate(4);
    archive.meta = Default::default();
    check(1, "derived_names", &archive);
}

//! `cargo xtask tidy`: what reviewers would otherwise repeat.
//!
//! Each rule is a pure function from what it looks at to a list of findings; this file gives them their input: the tracked
//! files and `cargo metadata`.

mod arrows;
mod licences;
mod metadata;
mod source;
mod text;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::{cargo, results};
use metadata::Metadata;

/// Where `unsafe` is allowed: files, and folders (ending in `/`) of kernels.
const UNSAFE_PLACES: &[&str] = &[
    "crates/nnc-core/src/ops/gemm.rs",
    "crates/nnc-core/src/ops/kernel/",
    "benches/benches/huffman/huff0.rs",
    "benches/src/peak.rs",
    "crates/nnc-gemmlowp/src/conv2d/depthwise.rs",
    "crates/nnc-gemmlowp/src/grouped.rs",
    "crates/nnc-gemmlowp/src/job.rs",
    "crates/nnc-gemmlowp/src/kernel.rs",
    "crates/nnc-gemmlowp/src/kernel/",
    "crates/nnc-gemmlowp/src/place.rs",
    // The pages that may not be touched, of the products' tests.
    "crates/nnc-gemmlowp/tests/it/gemm/guard.rs",
    "crates/nnc-huffman/src/kernel.rs",
    "crates/nnc-huffman/src/kernel/",
    // The allocator that counts, of tests.
    "crates/nnc-testing/src/allocator.rs",
];

/// Where the test set is read: its home and its tests, the verification of its bytes, and final reports.
const TEST_SET_PLACES: &[&str] = &[
    "crates/nnc-core/src/data/",
    "crates/nnc/src/command/eval.rs",
    "xtask/src/data.rs",
    "xtask/src/reproduce/anwar2015.rs",
    "xtask/src/reproduce/deep_compression.rs",
    "xtask/src/reproduce/dsd.rs",
    "xtask/src/reproduce/han2015.rs",
    "xtask/src/reproduce/mao2017.rs",
    "xtask/src/reproduce/weight_sharing.rs",
    "xtask/src/reproduce/li2017/cifar.rs",
];

/// One file of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourceFile {
    /// Its path from the root, with `/`.
    path: String,
    /// Its content.
    text: String,
}

/// Runs every rule and prints the findings: status 1 when there are some.
///
/// # Errors
/// When git or cargo cannot be asked, or a file cannot be read.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let files = tracked_files(root)?;
    let metadata = Metadata::ask(&mut cargo(root))?;
    let deny = fs::read_to_string(root.join("deny.toml")).context("deny.toml")?;
    let mut findings = arrows::check(&metadata.workspace_packages());
    findings.extend(licences::check(&metadata.packages, &licences::allowed(&deny)?));
    let rust: Vec<SourceFile> = files.iter().filter(|file| is_rust(&file.path)).cloned().collect();
    findings.extend(source::check_unsafe(&rust, UNSAFE_PLACES));
    findings.extend(source::check_test_set(&rust, TEST_SET_PLACES));
    for file in &files {
        findings.extend(text::check(file));
        if is_rust(&file.path) {
            findings.extend(source::check(file));
        }
    }
    findings.extend(results::differences(root)?);
    for finding in &findings {
        println!("tidy: {finding}");
    }
    for warning in files.iter().filter(|file| is_rust(&file.path)).filter_map(source::length_warning) {
        println!("tidy: warning: {warning}");
    }
    println!("tidy: {} files, {} findings", files.len(), findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// The tracked files, and those that would be, that are text.
fn tracked_files(root: &Path) -> Result<Vec<SourceFile>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().context("starting git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    let names = String::from_utf8(output.stdout).context("git ls-files: a path that is not UTF-8")?;
    let mut files = Vec::new();
    for path in names.split('\0').filter(|path| !path.is_empty()) {
        // A file deleted but not yet committed as such is in the list and not on the disk; binary files are not text.
        let Ok(bytes) = fs::read(root.join(path)) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(SourceFile { path: path.to_owned(), text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

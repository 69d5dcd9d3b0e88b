//! What tidy reads of `cargo metadata`.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The packages of the dependency tree.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    /// Every package: the workspace's and the registry's.
    pub packages: Vec<Package>,
    /// The ids of the workspace's.
    workspace_members: Vec<String>,
}

/// One package.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Package {
    /// cargo's identifier.
    pub id: String,
    /// The name.
    pub name: String,
    /// The licence as an SPDX expression.
    pub license: Option<String>,
    /// What it depends on, as its manifest says.
    pub dependencies: Vec<Dependency>,
}

/// One line of a manifest.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Dependency {
    /// The package's name.
    pub name: String,
    /// None for a normal one, else `dev` or `build`.
    pub kind: Option<String>,
    /// Whether a feature must ask for it.
    pub optional: bool,
}

impl Metadata {
    /// Asks cargo.
    ///
    /// # Errors
    /// When cargo fails or its answer is not understood.
    pub(super) fn ask(cargo: &mut Command) -> Result<Self> {
        let output = cargo.args(["metadata", "--format-version", "1", "--locked"]).output();
        let output = output.context("starting cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        serde_json::from_slice(&output.stdout).context("reading cargo metadata")
    }

    /// The workspace's packages.
    pub(super) fn workspace_packages(&self) -> Vec<Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id)).cloned().collect()
    }
}

//! The package clients: how one package comes from npm or PyPI into a folder, unpacked.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// Who brings a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Npm,
    Pip,
}

/// One version of one package.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) client: Client,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// Of the archive that the registry serves.
    pub(super) sha256: &'static str,
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, name, version, .. } = self;
        match client {
            Client::Npm => write!(f, "npm package {name}@{version}"),
            Client::Pip => write!(f, "PyPI package {name}=={version}"),
        }
    }
}

impl Package {
    /// Downloads the package into `dir`, checks it against its digest and unpacks it; returns where its files are.
    ///
    /// Nothing that the package brings is run, and nothing that it depends on is fetched.
    ///
    /// # Errors
    /// When the client is missing or fails, or the package is another one.
    pub(super) fn bring(&self, dir: &Path) -> Result<PathBuf> {
        println!("fetching {self}");
        match self.client {
            Client::Npm => self.bring_by_npm(dir),
            Client::Pip => self.bring_by_pip(dir),
        }
    }

    /// How a person gets the package.
    pub(super) fn command(&self) -> String {
        let Self { client, name, version, .. } = self;
        match client {
            Client::Npm => format!("`npm pack {name}@{version}`"),
            Client::Pip => format!("`pip download --no-deps {name}=={version}`"),
        }
    }

    fn bring_by_npm(&self, dir: &Path) -> Result<PathBuf> {
        let wanted = format!("{}@{}", self.name, self.version);
        // Its own defaults try for over a minute where there is no network.
        let options = ["pack", "--ignore-scripts", "--loglevel=error", "--fetch-retries=1"];
        call(Command::new("npm").args(options).arg(&wanted).current_dir(dir))?;
        let archive = format!("{}-{}.tgz", self.name, self.version);
        super::check_all(dir, &[(&archive, self.sha256)])?;
        call(Command::new("tar").args(["-xzf", &archive]).current_dir(dir))?;
        Ok(dir.join("package"))
    }

    fn bring_by_pip(&self, dir: &Path) -> Result<PathBuf> {
        let (wanted, target) = (dir.join("requirements.txt"), dir.join("package"));
        let Self { name, version, sha256, .. } = self;
        fs::write(&wanted, format!("{name}=={version} --hash=sha256:{sha256}\n"))
            .with_context(|| wanted.display().to_string())?;
        // A wheel is only unpacked; building from source would run the package's own code.
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "-qq", "--retries=1", "--disable-pip-version-check"]);
        pip.args(["--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes", "--requirement"])
            .arg(&wanted);
        call(pip.arg("--target").arg(&target).current_dir(dir))?;
        Ok(target)
    }
}

/// Runs a client, and gives its own words when it fails.
fn call(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("`{program}` is not installed"),
        Err(error) => return Err(error).context(format!("starting `{program}`")),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{program}` failed: {}", said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_is_missing_or_fails_says_so() {
        let message = call(&mut Command::new("no-such-client-at-all")).unwrap_err().to_string();
        assert_eq!(message, "`no-such-client-at-all` is not installed");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let message = call(Command::new(cargo).arg("--no-such-option")).unwrap_err().to_string();
        assert!(message.contains("failed") && message.contains("--no-such-option"), "{message}");
    }
}

//! The `nnc` command as a person runs it: what it prints, which files it leaves, how it ends.

mod compress;
mod eval;
mod wrong;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// What a run left behind.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

fn nnc<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_nnc")).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().expect("it ends by itself");
    Run { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// As [`nnc`], for a command that must succeed; its standard output.
#[track_caller]
fn nnc_ok<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let run = nnc(args);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    run.stdout
}

/// A directory that goes away with the test.
struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }
}

/// Arguments with paths among them.
fn args<'a>(words: impl IntoIterator<Item = &'a dyn AsRef<OsStr>>) -> Vec<&'a OsStr> {
    words.into_iter().map(AsRef::as_ref).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap()
}

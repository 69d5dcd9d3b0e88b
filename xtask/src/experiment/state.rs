//! Checkpoints' stamps, the hash of a configuration, and files that are written whole or not at all.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Context, Experiment};

/// The folder of checkpoints inside an experiment's folder.
pub(crate) const FOLDER: &str = "state";

/// The version of checkpoints and stamps; raise it when either changes its meaning.
pub(crate) const FORMAT: u32 = 1;

const STAMP: &str = "stamp.json";

/// What a checkpoint belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    format: u32,
    experiment: String,
    config_hash: String,
}

/// Makes the state folder ready, and says whether it is an earlier run's to go on from.
///
/// Without `resume` the folder starts empty. With it, a folder that another configuration or format wrote is refused.
///
/// # Errors
/// When the stamp is unreadable or names something else, with both sides in the message; when the folder cannot be made.
pub(crate) fn open(folder: &Path, experiment: &str, config_hash: &str, resume: bool) -> Result<bool> {
    let expected = Stamp { format: FORMAT, experiment: experiment.into(), config_hash: config_hash.into() };
    let path = folder.join(STAMP);
    if resume && path.exists() {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let found: Stamp =
            serde_json::from_str(&text).with_context(|| format!("corrupt stamp {}", path.display()))?;
        check(&found, &expected, folder)?;
        return Ok(true);
    }
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    write_atomic(&path, serde_json::to_string_pretty(&expected)?.as_bytes())?;
    Ok(false)
}

fn check(found: &Stamp, expected: &Stamp, folder: &Path) -> Result<()> {
    let folder = folder.display();
    let advice = "run with the settings it was started with, or without --resume to start again";
    ensure!(
        found.format == expected.format,
        "cannot resume from {folder}: expected checkpoint format {}, found {}; {advice}",
        expected.format,
        found.format
    );
    if found != expected {
        bail!(
            "cannot resume from {folder}: expected {} with configuration {}, found {} with configuration {}; {advice}",
            expected.experiment,
            expected.config_hash,
            found.experiment,
            found.config_hash
        );
    }
    Ok(())
}

/// Removes the state of a finished experiment.
pub(crate) fn close(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))
}

/// The hash of everything a result depends on, 16 hexadecimal digits.
pub(crate) fn config_hash(experiment: &dyn Experiment, ctx: &Context) -> String {
    let whole = json!({
        "format": FORMAT,
        "experiment": experiment.name(),
        "profile": ctx.profile().word(),
        "seed": ctx.seed(),
        "data": ctx.data().identity(),
        "config": experiment.config(ctx),
    });
    let mut text = String::new();
    canonical(&whole, &mut text);
    hex(&Sha256::digest(text.as_bytes()))[..16].to_owned()
}

/// JSON with sorted keys and no spaces, so that equal values hash equally whatever order they were built in.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, item) in entries {
                let _ = write!(out, "{}:", Value::from(key.as_str()));
                canonical(item, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes `bytes` to `path`: a reader sees the old file or the new one, never a part.
///
/// The bytes go to a neighbour first, reach the disk, and take the name in one step.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
    let part = path.with_file_name(format!(".{}.part", name.to_string_lossy()));
    let write = || {
        let mut file = fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_ignores_the_order_of_keys_and_sees_every_value() {
        let text = |json: &str| {
            let mut out = String::new();
            canonical(&serde_json::from_str(json).unwrap(), &mut out);
            out
        };
        assert_eq!(text(r#"{"a": 1, "b": [true, null]}"#), text(r#"{"b":[true,null],"a":1}"#));
        assert_ne!(text(r#"{"a": 1}"#), text(r#"{"a": 1.5}"#));
        assert_ne!(text(r#"{"a": [1, 2]}"#), text(r#"{"a": [12]}"#));
        assert_ne!(text(r#"{"a": "x\",b:1"}"#), text(r#"{"a": "x", "b": 1}"#));
    }

    #[test]
    fn a_fresh_run_clears_the_folder_and_a_resumed_one_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(FOLDER);
        assert!(!open(&folder, "e", "h", true).unwrap(), "nothing to resume from yet");
        fs::write(folder.join("checkpoint"), "x").unwrap();
        assert!(open(&folder, "e", "h", true).unwrap());
        assert!(folder.join("checkpoint").exists());
        assert!(!open(&folder, "e", "h", false).unwrap());
        assert!(!folder.join("checkpoint").exists());
        close(&folder).unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn a_mismatch_is_refused_naming_both_sides() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join(FOLDER);
        open(&folder, "e", "old-hash", false).unwrap();
        let message = open(&folder, "e", "new-hash", true).unwrap_err().to_string();
        assert!(message.contains("old-hash") && message.contains("new-hash"), "{message}");

        let other = r#"{"format": 99, "experiment": "e", "config_hash": "old-hash"}"#;
        fs::write(folder.join(STAMP), other).unwrap();
        let message = open(&folder, "e", "old-hash", true).unwrap_err().to_string();
        assert!(message.contains("format 1, found 99"), "{message}");

        fs::write(folder.join(STAMP), "{").unwrap();
        assert!(open(&folder, "e", "old-hash", true).unwrap_err().to_string().contains("corrupt stamp"));
    }

    #[test]
    fn an_atomic_write_replaces_and_leaves_no_part_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_atomic(Path::new("/"), b"").is_err());
    }
}

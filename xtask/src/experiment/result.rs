//! `result.json`, the contract, and `about.json`, what a report needs beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::state::write_atomic;
use super::{Profile, Row};

/// The version of `result.json`; raise it when a field changes its meaning.
pub(crate) const FORMAT: u32 = 1;

/// The result of one experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResultFile {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The experiment's name.
    pub experiment: String,
    /// How much work was done.
    pub profile: Profile,
    /// The name of the data.
    pub data: String,
    /// The seed.
    pub seed: u64,
    /// What the result depends on, hashed.
    pub config_hash: String,
    /// The time it took; with a resumed run, since it was resumed.
    pub seconds: f64,
    /// The table.
    pub rows: Vec<Row>,
}

impl ResultFile {
    /// The file's name in the experiment's folder.
    pub(crate) const NAME: &str = "result.json";

    /// Reads the result in `folder`; none if there is none.
    ///
    /// # Errors
    /// When the file is unreadable, malformed, or of another format.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        read_json(&folder.join(Self::NAME))?
            .map(|text| Self::parse(&text).with_context(|| folder.join(Self::NAME).display().to_string()))
            .transpose()
    }

    /// Reads a result from its text.
    ///
    /// # Errors
    /// When the text is malformed or of another format.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        // The version comes first: another format may not even have the other fields.
        let Version { format } = serde_json::from_str(text).context("no result with a format version")?;
        ensure!(format == FORMAT, "expected result format {FORMAT}, found {format}");
        Ok(serde_json::from_str(text)?)
    }

    /// The file's text, with a line a field.
    pub(crate) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Writes the result into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write_atomic(&folder.join(Self::NAME), self.to_json()?.as_bytes())
    }
}

/// Where a result came from and what else there is to show: everything the report needs to be drawn again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The experiment's one line.
    pub title: String,
    /// The paper's citation.
    pub paper: String,
    /// The command that gives this result again.
    pub command: String,
    /// Processor, cores, system, compiler.
    pub machine: String,
    /// The pictures, in order.
    pub plots: Vec<Picture>,
    /// Other files in the folder.
    pub files: Vec<String>,
    /// Paragraphs.
    pub notes: Vec<String>,
}

/// One picture in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Picture {
    /// Its file's name.
    pub file: String,
    /// The line above it.
    pub title: String,
    /// The sentence below it.
    pub caption: String,
}

impl About {
    /// The file's name in the experiment's folder.
    pub(crate) const NAME: &str = "about.json";

    /// Reads it from `folder`; empty if there is none, for `result.json` stands alone.
    ///
    /// # Errors
    /// When the file is unreadable or malformed.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(Self::NAME);
        let Some(text) = read_json(&path)? else { return Ok(Self::default()) };
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Writes it into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        write_atomic(&folder.join(Self::NAME), text.as_bytes())
    }
}

fn read_json(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::experiment::{Better, Rule};

    fn example() -> ResultFile {
        ResultFile {
            format: FORMAT,
            experiment: "deep-compression".into(),
            profile: Profile::Quick,
            data: "mnist".into(),
            seed: u64::MAX,
            config_hash: "0123456789abcdef".into(),
            seconds: 12.5,
            rows: vec![
                Row::new("lenet5/compression-ratio", 41.5, "x", Better::Higher, Rule::AtLeast(39.0))
                    .paper(39.0),
                Row::new("lenet5/entropy", 4.25, "bits", Better::Lower, Rule::Report),
            ],
        }
    }

    #[test]
    fn the_file_has_exactly_the_fields_of_the_contract() {
        let value: Value = serde_json::from_str(&example().to_json().unwrap()).unwrap();
        let expected = json!({
            "format": 1,
            "experiment": "deep-compression",
            "profile": "quick",
            "data": "mnist",
            "seed": u64::MAX,
            "config_hash": "0123456789abcdef",
            "seconds": 12.5,
            "rows": [
                {"metric": "lenet5/compression-ratio", "paper": 39.0, "ours": 41.5, "unit": "x", "better": "higher",
                 "holds": true, "note": "at least 39"},
                {"metric": "lenet5/entropy", "paper": null, "ours": 4.25, "unit": "bits", "better": "lower",
                 "holds": true, "note": "no claim"},
            ],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_result_reads_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ResultFile::read(dir.path()).unwrap(), None);
        example().write(dir.path()).unwrap();
        assert_eq!(ResultFile::read(dir.path()).unwrap(), Some(example()));
    }

    #[test]
    fn another_format_is_refused_by_its_number() {
        let message = ResultFile::parse(r#"{"format": 7}"#).unwrap_err().to_string();
        assert!(message.contains("expected result format 1, found 7"), "{message}");
        for bad in ["", "{}", "[]", r#"{"format": 1}"#] {
            assert!(ResultFile::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_report_needs_is_optional_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(About::read(dir.path()).unwrap(), About::default());
        let picture = Picture { file: "a.svg".into(), title: "A".into(), caption: "b".into() };
        let about = About { title: "t".into(), plots: vec![picture], ..About::default() };
        about.write(dir.path()).unwrap();
        assert_eq!(About::read(dir.path()).unwrap(), about);
    }
}

//! Results shown: the table in the terminal, the pictures, the page.

pub(crate) mod html;
pub(crate) mod machine;
pub(crate) mod number;
pub(crate) mod plot;
pub(crate) mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::experiment::result::{About, ResultFile};
use crate::experiment::state::write_atomic;

/// One experiment's folder, read back.
#[derive(Debug)]
pub(crate) struct Section {
    /// The contract's part.
    pub result: ResultFile,
    /// What else there is to show.
    pub about: About,
    /// The folder.
    pub folder: PathBuf,
}

/// Reads every experiment under `out` that has a result, in the order of `names`, then the others by name.
///
/// # Errors
/// When a result is there but cannot be read.
pub(crate) fn read_sections(out: &Path, names: &[&str]) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    for entry in fs::read_dir(out).with_context(|| out.display().to_string())? {
        let folder = entry?.path();
        // The page itself lies beside the folders.
        if folder.is_dir()
            && let Some(result) = ResultFile::read(&folder)?
        {
            sections.push(Section { about: About::read(&folder)?, result, folder });
        }
    }
    let rank = |section: &Section| names.iter().position(|&name| name == section.result.experiment);
    sections.sort_by_key(|s| (rank(s).unwrap_or(usize::MAX), s.result.experiment.clone()));
    Ok(sections)
}

/// Writes `<out>/report.html` over all `sections`.
pub(crate) fn write_page(out: &Path, sections: &[Section]) -> Result<PathBuf> {
    let path = out.join("report.html");
    write_atomic(&path, html::page(sections)?.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Profile;

    #[test]
    fn earlier_results_join_in_a_fixed_order() {
        let out = tempfile::tempdir().unwrap();
        for name in ["zeta", "first", "alpha", "second"] {
            let folder = out.path().join(name);
            fs::create_dir(&folder).unwrap();
            let result = ResultFile {
                format: 1,
                experiment: name.into(),
                profile: Profile::Smoke,
                data: String::new(),
                seed: 0,
                config_hash: String::new(),
                seconds: 0.0,
                rows: vec![],
            };
            result.write(&folder).unwrap();
        }
        fs::create_dir(out.path().join("no-result")).unwrap();
        fs::write(out.path().join("report.html"), "").unwrap();
        let names: Vec<_> = read_sections(out.path(), &["first", "second"])
            .unwrap()
            .into_iter()
            .map(|section| section.result.experiment)
            .collect();
        assert_eq!(names, ["first", "second", "alpha", "zeta"]);

        fs::write(out.path().join("zeta/result.json"), "{").unwrap();
        assert!(read_sections(out.path(), &[]).is_err(), "a damaged result is not passed over");
    }
}

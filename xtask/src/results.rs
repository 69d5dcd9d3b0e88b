//! `cargo xtask results`: docs/results holds the committed results, and the README's table is made from them.
//!
//! Bare, it compares; `--write` rewrites the table; `--from DIR` first copies the finished full-profile results of an
//! output folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};

use crate::experiment::result::{About, ResultFile};
use crate::experiment::state::write_atomic;
use crate::experiment::{Profile, Row};
use crate::report::number::figure;
use crate::report::{Section, read_sections};
use crate::reproduce::EXPERIMENTS;

const BEGIN: &str = "<!-- results:begin -->";
const END: &str = "<!-- results:end -->";

/// The options of `cargo xtask results`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Copy the full-profile results of this output folder into docs/results first
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Rewrite the README's table
    #[arg(long)]
    write: bool,
}

/// Runs the command: status 1 when the table differs and is not rewritten.
///
/// # Errors
/// When a result cannot be read or copied, or the README has no place for a table.
pub(crate) fn run(args: &Args, root: &Path) -> Result<ExitCode> {
    if let Some(from) = &args.from {
        for name in copy(from, &folder(root))? {
            println!("docs/results/{name}: copied");
        }
    }
    let readme = root.join("README.md");
    let text = fs::read_to_string(&readme).with_context(|| readme.display().to_string())?;
    let updated = with_table(&text, &table(root)?)?;
    if updated == text {
        println!("README.md: the table agrees with docs/results");
    } else if args.write {
        write_atomic(&readme, updated.as_bytes())?;
        println!("README.md: the table is rewritten");
    } else {
        println!("README.md: the table differs from docs/results; `cargo xtask results --write` rewrites it");
        return Ok(ExitCode::from(1));
    }
    Ok(ExitCode::SUCCESS)
}

/// What tidy says about the README's table: nothing when it agrees, or when there is neither table nor result.
///
/// # Errors
/// When a result or the README cannot be read.
pub(crate) fn differences(root: &Path) -> Result<Vec<String>> {
    let Ok(text) = fs::read_to_string(root.join("README.md")) else { return Ok(vec![]) };
    let table = table(root)?;
    if !text.contains(BEGIN) && table.is_empty() {
        return Ok(vec![]);
    }
    Ok(match with_table(&text, &table) {
        Ok(updated) if updated == text => vec![],
        Ok(_) => vec![
            "README.md: the table differs from docs/results; `cargo xtask results --write` rewrites it"
                .into(),
        ],
        Err(error) => vec![format!("{error:#}")],
    })
}

fn folder(root: &Path) -> PathBuf {
    root.join("docs/results")
}

/// The table over every committed result, empty if there is none.
fn table(root: &Path) -> Result<String> {
    let folder = folder(root);
    if !folder.exists() {
        return Ok(String::new());
    }
    let names: Vec<_> = EXPERIMENTS.iter().map(|experiment| experiment.name()).collect();
    Ok(markdown(&read_sections(&folder, &names)?))
}

/// The headline rows of `sections` as a Markdown table.
fn markdown(sections: &[Section]) -> String {
    let lines: String = sections
        .iter()
        .flat_map(|section| section.result.rows.iter().map(move |row| (section, row)))
        .filter(|(_, row)| row.is_headline())
        .map(|(section, row)| markdown_line(&section.result.experiment, row))
        .collect();
    if lines.is_empty() {
        return lines;
    }
    format!("| experiment | metric | paper | ours | unit | verdict |\n|---|---|---:|---:|---|---|\n{lines}")
}

fn markdown_line(experiment: &str, row: &Row) -> String {
    let paper = row.papers_figure().map_or_else(|| "–".to_owned(), figure);
    let cells = [experiment, row.metric(), &paper, &figure(row.ours()), row.unit(), row.verdict().word()];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// `text` with `table` between its markers.
fn with_table(text: &str, table: &str) -> Result<String> {
    let place = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?)));
    let Some((head, (_, tail))) = place else {
        bail!("README.md: expected a place for the table, the lines `{BEGIN}` and `{END}`");
    };
    ensure!(!tail.contains(BEGIN), "README.md: expected one place for the table, found two");
    Ok(format!("{head}{BEGIN}\n{table}{END}{tail}"))
}

/// Copies results, pictures and their description: what a reader of the repository looks at.
fn copy(from: &Path, to: &Path) -> Result<Vec<String>> {
    let mut copied = Vec::new();
    for Section { result, about, folder } in read_sections(from, &[])? {
        if result.profile != Profile::Full {
            println!("{}: {} profile, left out", result.experiment, result.profile.word());
            continue;
        }
        let target = to.join(&result.experiment);
        if target.exists() {
            fs::remove_dir_all(&target).with_context(|| format!("removing {}", target.display()))?;
        }
        fs::create_dir_all(&target).with_context(|| format!("making {}", target.display()))?;
        let pictures = about.plots.iter().map(|picture| picture.file.as_str());
        for name in pictures.chain([ResultFile::NAME, About::NAME]) {
            let (source, target) = (folder.join(name), target.join(name));
            fs::copy(&source, &target).with_context(|| format!("copying {}", source.display()))?;
        }
        copied.push(result.experiment);
    }
    ensure!(!copied.is_empty(), "{}: expected a result of the full profile, found none", from.display());
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::result::{FORMAT, Picture};
    use crate::experiment::{Better, Rule};

    fn result(profile: Profile) -> ResultFile {
        ResultFile {
            format: FORMAT,
            experiment: "exp".into(),
            profile,
            data: "mnist".into(),
            seed: 1,
            config_hash: "0".into(),
            seconds: 1.0,
            rows: vec![
                Row::new("net/compression-ratio", 41.0, "x", Better::Higher, Rule::AtLeast(39.0)).paper(39.0),
                Row::new("net/detail", 1.0, "x", Better::Higher, Rule::Report),
            ],
        }
    }

    /// An output folder with one result.
    fn out(profile: Profile) -> tempfile::TempDir {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("exp");
        fs::create_dir(&folder).unwrap();
        result(profile).write(&folder).unwrap();
        let picture = Picture { file: "p.svg".into(), title: String::new(), caption: String::new() };
        About { plots: vec![picture], ..About::default() }.write(&folder).unwrap();
        fs::write(folder.join("p.svg"), "<svg/>").unwrap();
        fs::write(folder.join("large.nnc"), "bytes").unwrap();
        out
    }

    #[test]
    fn the_table_shows_headline_rows_only() {
        let section =
            Section { result: result(Profile::Full), about: About::default(), folder: PathBuf::new() };
        assert_eq!(
            markdown(&[section]),
            "| experiment | metric | paper | ours | unit | verdict |\n|---|---|---:|---:|---|---|\n\
             | exp | net/compression-ratio | 39 | 41 | x | holds |\n"
        );
        assert_eq!(markdown(&[]), "");
    }

    #[test]
    fn the_table_goes_between_the_markers_and_nowhere_else() {
        let text = format!("# A\n\n{BEGIN}\nold\n{END}\n\nrest\n");
        let updated = with_table(&text, "| new |\n").unwrap();
        assert_eq!(updated, format!("# A\n\n{BEGIN}\n| new |\n{END}\n\nrest\n"));
        assert_eq!(with_table(&updated, "| new |\n").unwrap(), updated);
        for bad in ["", BEGIN, &format!("{END} {BEGIN}"), &format!("{text}{text}")] {
            assert!(with_table(bad, "").is_err(), "{bad}");
        }
    }

    #[test]
    fn committed_results_and_the_readme_must_agree() {
        let (root, out) = (tempfile::tempdir().unwrap(), out(Profile::Full));
        assert!(differences(root.path()).unwrap().is_empty(), "no README, no results");
        let readme = root.path().join("README.md");
        fs::write(&readme, "# A\n").unwrap();
        assert!(differences(root.path()).unwrap().is_empty(), "no table, no results");
        assert_eq!(copy(out.path(), &folder(root.path())).unwrap(), ["exp"]);
        assert!(differences(root.path()).unwrap()[0].contains("expected a place"));
        fs::write(&readme, format!("# A\n{BEGIN}\n{END}\n")).unwrap();
        assert!(differences(root.path()).unwrap()[0].contains("differs"));
        run(&Args { from: None, write: true }, root.path()).unwrap();
        assert!(differences(root.path()).unwrap().is_empty());
        assert!(fs::read_to_string(&readme).unwrap().contains("| 41 |"));
    }

    #[test]
    fn only_full_results_are_copied_and_no_archives() {
        let to = tempfile::tempdir().unwrap();
        assert!(copy(out(Profile::Quick).path(), to.path()).is_err());
        copy(out(Profile::Full).path(), to.path()).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(to.path().join("exp")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["about.json", "p.svg", "result.json"]);
    }
}

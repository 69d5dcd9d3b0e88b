//! Rules on every text file: no trailing space, a final newline, no path of one machine.

use super::SourceFile;

/// Folders under the root of a file system that hold one person's or one machine's files.
const MACHINE_FOLDERS: [&str; 9] = ["home", "root", "Users", "tmp", "work", "opt", "mnt", "srv", "private"];

/// Files that come from elsewhere and are kept as they are.
fn is_verbatim(path: &str) -> bool {
    path.starts_with("LICENSE-") || path.contains("proptest-regressions/") || path.contains("/golden/v")
}

/// Findings in one text file.
pub(super) fn check(file: &SourceFile) -> Vec<String> {
    let SourceFile { path, text } = file;
    let mut findings = Vec::new();
    if is_verbatim(path) {
        return findings;
    }
    for (idx, line) in text.lines().enumerate() {
        let mut found = |what: String| findings.push(format!("{path}:{}: {what}", idx + 1));
        if line.ends_with([' ', '\t']) {
            found("trailing space".into());
        }
        if let Some(folder) = machine_path(line) {
            found(format!("a path of one machine (/{folder}/…)"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(format!("{path}: no newline at the end"));
    }
    findings
}

/// The folder of the first absolute path in `line` that belongs to one machine.
fn machine_path(line: &str) -> Option<&'static str> {
    MACHINE_FOLDERS.into_iter().find(|folder| {
        let path = format!("/{folder}/");
        line.match_indices(&path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + path.len()..].chars().next();
            // `docs/work/x` and `https://host/home/x` are no paths of a machine; `/work/` in a sentence may be any.
            let starts = before.is_none_or(|c| !(c.is_alphanumeric() || "._-/~*}".contains(c)));
            starts && after.is_some_and(|c| c.is_alphanumeric() || "._-".contains(c))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        check(&SourceFile { path: "a.md".into(), text: text.into() })
    }

    #[test]
    fn trailing_space_and_a_missing_newline_are_found() {
        assert!(findings("a\n\nb\n").is_empty());
        assert!(findings("").is_empty());
        assert_eq!(findings("a \nb\t\n").len(), 2);
        assert_eq!(findings("a"), ["a.md: no newline at the end"]);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        for folder in MACHINE_FOLDERS {
            for (before, after) in
                [("see ", "x"), ("\"", "me/x\""), ("", "x"), ("--out=", "x"), ("(", ".cache)")]
            {
                let line = format!("{before}/{folder}/{after}\n");
                assert_eq!(findings(&line).len(), 1, "{line}");
            }
            for (before, after) in
                [("docs", "x"), ("https://host", "x"), ("~", "x"), ("a ", " b"), ("$DIR}", "x")]
            {
                let line = format!("{before}/{folder}/{after}\n");
                assert!(findings(&line).is_empty(), "{line}");
            }
        }
    }

    #[test]
    fn files_from_elsewhere_are_kept_as_they_are() {
        let file = SourceFile { path: "LICENSE-APACHE".into(), text: "a \nb".into() };
        assert!(check(&file).is_empty());
    }
}

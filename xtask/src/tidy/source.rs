//! Rules on Rust files: a header, a list of files with `unsafe`, no ignored tests, a length to think about.

use super::SourceFile;

/// Beyond this many lines a file is asked whether it is two ideas.
const LONG: usize = 600;

/// Findings in one Rust file.
pub(super) fn check(file: &SourceFile) -> Vec<String> {
    let SourceFile { path, text } = file;
    let mut findings = Vec::new();
    if !has_header(text) {
        findings.push(format!("{path}: expected a `//!` header that says what the file is for"));
    }
    // In two parts, or this line would be found.
    let ignore = concat!("#[", "ignore");
    for (idx, _) in text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with(ignore)) {
        let advice = "slow tests ask nnc_testing::slow_tests()";
        findings.push(format!("{path}:{}: no ignored tests; {advice}", idx + 1));
    }
    findings
}

/// Whether the first line that is neither empty nor an inner attribute is a `//!` comment with words in it.
fn has_header(text: &str) -> bool {
    let mut open_brackets = 0_usize;
    for line in text.lines().map(str::trim) {
        if open_brackets > 0 || line.starts_with("#![") {
            open_brackets += line.matches('[').count();
            open_brackets = open_brackets.saturating_sub(line.matches(']').count());
        } else if !line.is_empty() {
            return line.strip_prefix("//!").is_some_and(|words| !words.trim().is_empty());
        }
    }
    false
}

/// Files that allow `unsafe` and are not in the list, and files in the list that do not allow it.
pub(super) fn check_unsafe(files: &[SourceFile], list: &[&str]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| allows_unsafe(&file.text)) {
        if !list.contains(&file.path.as_str()) {
            let advice = "only kernels may, and tidy.rs lists them";
            findings.push(format!("{}: allows unsafe code; {advice}", file.path));
        }
    }
    for path in list {
        if !files.iter().any(|file| file.path == *path && allows_unsafe(&file.text)) {
            findings.push(format!("{path}: in the list of files with unsafe code, and does not allow it"));
        }
    }
    findings
}

/// Whether an attribute lifts the workspace's `unsafe_code = "deny"`, on one line or over several.
fn allows_unsafe(text: &str) -> bool {
    text.split("unsafe_code").skip(1).zip(text.split("unsafe_code")).any(|(_, before)| {
        let attribute = before.rfind("#[").max(before.rfind("#![")).map_or("", |start| &before[start..]);
        let lifts = attribute.contains("allow") || attribute.contains("expect") || attribute.contains("warn");
        lifts && !attribute.contains(']')
    })
}

/// What to say about a file that is very long.
pub(super) fn length_warning(file: &SourceFile) -> Option<String> {
    let n_lines = file.text.lines().count();
    (n_lines > LONG).then(|| format!("{}: {n_lines} lines; is it two ideas?", file.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> SourceFile {
        SourceFile { path: "a.rs".into(), text: text.into() }
    }

    #[test]
    fn headers_may_follow_inner_attributes_and_must_have_words() {
        for good in [
            "//! What it is for.\n",
            "\n#![no_std]\n//! What it is for.\n",
            "#![allow(\n    dead_code,\n    reason = \"x[0]\"\n)]\n\n//! What it is for.\nfn f() {}\n",
        ] {
            assert!(check(&file(good)).is_empty(), "{good}");
        }
        for bad in [
            "",
            "fn f() {}\n",
            "// not a header\n",
            "//!\n",
            "/// item\nfn f() {}\n",
            "#![no_std]\nfn f() {}\n",
        ] {
            assert_eq!(check(&file(bad)).len(), 1, "{bad}");
        }
    }

    #[test]
    fn ignored_tests_are_found_with_their_line() {
        let text = format!("//! x\n\n    {}]\nfn f() {{}}\n", concat!("#[", "ignore"));
        let findings = check(&file(&text));
        assert!(findings.len() == 1 && findings[0].starts_with("a.rs:3:"), "{findings:?}");
    }

    #[test]
    fn unsafe_is_allowed_in_listed_files_only() {
        let one = file(concat!("#![", "allow(unsafe_code, reason = \"kernel\")]\n"));
        let many =
            file(concat!("#![", "allow(\n    clippy::x,\n    unsafe_code,\n    reason = \"kernel\"\n)]\n"));
        for kernel in [one, many] {
            let kernel = [kernel];
            assert!(check_unsafe(&kernel, &["a.rs"]).is_empty());
            assert_eq!(check_unsafe(&kernel, &[]).len(), 1);
        }
        let plain = [file(
            "#![forbid(unsafe_code)]\n// allow(unsafe_code)\n#[allow(x)]\nconst A: &str = \"unsafe_code\";",
        )];
        assert!(check_unsafe(&plain, &[]).is_empty());
        assert_eq!(check_unsafe(&plain, &["a.rs", "gone.rs"]).len(), 2, "stale entries");
    }

    #[test]
    fn long_files_are_only_warned_about() {
        let long = format!("//! x\n{}", "\n".repeat(LONG));
        assert!(check(&file(&long)).is_empty());
        assert!(length_warning(&file(&long)).is_some_and(|warning| warning.contains("601")));
        assert!(length_warning(&file("//! x\n")).is_none());
    }
}

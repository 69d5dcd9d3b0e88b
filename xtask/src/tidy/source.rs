//! Rules on Rust files: a header, lists of those with `unsafe` and of those that read the test set, no ignored tests, a
//! length to think about.

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

/// Files that allow `unsafe` outside `places`, and files in `places` that are gone or no longer do.
pub(super) fn check_unsafe(files: &[SourceFile], places: &[&str]) -> Vec<String> {
    let advice = "only kernels may allow unsafe code, and tidy.rs lists them";
    check_places(files, places, |file| allows_unsafe(&file.text), advice)
}

/// Files that read the test set outside `places`, and files in `places` that are gone or no longer do.
pub(super) fn check_test_set(files: &[SourceFile], places: &[&str]) -> Vec<String> {
    let advice = "only final reports may read the test set, and tidy.rs lists them";
    check_places(files, places, |file| reads_test_set(&file.text), advice)
}

/// What `does` finds outside `places` (files, and folders that end in `/`), and files in `places` where it finds nothing.
///
/// A folder may hold nothing of the kind; a single file that does not is a line to be taken out of the list.
fn check_places(
    files: &[SourceFile],
    places: &[&str],
    does: impl Fn(&SourceFile) -> bool,
    advice: &str,
) -> Vec<String> {
    let is_listed = |path: &str| {
        places.iter().any(|place| if place.ends_with('/') { path.starts_with(place) } else { path == *place })
    };
    let found: Vec<&str> = files.iter().filter(|file| does(file)).map(|file| file.path.as_str()).collect();
    let mut findings: Vec<_> =
        found.iter().filter(|path| !is_listed(path)).map(|path| format!("{path}: {advice}")).collect();
    let stale = places.iter().filter(|place| !place.ends_with('/') && !found.contains(place));
    findings.extend(stale.map(|place| format!("{place}: listed in tidy.rs without need; {advice}")));
    findings
}

/// Whether code, not a comment, names the method that gives the test set out.
fn reads_test_set(text: &str) -> bool {
    // In two parts, or this line would be found.
    let method = concat!("into", "_test");
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(method)
            .any(|(at, _)| !line[..at].ends_with(is_word) && !line[at + method.len()..].starts_with(is_word))
    })
}

/// Whether an attribute lifts the workspace's `unsafe_code = "deny"`, on one line or over several.
fn allows_unsafe(text: &str) -> bool {
    text.match_indices("unsafe_code").any(|(at, _)| {
        let before = &text[..at];
        let Some(start) = before.rfind("#[").max(before.rfind("#![")) else { return false };
        let (line, attribute) = (before[..start].rsplit('\n').next().unwrap_or_default(), &before[start..]);
        let lifts = attribute.contains("allow") || attribute.contains("expect") || attribute.contains("warn");
        // An attribute opens its line; one inside a text does not count.
        line.trim().is_empty() && lifts && !attribute.contains(']')
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
        assert!(check_unsafe(&plain, &["kernel/"]).is_empty(), "a folder may be empty");
        let inside =
            [SourceFile { path: "kernel/a.rs".into(), ..file("#[allow(unsafe_code)]\nfn f() {}\n") }];
        assert!(check_unsafe(&inside, &["kernel/"]).is_empty());
        assert_eq!(check_unsafe(&inside, &["kern/", "kernel/b/"]).len(), 1);
    }

    #[test]
    fn the_test_set_is_read_in_listed_files_only() {
        let method = concat!("into", "_test");
        for (code, reads) in [
            (format!("let t = splits.{method}()?;\n"), true),
            (format!("open(dir).and_then(Splits::{method})\n"), true),
            (format!("// splits.{method}() would\n/// [`{method}`]\n"), false),
            (format!("x.{method}_order(); not_{method}();\n"), false),
        ] {
            assert_eq!(check_test_set(&[file(&code)], &[]).len(), usize::from(reads), "{code}");
            assert_eq!(check_test_set(&[file(&code)], &["a.rs"]).len(), usize::from(!reads), "{code}");
        }
    }

    #[test]
    fn long_files_are_only_warned_about() {
        let long = format!("//! x\n{}", "\n".repeat(LONG));
        assert!(check(&file(&long)).is_empty());
        assert!(length_warning(&file(&long)).is_some_and(|warning| warning.contains("601")));
        assert!(length_warning(&file("//! x\n")).is_none());
    }
}

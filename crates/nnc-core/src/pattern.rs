//! Patterns of parameter names.

use crate::{Error, Result};

/// Those of `names` that one of `patterns` [`matches()`], in the order of `names`, each once.
///
/// # Errors
/// [`Error::NoMatch`] for a pattern that matches none of them, with the names there are.
///
/// # Example
/// ```
/// use nnc_core::pattern;
/// let names = ["conv1.weight", "conv1.bias", "ip1.weight"];
/// assert_eq!(pattern::select(&["ip*.weight", "conv1.*"], &names)?, names);
/// assert!(pattern::select(&["fc*"], &names).unwrap_err().to_string().contains("`fc*` matches no parameter"));
/// # Ok::<(), nnc_core::Error>(())
/// ```
pub fn select(patterns: &[impl AsRef<str>], names: &[impl AsRef<str>]) -> Result<Vec<String>> {
    let names = || names.iter().map(AsRef::as_ref);
    let patterns = || patterns.iter().map(AsRef::as_ref);
    match patterns().find(|pattern| !names().any(|name| matches(pattern, name))) {
        Some(pattern) => Err(Error::NoMatch {
            what: "parameter",
            pattern: pattern.to_owned(),
            known: names().map(ToOwned::to_owned).collect(),
        }),
        None => Ok(names()
            .filter(|name| patterns().any(|pattern| matches(pattern, name)))
            .map(ToOwned::to_owned)
            .collect()),
    }
}

/// Whether `pattern` matches the whole of `name`; `*` stands for any characters, also none.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = pattern.contains('*').then(|| pattern.rsplit('*').next().unwrap_or_default()) else {
        return rest.is_empty();
    };
    let n_inner = pattern.matches('*').count() - 1;
    for part in parts.take(n_inner) {
        // The leftmost place is never worse: it leaves the most for the parts behind.
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, expected) in [
            ("ip1.weight", "ip1.weight", true),
            ("ip1.weight", "ip1.weights", false),
            ("*", "", true),
            ("*", "anything", true),
            ("*.weight", "ip1.weight", true),
            ("*.weight", "ip1.bias", false),
            ("ip*.weight", "ip.weight", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }
}

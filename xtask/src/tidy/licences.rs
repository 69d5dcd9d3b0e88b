//! Every dependency has a licence that `deny.toml` allows.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::metadata::Package;

/// The licences that `deny.toml` allows: there is one list, and it is there.
///
/// # Errors
/// When the file has no such list.
pub(super) fn allowed(deny: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Deny {
        licenses: Licenses,
    }
    #[derive(Deserialize)]
    struct Licenses {
        allow: Vec<String>,
    }
    let deny: Deny = toml::from_str(deny).context("deny.toml: expected a list `licenses.allow`")?;
    Ok(deny.licenses.allow)
}

/// Every package of `packages` whose licence is missing or not allowed.
pub(super) fn check(packages: &[Package], allowed: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    for Package { name, license, .. } in packages {
        match license {
            None => findings.push(format!("package {name}: no licence")),
            Some(expression) if !is_allowed(expression, allowed) => {
                findings.push(format!("package {name}: licence `{expression}` is not in deny.toml"));
            }
            Some(_) => {}
        }
    }
    findings
}

/// Whether an SPDX expression leaves a way that uses allowed licences only; what cannot be read is not allowed.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    // Old manifests write `MIT/Apache-2.0` for OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = Words { words: spaced.split_whitespace().collect(), at: 0, allowed };
    words.any_of() == Some(true) && words.at == words.words.len()
}

/// A reader of `OR` over `AND` over names and brackets; none where the text does not fit.
struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
    allowed: &'a [String],
}

impl<'a> Words<'a> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.words.get(self.at) == Some(&word);
        self.at += usize::from(found);
        found
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied()?;
        self.at += 1;
        Some(word)
    }

    fn any_of(&mut self) -> Option<bool> {
        let mut value = self.all_of()?;
        while self.take("OR") {
            value |= self.all_of()?;
        }
        Some(value)
    }

    fn all_of(&mut self) -> Option<bool> {
        let mut value = self.one()?;
        while self.take("AND") {
            value &= self.one()?;
        }
        Some(value)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let value = self.any_of()?;
            return self.take(")").then_some(value);
        }
        let mut name = self.next().filter(|word| ![")", "AND", "OR", "WITH"].contains(word))?.to_owned();
        if self.take("WITH") {
            name = format!("{name} WITH {}", self.next()?);
        }
        Some(self.allowed.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_allowed_when_one_way_through_them_is() {
        let allowed =
            ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-3-Clause"].map(String::from);
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("MIT/GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("MIT AND BSD-3-Clause", true),
            ("(MIT OR GPL-3.0) AND BSD-3-Clause", true),
            ("(MIT AND GPL-3.0) OR (GPL-2.0)", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("GPL-3.0 OR MIT AND GPL-2.0", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT)", false),
            ("MIT MIT", false),
        ] {
            assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn packages_without_an_allowed_licence_are_named() {
        let package = |license: Option<&str>| Package {
            id: "p".into(),
            name: "p".into(),
            license: license.map(Into::into),
            dependencies: vec![],
        };
        let allowed = allowed("[licenses]\nallow = [\"MIT\"]\n").unwrap();
        assert!(check(&[package(Some("MIT"))], &allowed).is_empty());
        assert_eq!(check(&[package(Some("GPL-3.0")), package(None)], &allowed).len(), 2);
        assert!(super::allowed("[bans]").is_err());
    }
}

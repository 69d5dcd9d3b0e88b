//! Dependency arrows point down: the layers of `docs/architecture.md`, read from the manifests.

use super::metadata::{Dependency, Package};

/// A package and those of ours it may depend on.
struct Layer {
    name: &'static str,
    /// Allowed always.
    may: &'static [&'static str],
    /// Allowed only as an optional dependency.
    may_optionally: &'static [&'static str],
}

const fn layer(name: &'static str, may: &'static [&'static str]) -> Layer {
    Layer { name, may, may_optionally: &[] }
}

const fn leaf(name: &'static str) -> Layer {
    Layer { name, may: &[], may_optionally: &["nnc-core"] }
}

/// Everything below `xtask` and the benchmarks.
const ALL: &[&str] = &[
    "nnc",
    "nnc-core",
    "nnc-huffman",
    "nnc-gemmlowp",
    "nnc-prune",
    "nnc-quant",
    "nnc-distill",
    "nnc-cascade",
    "nnc-sparse-engine",
];

/// The arrows, from the bottom up.
const LAYERS: &[Layer] = &[
    layer("nnc-testing", &[]),
    leaf("nnc-huffman"),
    leaf("nnc-gemmlowp"),
    layer("nnc-core", &[]),
    layer("nnc-prune", &["nnc-core"]),
    layer("nnc-quant", &["nnc-core", "nnc-gemmlowp"]),
    layer("nnc-distill", &["nnc-core"]),
    layer("nnc-cascade", &["nnc-core"]),
    layer("nnc-sparse-engine", &["nnc-core", "nnc-gemmlowp", "nnc-huffman"]),
    layer("nnc", ALL),
    layer("nnc-benches", ALL),
    layer("xtask", ALL),
];

/// The helper of tests, which may be a dev-dependency of any package and nothing else.
const TESTING: &str = "nnc-testing";

/// The one package that names the framework's version.
const FRAMEWORK_OWNER: &str = "nnc-core";

/// Every arrow of `packages` that points up or sideways.
pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let ours: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in packages {
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == package.name) else {
            findings.push(format!("package {}: no layer; give it one in tidy/arrows.rs", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            findings.extend(check_arrow(layer, dependency, &ours));
        }
    }
    findings
}

fn check_arrow(layer: &Layer, dependency: &Dependency, ours: &[&str]) -> Option<String> {
    let (from, to) = (layer.name, dependency.name.as_str());
    if to.starts_with("candle") && from != FRAMEWORK_OWNER {
        return Some(format!("{from} → {to}: only {FRAMEWORK_OWNER} names candle; use its re-export"));
    }
    if !ours.contains(&to) {
        return None;
    }
    if to == TESTING {
        let is_dev = dependency.kind.as_deref() == Some("dev");
        return (!is_dev).then(|| format!("{from} → {to}: expected a dev-dependency"));
    }
    if layer.may.contains(&to) && to != from {
        return None;
    }
    if layer.may_optionally.contains(&to) {
        return (!dependency.optional).then(|| format!("{from} → {to}: a leaf names it only as optional"));
    }
    Some(format!("{from} → {to}: arrows point down (docs/architecture.md)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(from: &str, to: &str, kind: Option<&str>, optional: bool) -> Vec<Package> {
        let package = |name: &str, dependencies| Package {
            id: name.into(),
            name: name.into(),
            license: None,
            dependencies,
        };
        let dependency = Dependency { name: to.into(), kind: kind.map(Into::into), optional };
        let mut packages: Vec<_> =
            LAYERS.iter().filter(|l| l.name != from).map(|l| package(l.name, vec![])).collect();
        packages.push(package(from, vec![dependency]));
        packages
    }

    #[test]
    fn arrows_that_point_down_pass() {
        for (from, to, kind, optional) in [
            ("nnc-prune", "nnc-core", None, false),
            ("nnc-quant", "nnc-gemmlowp", None, false),
            ("nnc-huffman", "nnc-core", None, true),
            ("nnc-huffman", "rayon", None, true),
            ("nnc-core", "nnc-testing", Some("dev"), false),
            ("nnc-core", "candle-core", None, false),
            ("nnc", "nnc-quant", None, false),
            ("xtask", "nnc", None, false),
        ] {
            assert_eq!(check(&packages(from, to, kind, optional)), Vec::<String>::new(), "{from} → {to}");
        }
    }

    #[test]
    fn arrows_that_point_up_or_sideways_are_named() {
        for (from, to, kind, optional) in [
            ("nnc-core", "nnc-huffman", None, false),
            ("nnc-core", "nnc-huffman", None, true),
            ("nnc-prune", "nnc-quant", None, false),
            ("nnc-prune", "nnc-quant", Some("dev"), false),
            ("nnc-huffman", "nnc-core", None, false),
            ("nnc-huffman", "nnc-gemmlowp", None, true),
            ("nnc-core", "nnc-testing", None, false),
            ("nnc-quant", "candle-core", None, false),
            ("nnc", "xtask", None, false),
            ("nnc-benches", "xtask", None, false),
            ("nnc-elastic", "nnc-core", None, false),
        ] {
            let findings = check(&packages(from, to, kind, optional));
            assert_eq!(findings.len(), 1, "{from} → {to}: {findings:?}");
            assert!(findings[0].contains(from), "{findings:?}");
        }
    }
}

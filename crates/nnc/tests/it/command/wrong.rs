//! Wrong command lines, wrong files: exit codes and messages of one line that name the file.

use nnc_core::candle::{Device, Tensor};
use nnc_core::params::{ParamKind, Params};

use super::{Dir, args, name, nnc, nnc_ok};
use crate::samples::every_form;

#[test]
fn help_teaches_by_example() {
    let help = nnc_ok(["--help"]);
    for word in ["compress", "inspect", "eval", "unpack", "Examples:", "Exit codes:"] {
        assert!(help.contains(word), "{help}");
    }
    for subcommand in ["compress", "inspect", "eval", "unpack"] {
        let help = nnc_ok([subcommand, "--help"]);
        assert!(help.contains(&format!("Examples:\n  nnc {subcommand} ")), "{help}");
    }
    assert!(nnc_ok(["--version"]).starts_with("nnc 0."));
}

#[test]
fn wrong_command_lines_end_with_2() {
    for line in [
        &[][..],
        &["squeeze"],
        &["inspect"],
        &["inspect", "a", "--xml"],
        &["unpack", "a.nnc"],
        &["eval", "a.nnc"],
    ] {
        let run = nnc(line);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{line:?}");
        assert!(run.stderr.contains("Usage:"), "{}", run.stderr);
    }
}

#[track_caller]
fn check_failure(arguments: &[&dyn AsRef<std::ffi::OsStr>], words: &[&str]) {
    let run = nnc(args(arguments.iter().copied()));
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.starts_with("nnc: "), "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "expected `{word}` in {}", run.stderr);
    }
}

#[test]
fn files_that_are_missing_damaged_or_something_else_end_with_1() {
    let dir = Dir::new();
    let (missing, other) = (dir.path("missing.nnc"), dir.write("other.nnc", "PK\x03\x04"));
    let mut bytes = every_form().write().unwrap();
    let cut = dir.write("cut.nnc", &bytes[..100]);
    bytes[77] ^= 1;
    let damaged = dir.write("damaged.nnc", &bytes);
    let output = dir.path("out.safetensors");
    for (file, word) in [
        (&missing, "No such file"),
        (&other, "not an .nnc file"),
        (&cut, "damaged or cut"),
        (&damaged, "damaged or cut"),
    ] {
        check_failure(&[&"inspect", file], &[name(file), word]);
        check_failure(&[&"unpack", file, &"-o", &output], &[name(file), word]);
        check_failure(&[&"eval", file, &"--data", &dir.0.path()], &[name(file), word]);
    }
    assert!(!output.exists());
}

#[test]
fn small_files_that_claim_terabytes_are_unpacked_only_by_force() {
    let dir = Dir::new();
    let zeros = crate::archive::huge_weight_of_zeros();
    let file = dir.write("huge.nnc", zeros);
    let output = dir.path("out.safetensors");
    check_failure(&[&"unpack", &file, &"-o", &output], &["huge.nnc", "MiB of dense weights", "--force"]);
    assert!(nnc_ok(args([&"inspect" as &dyn AsRef<_>, &file])).contains("1000000000000"));
}

#[test]
fn recipes_that_do_not_fit_are_explained() {
    let dir = Dir::new();
    let mut params = Params::new();
    params.insert(
        "a.weight",
        ParamKind::Weight,
        Tensor::new(&[[1_f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap(),
    );
    let model = dir.path("model.safetensors");
    params.save(&model).unwrap();
    let output = dir.path("model.nnc");
    let check = |recipe: &str, words: &[&str]| {
        let recipe = dir.write("recipe.toml", recipe);
        check_failure(&[&"compress", &model, &"--recipe", &recipe, &"-o", &output], words);
        assert!(!output.exists());
    };
    check("[[layer]]\nmatch = \"b.*\"", &["recipe.toml", "`b.*` matches no parameter", "a.weight"]);
    check("[[layer]]\nmatch = \"a.*\"\nprunes = 1", &["recipe.toml", "line 3", "prunes"]);
    check("[[layer]]\nmatch = \"a.*\"\nshare = { bits = 40 }", &["recipe.toml", "share.bits"]);
    let training = "[training]\nn_epochs = 1\nbatch_size = 64\n\
        optimizer = { kind = \"sgd\", momentum = 0.9, nesterov = true, weight_decay = 0.0 }\n\
        schedule = { kind = \"cosine\", lr = 0.02, end = 0.0, warmup = 0.0 }\n";
    check(training, &["recipe.toml", "[training] needs data", "cargo xtask reproduce"]);
}

#[test]
fn models_that_cannot_be_compressed_are_explained() {
    let dir = Dir::new();
    let recipe = dir.write("recipe.toml", "");
    let output = dir.path("model.nnc");
    let mut params = Params::new();
    params.insert("steps", ParamKind::Buffer, Tensor::new(16_777_217_i64, &Device::Cpu).unwrap());
    let model = dir.path("model.safetensors");
    params.save(&model).unwrap();
    let line: [&dyn AsRef<_>; 6] = [&"compress", &model, &"--recipe", &recipe, &"-o", &output];
    check_failure(
        &line,
        &["model.safetensors", "tensor `steps`", "integers that 32-bit floats hold exactly"],
    );
    std::fs::write(&model, b"not a safetensors file").unwrap();
    check_failure(&line, &["model.safetensors"]);
}

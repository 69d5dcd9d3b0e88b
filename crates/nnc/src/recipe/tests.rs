//! What a recipe may say, and how what it may not is refused.

use super::*;

const SMALL: &str = r#"
    [[layer]]
    match = "ip1.weight"
    prune = { density = 0.08 }
    share = { bits = 6 }
    store = { index_bits = 5 }

    [[layer]]
    match = "*.weight"
    prune = { quality = 1.5 }
"#;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn the_first_matching_layer_counts() {
    let recipe = Recipe::from_toml(SMALL).unwrap();
    let assigned = recipe.assign(&names(&["ip1.weight", "ip1.bias", "ip2.weight"])).unwrap();
    let prunes: Vec<_> = assigned.iter().map(|layer| layer.and_then(|layer| layer.prune)).collect();
    assert_eq!(prunes, [Some(Prune::Density(0.08)), None, Some(Prune::Quality(1.5))]);
    assert_eq!(assigned[2].unwrap().store, Store::default());
}

#[test]
fn a_pattern_that_nothing_takes_is_an_error() {
    let recipe = Recipe::from_toml(SMALL).unwrap();
    let message = recipe.assign(&names(&["ip1.weight", "ip1.bias"])).unwrap_err().to_string();
    assert!(message.contains("`*.weight` matches no parameter") && message.contains("ip1.bias"), "{message}");
}

const PHASE: &str = r#"{ n_epochs = 1, batch_size = 2, optimizer = { kind = "sgd", momentum = 0.9, nesterov = true, weight_decay = 0.0 }, schedule = { kind = "cosine", lr = 0.1, end = 0.0, warmup = 0.0 } }"#;

#[test]
fn numbers_of_phases_out_of_range_are_named_with_their_place() {
    Recipe::from_toml(&format!("training = {PHASE}")).unwrap();
    for (right, wrong, message) in [
        ("n_epochs = 1", "n_epochs = 0", "n_epochs`: expected at least 1, got 0"),
        ("batch_size = 2", "batch_size = 0", "batch_size`: expected at least 1, got 0"),
        ("momentum = 0.9", "momentum = 1.0", "optimizer.momentum`: expected a number in [0, 1), got 1"),
        ("weight_decay = 0.0", "weight_decay = nan", "optimizer.weight_decay`: expected a finite number"),
        ("lr = 0.1", "lr = 0.0", "schedule.lr`: expected a finite number above 0, got 0"),
        ("end = 0.0", "end = -1.0", "schedule.end`: expected a finite number of at least 0, got -1"),
        ("warmup = 0.0", "warmup = 2.0", "schedule.warmup`: expected a number in [0, 1), got 2"),
    ] {
        let broken = PHASE.replace(right, wrong);
        for (place, text) in [
            ("training", format!("training = {broken}")),
            ("retraining.round", format!("[retraining]\nrounds = 2\nround = {broken}\nlast = {PHASE}")),
            ("retraining.last", format!("[retraining]\nrounds = 2\nround = {PHASE}\nlast = {broken}")),
            ("sharing.phase", format!("[sharing]\nphase = {broken}")),
        ] {
            let error = Recipe::from_toml(&text).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { .. }), "{error}");
            assert!(error.to_string().contains(&format!("`{place}.{message}")), "{error}");
        }
    }
    let text = format!("[sharing]\nlr_scale = -1.0\nphase = {PHASE}");
    assert!(Recipe::from_toml(&text).unwrap_err().to_string().contains("`sharing.lr_scale`"));
}

#[test]
fn unknown_fields_are_errors_wherever_they_stand() {
    for (known, with_unknown) in [
        ("n_epochs = 1", "n_epochs = 1, n_epoch = 3"),
        ("momentum = 0.9", "momentum = 0.9, dampening = 0.1"),
        ("lr = 0.1", "lr = 0.1, gamma = 0.5"),
    ] {
        let text = format!("training = {}", PHASE.replace(known, with_unknown));
        let unknown = with_unknown.split([',', '=']).nth(2).unwrap().trim();
        let error = Recipe::from_toml(&text).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(&format!("unknown field `{unknown}`")), "{error}");
    }
    for fields in [
        "kind = \"adam\", beta1 = 0.9, beta2 = 0.9, epsilon = 1e-8, weight_decay = 0.0, amsgrad = true",
        "kind = \"adam\", beta1 = 0.9, beta2 = 0.9, epsilon = 1e-8, weight_decay = 0.0, momentum = 0.9",
    ] {
        let sgd = "kind = \"sgd\", momentum = 0.9, nesterov = true, weight_decay = 0.0";
        let text = format!("training = {}", PHASE.replace(sgd, fields));
        let message = Recipe::from_toml(&text).unwrap_err().to_string();
        assert!(message.contains("unknown field `"), "{message}");
    }
}

#[test]
fn one_round_needs_no_training_but_the_last() {
    let text = |rounds| format!("[retraining]\nrounds = {rounds}\nlast = {PHASE}");
    let retraining = Recipe::from_toml(&text(1)).unwrap().retraining.unwrap();
    assert_eq!((retraining.round, retraining.phase(1).unwrap()), (None, &retraining.last));
    let message = Recipe::from_toml(&text(2)).unwrap_err().to_string();
    assert_eq!(
        message,
        "invalid `retraining`: expected a [retraining.round] section, since there are 2 rounds, got none"
    );
}

#[test]
fn wrong_recipes_are_explained() {
    for (text, word) in [
        ("[[layer]]\nmatch = \"a\"\nprune = { density = 0.0 }", "prune.density of layer `a`"),
        ("[[layer]]\nmatch = \"a\"\nshare = { bits = 13 }", "share.bits"),
        ("[[layer]]\nmatch = \"a\"\nprunes = { density = 0.1 }", "prunes"),
        ("seed = ", "line 1"),
    ] {
        let message = Recipe::from_toml(text).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn rounds_end_at_the_goal() {
    assert_eq!(Prune::Density(0.25).at_round(1, 2), Prune::Density(0.5));
    assert_eq!(Prune::Density(0.25).at_round(2, 2), Prune::Density(0.25));
    assert_eq!(Prune::Quality(1.0).at_round(1, 4), Prune::Quality(0.25));
}

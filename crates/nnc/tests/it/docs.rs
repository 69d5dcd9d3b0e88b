//! The recipes that the pages print are recipes.

use std::path::Path;

use nnc::recipe::Recipe;

/// The fenced `toml` blocks of a page of the repository.
fn toml_blocks(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match &mut open {
            Some(_) if line.trim_end() == "```" => blocks.extend(open.take()),
            Some(block) => *block += &format!("{line}\n"),
            None if line.trim_end() == "```toml" => open = Some(String::new()),
            None => {}
        }
    }
    assert!(open.is_none(), "{page}: a block without an end");
    blocks
}

#[test]
fn the_recipes_of_the_deep_compression_page_are_read() {
    let recipes: Vec<Recipe> = toml_blocks("docs/deep-compression.md")
        .iter()
        .map(|text| Recipe::from_toml(text).unwrap_or_else(|e| panic!("{e}\n{text}")))
        .collect();
    // The page shows a whole one: every section that there is.
    let is_whole = |recipe: &Recipe| {
        !recipe.layers.is_empty()
            && recipe.training.is_some()
            && recipe.retraining.is_some_and(|retraining| retraining.round.is_some())
            && recipe.sharing.is_some()
    };
    assert!(recipes.iter().any(is_whole), "{recipes:?}");
}

#[test]
fn the_recipe_of_the_readme_is_read() {
    let recipes: Vec<_> =
        toml_blocks("README.md").into_iter().filter(|text| text.contains("[[layer]]")).collect();
    assert_eq!(recipes.len(), 1);
    let recipe = Recipe::from_toml(&recipes[0]).unwrap();
    assert!(recipe.layers[0].prune.is_some() && recipe.layers[0].share.is_some());
}

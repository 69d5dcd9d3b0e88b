//! `nnc compress`: a safetensors file and a recipe → an archive.

use std::path::{Path, PathBuf};

use clap::Args;
use nnc::archive::Archive;
use nnc::pipeline;
use nnc::recipe::Recipe;
use nnc_core::Error;
use nnc_core::candle::{DType, Device, Tensor};
use nnc_core::params::{Param, Params};

use super::{Failure, progress};

/// Prunes, shares and codes the tensors of a safetensors file as a recipe says, and writes an archive.
///
/// A recipe names parameters by pattern and says what happens to each: `prune` keeps the largest entries, `share` replaces
/// values by a few shared ones (k-means), and what is left is stored in the form with the fewest bytes. A tensor that no
/// pattern matches is kept as it is. Nothing is trained here: recipes with a training section need data and a network.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nnc compress model.safetensors --recipe recipe.toml -o model.nnc

  where recipe.toml says, for example:

    [[layer]]
    match = \"fc*.weight\"           # the first pattern that matches a name counts
    prune = { density = 0.1 }      # keep the largest tenth; or { quality = 1.5 }: above 1.5 sigma
    share = { bits = 5 }           # codes of 5 bits, one of them for zero

    [[layer]]
    match = \"*.weight\"
    share = { bits = 8 }")]
pub(super) struct Compress {
    /// The safetensors file, of any model.
    file: PathBuf,
    /// What to do, in TOML.
    #[arg(short, long)]
    recipe: PathBuf,
    /// The archive to write.
    #[arg(short, long)]
    output: PathBuf,
}

impl Compress {
    pub(super) fn run(self) -> Result<String, Failure> {
        let text =
            std::fs::read_to_string(&self.recipe).map_err(|error| Failure::in_file(&self.recipe, error))?;
        let recipe = Recipe::from_toml(&text).map_err(Failure::of(&self.recipe))?;
        check_data_free(&self.recipe, &recipe)?;
        let params = Params::load(&self.file, &Device::Cpu).map_err(Failure::of(&self.file))?;
        let params =
            params.into_iter().map(to_f32).collect::<Result<Params, _>>().map_err(Failure::of(&self.file))?;
        let spinner = progress::spinner(format!("{} tensors", params.len()));
        let weights = pipeline::compress(&params, &recipe);
        spinner.finish_and_clear();
        // A pattern without match is the recipe's fault; all else is about the tensors.
        let weights = weights.map_err(|error| match error {
            Error::NoMatch { .. } => Failure::in_file(&self.recipe, error),
            other => Failure::of(&self.file)(other),
        })?;
        let archive = Archive { weights, ..Archive::default() };
        archive.write_file(&self.output).map_err(Failure::of(&self.output))?;
        let n_bytes =
            std::fs::metadata(&self.output).map_err(|error| Failure::in_file(&self.output, error))?.len();
        let dense = archive.dense_bytes();
        let ratio = dense as f64 / n_bytes as f64;
        Ok(format!("{}: {n_bytes} bytes, {ratio:.1} times smaller than {dense}\n", self.output.display()))
    }
}

/// Refuses what this command cannot do, and says who can.
fn check_data_free(path: &Path, recipe: &Recipe) -> Result<(), Failure> {
    let sections = [
        ("training", recipe.training.is_some()),
        ("retraining", recipe.retraining.is_some()),
        ("sharing", recipe.sharing.is_some()),
    ];
    match sections.iter().find(|(_, is_there)| *is_there) {
        None => Ok(()),
        Some((section, _)) => Err(Failure::in_file(
            path,
            format!(
                "[{section}] needs data, which a safetensors file does not bring: leave only [[layer]] sections, \
                 or train with `cargo xtask reproduce deep-compression` or nnc::deep_compression"
            ),
        )),
    }
}

/// The tensor as 32-bit floats; integers only where none of them is rounded.
fn to_f32(param: &Param) -> nnc_core::Result<Param> {
    let Param { name, kind, tensor } = param;
    let floats = tensor.to_dtype(DType::F32)?;
    if tensor.dtype().is_int() && !same(&floats.to_dtype(tensor.dtype())?, tensor)? {
        let what = format!("tensor `{name}`");
        return Err(Error::invalid(
            what,
            "integers that 32-bit floats hold exactly",
            tensor.dtype().as_str(),
        ));
    }
    Ok(Param { name: name.clone(), kind: *kind, tensor: floats })
}

fn same(a: &Tensor, b: &Tensor) -> nnc_core::Result<bool> {
    let differences = a.ne(b)?.to_dtype(DType::U32)?.sum_all()?.to_scalar::<u32>()?;
    Ok(differences == 0)
}

//! The command line: one module a subcommand, each a function from arguments to the text to print.

mod compress;
mod eval;
mod failure;
mod inspect;
mod open;
mod progress;
mod table;
mod unpack;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Compresses neural networks into one small file, says what each of its bytes is for, and runs it.
#[derive(Debug, Parser)]
#[command(name = "nnc", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    subcommand: Command,
}

const EXAMPLES: &str = "\
Examples:
  nnc compress model.safetensors --recipe recipe.toml -o model.nnc
  nnc inspect model.nnc
  nnc eval lenet-5.nnc --data data/mnist
  nnc unpack model.nnc -o restored.safetensors

Exit codes: 0 done, 1 a file or its data is wrong, 2 the command line is wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    Compress(compress::Compress),
    Inspect(inspect::Inspect),
    Eval(eval::Eval),
    Unpack(unpack::Unpack),
}

impl Cli {
    /// Does what was asked for; the text is for standard output.
    pub(crate) fn run(self) -> Result<String, Failure> {
        match self.subcommand {
            Command::Compress(compress) => compress.run(),
            Command::Inspect(inspect) => inspect.run(),
            Command::Eval(eval) => eval.run(),
            Command::Unpack(unpack) => unpack.run(),
        }
    }
}

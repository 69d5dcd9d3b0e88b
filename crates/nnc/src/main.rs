//! The `nnc` command: compress, inspect, evaluate and unpack networks.
//!
//! Exit codes: 0 done, 1 a file or its data is wrong, 2 the command line is wrong.

mod command;

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

/// The system allocator gives freed pages back and faults them in again with every batch; mimalloc keeps them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let text = match command::Cli::parse().run() {
        Ok(text) => text,
        Err(failure) => {
            eprintln!("nnc: {failure}");
            return ExitCode::from(1);
        }
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads the output has seen enough (`nnc inspect model.nnc | head`).
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nnc: standard output: {error}");
            ExitCode::from(1)
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

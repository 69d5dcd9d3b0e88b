//! `nnc inspect`: the ledger of an archive.

use std::path::PathBuf;

use clap::Args;
use nnc::archive::{Ledger, VERSION, ledger};
use serde_json::json;

use super::Failure;
use super::table::columns;

/// Says what each byte of an archive is for; the lines sum to the file's length.
///
/// The first table has a line for each weight: how it is stored, how much of it is not zero, bits for each entry, and how
/// many times smaller than 32-bit floats. The second has a line for each part; beside a stream stands its entropy, the
/// size below which no code for single symbols can go.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  nnc inspect model.nnc
  nnc inspect model.nnc --json > ledger.json")]
pub(super) struct Inspect {
    /// The archive.
    file: PathBuf,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self) -> Result<String, Failure> {
        let bytes = std::fs::read(&self.file).map_err(|error| Failure::in_file(&self.file, error))?;
        let ledger = ledger(&bytes).map_err(Failure::of(&self.file))?;
        Ok(if self.json { json(&ledger) } else { text(&ledger) })
    }
}

fn json(ledger: &Ledger) -> String {
    let value = json!({
        "format_version": VERSION,
        "file_bytes": ledger.file_bytes,
        "n_params": ledger.n_params(),
        "ratio": ledger.ratio(),
        "weights": ledger.weights,
        "rows": ledger.rows,
    });
    format!("{value:#}\n")
}

fn text(ledger: &Ledger) -> String {
    let weights: Vec<_> = ledger
        .weights
        .iter()
        .map(|weight| {
            [
                weight.name.clone(),
                weight.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×"),
                weight.form.clone(),
                number(100.0 * weight.density(), 2),
                number(weight.bits_per_entry(), 3),
                weight.bytes.to_string(),
                number(weight.ratio(), 1),
            ]
        })
        .collect();
    let header = ["weight", "shape", "stored as", "density %", "bits/entry", "bytes", "ratio"];
    let weights = columns(header, [false, false, false, true, true, true, true], &weights);
    let mut parts: Vec<_> = ledger
        .rows
        .iter()
        .map(|row| {
            [
                row.weight.clone().unwrap_or_default(),
                row.part.as_str().to_owned(),
                row.bytes.to_string(),
                number(100.0 * row.bytes as f64 / ledger.file_bytes as f64, 2),
                row.entropy_bits.map(|bits| number(bits / 8.0, 1)).unwrap_or_default(),
            ]
        })
        .collect();
    let all =
        ["all".to_owned(), String::new(), ledger.file_bytes.to_string(), "100.00".to_owned(), String::new()];
    parts.push(all);
    let header = ["of", "part", "bytes", "share %", "entropy, bytes"];
    let parts = columns(header, [false, false, true, true, true], &parts);
    let dense = 4 * ledger.n_params();
    let ratio = number(ledger.ratio(), 1);
    format!(
        "{weights}\n{parts}\n{} bytes for {dense} bytes of 32-bit floats: {ratio} times smaller\n",
        ledger.file_bytes
    )
}

/// A number with so many digits, or a dash where there is none (nothing divided by nothing).
fn number(value: f64, n_digits: usize) -> String {
    if value.is_finite() { format!("{value:.n_digits$}") } else { "-".to_owned() }
}

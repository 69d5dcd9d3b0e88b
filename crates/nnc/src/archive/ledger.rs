//! What each byte of an archive is for.

use nnc_core::Result;
use nnc_core::params::ParamKind;
use nnc_core::weight::{Half, Positions, StoredWeight, Symbols, Values, WeightTensor as _};
use serde::Serialize;

use super::reader::{CHECKSUM_BYTES, Entry};
use super::{Reader, stream};

/// What a stretch of an archive is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// Magic, version, flags.
    Header,
    /// Nodes, operators, their names and settings.
    Network,
    /// Mean and standard deviation of the input.
    Normalization,
    /// How long a weight's record is, and its name and kind unless the network tells.
    Directory,
    /// Which form a weight is stored in: its first byte, widths, counts, lengths of streams.
    Form,
    /// Rank and dimensions.
    Shape,
    /// The mask, or the gaps.
    Positions,
    /// The code of the gaps, and where its blocks begin.
    PositionTable,
    /// Floats, codes, or codebook indices.
    Values,
    /// The code of the value stream, and where its blocks begin.
    ValueTable,
    /// The shared values.
    Codebook,
    /// Scales and zero points.
    Scales,
    /// The CRC-32.
    Checksum,
}

impl Part {
    /// Its name in tables: words in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Network => "network",
            Self::Normalization => "normalization",
            Self::Directory => "directory",
            Self::Form => "form",
            Self::Shape => "shape",
            Self::Positions => "positions",
            Self::PositionTable => "position table",
            Self::Values => "values",
            Self::ValueTable => "value table",
            Self::Codebook => "codebook",
            Self::Scales => "scales",
            Self::Checksum => "checksum",
        }
    }
}

/// A line of the ledger: one part of the file, or of one weight's share in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Whose part it is; `None` for the file's own.
    pub weight: Option<String>,
    /// What it is for.
    pub part: Part,
    /// How large it is.
    pub bytes: u64,
    /// For a stream of symbols, or a mask: bits that an ideal order-0 coder would need for it.
    pub entropy_bits: Option<f64>,
}

/// A weight as it is stored, in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WeightRow {
    /// Its name.
    pub name: String,
    /// `weight`, `bias` or `buffer`.
    pub kind: &'static str,
    /// Its dense shape.
    pub shape: Vec<usize>,
    /// Positions and values in words, for example `gaps 5 bits, coded; codebook of 32, coded`.
    pub form: String,
    /// Entries of the dense weight.
    pub n_entries: u64,
    /// Stored slots, fillers included.
    pub n_slots: u64,
    /// Slots that do not hold +0.0.
    pub n_nonzero: u64,
    /// All rows of the ledger that name it.
    pub bytes: u64,
}

impl WeightRow {
    /// Share of entries that are not +0.0, in `[0, 1]`.
    pub fn density(&self) -> f64 {
        self.n_nonzero as f64 / self.n_entries as f64
    }

    /// Bits of the file for each entry of the dense weight.
    pub fn bits_per_entry(&self) -> f64 {
        8.0 * self.bytes as f64 / self.n_entries as f64
    }

    /// How many times smaller than dense 32-bit floats.
    pub fn ratio(&self) -> f64 {
        4.0 * self.n_entries as f64 / self.bytes as f64
    }
}

/// What each byte of an archive is for; the rows sum to the file's length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ledger {
    /// Length of the file.
    pub file_bytes: u64,
    /// Every part, in the order of the file but for the directory, whose lines stand with their weights.
    pub rows: Vec<Row>,
    /// Every weight, in the order of the file.
    pub weights: Vec<WeightRow>,
}

impl Ledger {
    /// Entries of all weights, buffers included.
    pub fn n_params(&self) -> u64 {
        self.weights.iter().map(|weight| weight.n_entries).sum()
    }

    /// How many times smaller the file is than its weights as dense 32-bit floats.
    pub fn ratio(&self) -> f64 {
        4.0 * self.n_params() as f64 / self.file_bytes as f64
    }

    /// Bytes of all rows for one part.
    pub fn bytes_of(&self, part: Part) -> u64 {
        self.rows.iter().filter(|row| row.part == part).map(|row| row.bytes).sum()
    }
}

/// Accounts for each byte of an archive.
///
/// The rows come from the reader: a byte is counted where it is read.
///
/// # Errors
/// As [`Archive::read`](super::Archive::read).
pub fn ledger(bytes: &[u8]) -> Result<Ledger> {
    let reader = Reader::new(bytes)?;
    // A ledger is for whole archives: one whose weights do not fit its network is damaged.
    reader.archive()?;
    let mut ledger = Ledger { file_bytes: bytes.len() as u64, rows: Vec::new(), weights: Vec::new() };
    for &(part, n_bytes) in reader.head() {
        ledger.push(None, part, n_bytes, None);
    }
    for entry in reader.entries() {
        ledger.push_weight(&reader, entry)?;
    }
    ledger.push(None, Part::Checksum, CHECKSUM_BYTES, None);
    Ok(ledger)
}

impl Ledger {
    /// Adds `n_bytes` to the row of this weight and part; an empty stretch makes no row.
    fn push(&mut self, weight: Option<&str>, part: Part, n_bytes: usize, entropy_bits: Option<f64>) {
        if n_bytes == 0 {
            return;
        }
        let same = |row: &&mut Row| row.weight.as_deref() == weight && row.part == part;
        match self.rows.last_mut().filter(same) {
            Some(row) => row.bytes += n_bytes as u64,
            None => {
                let weight = weight.map(str::to_owned);
                self.rows.push(Row { weight, part, bytes: n_bytes as u64, entropy_bits });
            }
        }
    }

    fn push_weight(&mut self, reader: &Reader<'_>, entry: &Entry) -> Result<()> {
        let (weight, mut marks) = reader.decode(entry)?;
        let footprint = weight.footprint();
        let entropy = |part| match (part, weight.values()) {
            (Part::Positions, _) => Some(footprint.positions.entropy_bits),
            (Part::Values, Values::Affine(_) | Values::Codebook(_)) => Some(footprint.values.entropy_bits),
            _ => None,
        };
        marks.push((Part::Directory, entry.n_directory));
        // One row a part; a stable sort keeps nothing that matters, as stretches of one part only add up.
        marks.sort_by_key(|&(part, _)| part as u8);
        for (part, n_bytes) in marks {
            self.push(Some(&entry.name), part, n_bytes, entropy(part));
        }
        self.weights.push(weight_row(
            &entry.name,
            entry.kind,
            &weight,
            entry.n_directory + entry.record.len(),
        )?);
        Ok(())
    }
}

fn weight_row(name: &str, kind: ParamKind, weight: &StoredWeight, n_bytes: usize) -> Result<WeightRow> {
    Ok(WeightRow {
        name: name.to_owned(),
        kind: kind.as_str(),
        shape: weight.shape().to_vec(),
        form: form(weight),
        n_entries: weight.n_entries() as u64,
        n_slots: weight.n_slots() as u64,
        n_nonzero: weight.n_nonzero()? as u64,
        bytes: n_bytes as u64,
    })
}

/// Positions and values in words.
fn form(weight: &StoredWeight) -> String {
    let coded = |symbols: &dyn Symbols| if stream::coded(symbols).is_some() { ", coded" } else { "" };
    let values = match weight.values() {
        Values::F32(_) => "f32".to_owned(),
        Values::Half(Half::F16(_)) => "f16".to_owned(),
        Values::Half(Half::Bf16(_)) => "bf16".to_owned(),
        Values::Affine(affine) => {
            format!("affine {} bits{}", affine.grid().bits(), coded(&**affine.codes()))
        }
        Values::Codebook(codebook) => {
            format!("codebook of {}{}", codebook.table().len(), coded(&**codebook.indices()))
        }
        _ => "other".to_owned(),
    };
    match weight.positions() {
        Positions::All => values,
        Positions::Mask(_) => format!("mask; {values}"),
        Positions::Gaps(gaps) => {
            format!("gaps {} bits{}; {values}", gaps.bits(), coded(&**gaps.skips()))
        }
        Positions::Blocks(blocks) => {
            let (size, bits, coded) = (blocks.size(), blocks.bits(), coded(&**blocks.skips()));
            format!("blocks of {size}, skips {bits} bits{coded}; {values}")
        }
        _ => format!("other; {values}"),
    }
}

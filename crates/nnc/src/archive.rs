//! The `.nnc` archive: a network and its weights as they are stored, in one small checked file.
//!
//! [`Archive`] is the whole file in memory; [`Reader`] goes to one weight without decoding the others; [`ledger`] says what
//! each byte is for. `docs/archive-format.md` gives each field in bits.
//!
//! Weights come back bit for bit, in the form they were written in: positions, values, order, packed or coded streams. The
//! same archive gives the same bytes. A reader takes bytes from anywhere: what is wrong with them is an error, never a
//! panic, and memory is used for what the file holds, not for what it claims. Only [`Archive::params`] makes weights dense;
//! [`Archive::dense_bytes`] says beforehand how large they get.
//!
//! # Example
//! ```
//! use nnc::archive::Archive;
//! use nnc_core::candle::{Device, Tensor};
//! use nnc_core::network::Network;
//! use nnc_core::params::ParamKind;
//! use nnc_core::weight::{Form, Order, StoredWeight};
//!
//! let (network, _) = Network::builder().input("x", &[3]).linear("ip", 2).output("y").build()?;
//! let weight = Tensor::new(&[[0_f32, 0.5, 0.0], [0.0, 0.0, -1.0]], &Device::Cpu)?;
//! let weight = StoredWeight::dense(&weight)?.rearrange(Form::Mask, Order::RowMajor)?;
//! let bias = StoredWeight::dense(&Tensor::new(&[0.25_f32, 0.0], &Device::Cpu)?)?;
//! let weights = vec![("ip.weight".into(), ParamKind::Weight, weight), ("ip.bias".into(), ParamKind::Bias, bias)];
//! let archive = Archive { network: Some(network), weights, ..Archive::default() };
//!
//! let bytes = archive.write()?;
//! let expected: &[&[u8]] = &[
//!     b"NNC\x01", &[0b101],                       // version 1; a network; names follow from it
//!     &[1], &[1, b'x', 1, 3],                     // one input: its name, its rank, its dimension
//!     &[1], &[2, b'i', b'p', 1 | 0x40],           // one node: its name; a linear operator with bias
//!     &[1], &[1, b'y', 1],                        // one output: its name, the value with number 1
//!     &[13, 11],                                  // lengths of the two records
//!     &[1, 2, 2, 3, 0b100010],                    // mask × f32; shape (2, 3); the mask
//!     &[0, 0, 0, 0x3f], &[0, 0, 0x80, 0xbf],      // 0.5 and -1.0
//!     &[0, 1, 2], &[0, 0, 0x80, 0x3e], &[0; 4],   // all × f32; shape (2,); 0.25 and 0.0
//!     &bytes[bytes.len() - 4..],                  // CRC-32
//! ];
//! assert_eq!(bytes, expected.concat());
//! assert_eq!(Archive::read(&bytes)?.write()?, bytes);
//! # Ok::<(), nnc_core::Error>(())
//! ```

mod bytes;
mod checksum;
mod graph;
mod ledger;
mod reader;
mod record;
mod stream;
mod validate;
mod writer;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use nnc_core::candle::Device;
use nnc_core::data::Normalization;
use nnc_core::network::Network;
use nnc_core::params::{ParamKind, Params};
use nnc_core::weight::{StoredWeight, WeightTensor as _};
use nnc_core::{Error, Result};

pub use ledger::{Ledger, Part, Row, WeightRow, ledger};
pub use reader::Reader;
pub use stream::StreamCoding;

/// The version of the format that this crate writes and reads.
pub const VERSION: u8 = 1;

/// The first bytes of every archive; the version follows.
pub const MAGIC: [u8; 3] = *b"NNC";

/// What else an archive knows, so that its network can be run from the file alone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Meta {
    /// How pixels become the network's input: `1 + 8 · channels` bytes where there is one.
    pub normalization: Option<Normalization>,
}

/// A network and its weights as they are stored.
#[derive(Debug, Clone, Default)]
pub struct Archive {
    /// The graph; without one the file holds weights only.
    pub network: Option<Network>,
    /// Every parameter and buffer in its stored form, in the order of the file.
    ///
    /// With a network all of its parameters must be here. Where they come in the network's own order
    /// ([`Network::param_names`]) and nothing else does, names and kinds cost no bytes.
    pub weights: Vec<(String, ParamKind, StoredWeight)>,
    /// What else is known.
    pub meta: Meta,
}

impl Archive {
    /// The bytes of the file.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) for a name of more than 255 bytes or used twice, a shape of more than 8
    /// dimensions, and a form or operator that the version cannot hold; [`NotFound`](Error::NotFound) or
    /// [`ShapeMismatch`](Error::ShapeMismatch) where the weights are not those of the network.
    pub fn write(&self) -> Result<Vec<u8>> {
        writer::write(self)
    }

    /// Writes the file: beside it first, then renamed, so that no half a file is ever seen under its name.
    ///
    /// # Errors
    /// [`Io`](Error::Io), and those of [`write`](Self::write).
    pub fn write_file(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = self.write()?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".partial");
        let write = || {
            let mut file = fs::File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&beside, path)
        };
        write().map_err(|error| {
            // What is left of a failed attempt is of no use; that it cannot be removed changes nothing.
            let _ = fs::remove_file(&beside);
            Error::io(path, error)
        })
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) or [`UnexpectedEnd`](Error::UnexpectedEnd) where they are no archive of this version, or
    /// a damaged one.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        Reader::new(bytes)?.archive()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Io`](Error::Io), and those of [`read`](Self::read).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let bytes = fs::read(&path).map_err(|error| Error::io(&path, error))?;
        Self::read(&bytes)
    }

    /// The stored form of the parameter `name`.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) with the names there are.
    pub fn weight(&self, name: &str) -> Result<&StoredWeight> {
        let found = self.weights.iter().find(|(known, _, _)| known == name);
        let known = || self.weights.iter().map(|(known, _, _)| known.clone());
        found.map(|(_, _, weight)| weight).ok_or_else(|| Error::not_found("parameter", name, known()))
    }

    /// Bytes of all weights as dense 32-bit floats: what [`params`](Self::params) allocates.
    ///
    /// A few bytes may claim a huge weight that is nearly all zeros, so whoever reads files of unknown origin asks this first.
    pub fn dense_bytes(&self) -> u64 {
        let counts = self.weights.iter().map(|(_, _, weight)| weight.n_entries() as u64);
        counts.fold(0, |sum, n_entries| sum.saturating_add(n_entries.saturating_mul(4)))
    }

    /// All weights, dense on `device`.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) when a stream turns out to be; what candle says of the device.
    pub fn params(&self, device: &Device) -> Result<Params> {
        let mut params = Params::new();
        for (name, kind, weight) in &self.weights {
            params.insert(name, *kind, weight.to_dense(device)?);
        }
        Ok(params)
    }
}

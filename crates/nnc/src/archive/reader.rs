//! Bytes → archive, one weight at a time.

use std::ops::Range;

use nnc_core::data::Normalization;
use nnc_core::network::Network;
use nnc_core::params::ParamKind;
use nnc_core::weight::StoredWeight;
use nnc_core::{Error, Result};

use super::bytes::Cursor;
use super::checksum::crc32;
use super::writer::{KINDS, derived_names, flags};
use super::{Archive, MAGIC, Meta, Part, VERSION, graph, record, validate};

/// What errors call the bytes.
const WHAT: &str = "archive";

/// Bytes of the checksum at the end.
pub(super) const CHECKSUM_BYTES: usize = 4;

/// Bytes that stand before anything that has a length of its own: magic, version, flags.
const PREFIX_BYTES: usize = 5;

/// An archive whose weights are still bytes: each is decoded when it is asked for.
///
/// # Example
/// ```
/// # use nnc::archive::{Archive, Reader};
/// # use nnc_core::candle::{Device, Tensor};
/// # use nnc_core::params::ParamKind;
/// # use nnc_core::weight::StoredWeight;
/// # let dense = StoredWeight::dense(&Tensor::new(&[1_f32, 2.0], &Device::Cpu)?)?;
/// # let weights = vec![("a".into(), ParamKind::Weight, dense.clone()), ("b".into(), ParamKind::Bias, dense)];
/// # let bytes = Archive { weights, ..Archive::default() }.write()?;
/// let reader = Reader::new(&bytes)?;
/// assert_eq!(reader.names().collect::<Vec<_>>(), ["a", "b"]);
/// assert_eq!(reader.weight("b")?.to_dense_vec()?, [1.0, 2.0]);
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    network: Option<Network>,
    meta: Meta,
    entries: Vec<Entry>,
    /// What the bytes before the first record are for, where it is no single weight.
    head: Vec<(Part, usize)>,
}

/// A weight's line in the directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: ParamKind,
    /// Where its record lies in the file.
    pub(super) record: Range<usize>,
    /// Bytes of its line.
    pub(super) n_directory: usize,
}

impl<'a> Reader<'a> {
    /// Checks the checksum and reads everything but the weights.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) or [`UnexpectedEnd`](Error::UnexpectedEnd) where the bytes are no archive of this
    /// version, or a damaged one.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let body = checked_body(bytes)?;
        let mut cursor = Cursor::new(WHAT, body);
        cursor.take(PREFIX_BYTES - 1)?;
        let flag_bits = cursor.byte()?;
        let derived = flag_bits & flags::DERIVED_NAMES != 0;
        let known = flags::NETWORK | flags::NORMALIZATION | flags::DERIVED_NAMES;
        if flag_bits & !known != 0 || (derived && flag_bits & flags::NETWORK == 0) {
            return Err(cursor.corrupt(format!("flags {flag_bits:#010b}")));
        }
        cursor.mark(Part::Header);
        let mut network = None;
        if flag_bits & flags::NETWORK != 0 {
            network = Some(graph::take_network(&mut cursor)?);
            cursor.mark(Part::Network);
        }
        let mut meta = Meta::default();
        if flag_bits & flags::NORMALIZATION != 0 {
            let n_channels = usize::from(cursor.byte()?);
            let (mean, std) = (cursor.f32s(n_channels)?, cursor.f32s(n_channels)?);
            meta.normalization = Some(cursor.blame(Normalization::new(mean, std))?);
            cursor.mark(Part::Normalization);
        }
        let names = network.as_ref().filter(|_| derived).map(derived_names);
        let entries = take_directory(&mut cursor, names)?;
        Ok(Self { bytes, network, meta, entries, head: cursor.into_marks() })
    }

    /// The network, if there is one.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// What else is known.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// How many weights there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names of the weights, in the order of the file.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    /// Decodes the weight `name`.
    ///
    /// # Errors
    /// [`NotFound`](Error::NotFound) with the names there are; [`Corrupt`](Error::Corrupt) or
    /// [`UnexpectedEnd`](Error::UnexpectedEnd) where its record is damaged.
    pub fn weight(&self, name: &str) -> Result<StoredWeight> {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        let entry = entry.ok_or_else(|| Error::not_found("parameter", name, self.names()))?;
        Ok(self.decode(entry)?.0)
    }

    /// Decodes the weights one after the other, in the order of the file.
    pub fn weights(&self) -> impl ExactSizeIterator<Item = Result<(String, ParamKind, StoredWeight)>> {
        self.entries.iter().map(|entry| Ok((entry.name.clone(), entry.kind, self.decode(entry)?.0)))
    }

    /// Decodes all of it, and checks that the weights are those of the network.
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt) or [`UnexpectedEnd`](Error::UnexpectedEnd).
    pub fn archive(&self) -> Result<Archive> {
        let weights = self.weights().collect::<Result<_>>()?;
        let archive = Archive { network: self.network.clone(), weights, meta: self.meta.clone() };
        validate::check(&archive).map_err(|error| Error::corrupt(WHAT, error.to_string()))?;
        Ok(archive)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn head(&self) -> &[(Part, usize)] {
        &self.head
    }

    /// Decodes a record; also says what its bytes are for.
    pub(super) fn decode(&self, entry: &Entry) -> Result<(StoredWeight, Vec<(Part, usize)>)> {
        let what = format!("weight `{}` of the archive", entry.name);
        let mut cursor = Cursor::new(what, &self.bytes[entry.record.clone()]);
        let weight = record::decode(&mut cursor)?;
        Ok((weight, cursor.finish()?))
    }
}

/// All bytes but the checksum, once that was found right.
fn checked_body(bytes: &[u8]) -> Result<&[u8]> {
    let n_magic = bytes.len().min(MAGIC.len());
    if bytes[..n_magic] != MAGIC[..n_magic] {
        return Err(Error::corrupt(WHAT, "not an .nnc file: wrong first bytes"));
    }
    let least = PREFIX_BYTES + CHECKSUM_BYTES;
    if bytes.len() < least {
        let got = bytes.len() as u64;
        return Err(Error::UnexpectedEnd { what: WHAT.into(), expected: least as u64, got });
    }
    if bytes[MAGIC.len()] != VERSION {
        let why = format!("format version {}, this program reads version {VERSION}", bytes[MAGIC.len()]);
        return Err(Error::corrupt(WHAT, why));
    }
    let (body, crc) = bytes.split_last_chunk::<CHECKSUM_BYTES>().expect("longer than a checksum");
    let (found, stored) = (crc32(body), u32::from_le_bytes(*crc));
    if found != stored {
        let why = format!("the checksum is {found:08x} where the file says {stored:08x}: damaged or cut");
        return Err(Error::corrupt(WHAT, why));
    }
    Ok(body)
}

/// Reads the directory; the records that it describes fill what is left of the cursor.
fn take_directory(
    cursor: &mut Cursor<'_>,
    derived: Option<impl Iterator<Item = (String, ParamKind)>>,
) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    if let Some(names) = derived {
        for (name, kind) in names {
            let before = cursor.left();
            entries.push(take_line(cursor, before, name, kind)?);
        }
    } else {
        let n_weights = cursor.varint()?;
        cursor.mark(Part::Directory);
        for _ in 0..n_weights {
            let before = cursor.left();
            let name = cursor.name()?;
            let kind = KINDS.get(usize::from(cursor.byte()?)).copied();
            let kind = kind.ok_or_else(|| cursor.corrupt(format!("no kind of parameter for `{name}`")))?;
            entries.push(take_line(cursor, before, name, kind)?);
        }
    }
    // So far each range is `0..length`.
    let mut start = cursor.len() - cursor.left();
    for entry in &mut entries {
        let end = start.checked_add(entry.record.end).filter(|&end| end <= cursor.len());
        let end = end.ok_or_else(|| Error::UnexpectedEnd {
            what: WHAT.into(),
            expected: (start as u64).saturating_add(entry.record.end as u64),
            got: cursor.len() as u64,
        })?;
        entry.record = start..end;
        start = end;
    }
    if start < cursor.len() {
        return Err(cursor.corrupt(format!("{} bytes behind the last weight", cursor.len() - start)));
    }
    Ok(entries)
}

/// The rest of a line that began when `before` bytes were left: the record's length.
fn take_line(cursor: &mut Cursor<'_>, before: usize, name: String, kind: ParamKind) -> Result<Entry> {
    let record = 0..cursor.varint()?;
    Ok(Entry { name, kind, record, n_directory: before - cursor.left() })
}

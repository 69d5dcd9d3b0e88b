//! Reads the float arrays of an HDF5 file of the oldest form, which Keras writes: enough for weights, and no more.
//!
//! # Source
//! HDF5 File Format Specification 2.0: superblock version 0 (II.A), groups by B-tree version 1 (III.A.1), symbol nodes (III.B)
//! and local heaps (III.D), object headers version 1 (IV.A.1.a), contiguous storage. Anything else is refused.
//!
//! Bytes may be hostile: every number is checked against the bytes there are, and walking the groups costs at most as many
//! bytes of nodes as the file has, so a ring of nodes ends in an error.

use anyhow::{Context as _, Result, bail, ensure};

const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
/// The message types of an object header that say what a data set holds and where a group's names are.
const DATASPACE: u16 = 0x01;
const DATATYPE: u16 = 0x03;
const LAYOUT: u16 = 0x08;
const CONTINUATION: u16 = 0x10;
const SYMBOL_TABLE: u16 = 0x11;
/// Bytes of an entry in a symbol node.
const ENTRY_BYTES: usize = 40;

/// The bytes of a file and where its root is.
#[derive(Debug)]
pub(super) struct Hdf5<'a> {
    bytes: &'a [u8],
    root: usize,
}

/// An array as it is stored, row-major.
#[derive(Debug, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

impl<'a> Hdf5<'a> {
    /// # Errors
    /// When the bytes do not begin as a file of this form.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        ensure!(bytes.starts_with(SIGNATURE), "not an HDF5 file");
        let mut file = Self { bytes, root: 0 };
        // Version 0; offsets and lengths of eight bytes.
        let known = file.get(8, 1)? == [0] && file.get(13, 2)? == [8, 8] && file.offset(24)? == 0;
        ensure!(known, "expected an HDF5 file with superblock version 0, offsets of 8 bytes and base 0");
        file.root = file.offset(64)?;
        Ok(file)
    }

    /// The array at `path`, names joined by `/`.
    ///
    /// # Errors
    /// When there is none, or it is not contiguous 32-bit little-endian floats.
    pub(super) fn array(&self, path: &str) -> Result<Array> {
        let mut header = self.root;
        for name in path.split('/') {
            header = self.child(header, name).with_context(|| format!("`{path}` in the HDF5 file"))?;
        }
        self.read(header).with_context(|| format!("`{path}` in the HDF5 file"))
    }

    /// The object header of the member `name` of a group.
    fn child(&self, group: usize, name: &str) -> Result<usize> {
        let table = self.message(group, SYMBOL_TABLE)?;
        let (tree, heap) = (offset_at(table, 0)?, offset_at(table, 8)?);
        ensure!(self.get(heap, 4)? == b"HEAP", "expected a local heap");
        let names = self.get(self.offset(heap + 24)?, self.offset(heap + 8)?)?;
        let mut budget = self.bytes.len();
        self.search(tree, names, name, &mut budget)?.with_context(|| format!("no member `{name}`"))
    }

    /// Looks for `name` in a node of a group's tree and all below it.
    fn search(&self, node: usize, names: &[u8], name: &str, budget: &mut usize) -> Result<Option<usize>> {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            let (signature, count) = (self.get(node, 4)?, usize::from(self.u16(node + 6)?));
            match signature {
                // Between 24 bytes of head, keys and children take turns, a key first.
                b"TREE" => {
                    spend(budget, 24 + 16 * count)?;
                    for child in 0..count {
                        open.push(self.offset(node + 32 + 16 * child)?);
                    }
                }
                b"SNOD" => {
                    spend(budget, 8 + ENTRY_BYTES * count)?;
                    for entry in 0..count {
                        let entry = node + 8 + ENTRY_BYTES * entry;
                        let known = names.get(self.offset(entry)?..).context("a name outside its heap")?;
                        if known.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0)) {
                            return Ok(Some(self.offset(entry + 8)?));
                        }
                    }
                }
                other => bail!("expected a node of a group, found {other:?}"),
            }
        }
        Ok(None)
    }

    fn read(&self, header: usize) -> Result<Array> {
        let space = self.message(header, DATASPACE)?;
        let [1, rank, ..] = *space else { bail!("expected a dataspace of version 1") };
        let shape =
            (0..usize::from(rank)).map(|i| offset_at(space, 8 + 8 * i)).collect::<Result<Vec<_>>>()?;
        // Class 1 (floating point), little-endian, four bytes.
        let kind = self.message(header, DATATYPE)?;
        ensure!(
            kind.len() >= 8 && kind[0] & 0xf == 1 && kind[1] & 1 == 0 && kind[4..8] == [4, 0, 0, 0],
            "expected 32-bit little-endian floats"
        );
        let layout = self.message(header, LAYOUT)?;
        ensure!(layout.starts_with(&[3, 1]), "expected contiguous storage");
        let bytes = self.get(offset_at(layout, 2)?, offset_at(layout, 10)?)?;
        let n = shape.iter().try_fold(4_usize, |n, &size| n.checked_mul(size));
        ensure!(n == Some(bytes.len()), "expected four bytes a number of {shape:?}, found {}", bytes.len());
        let values = bytes.as_chunks::<4>().0.iter().map(|&number| f32::from_le_bytes(number)).collect();
        Ok(Array { shape, values })
    }

    /// The data of the first message of a type in an object header.
    fn message(&self, header: usize, kind: u16) -> Result<&'a [u8]> {
        ensure!(self.get(header, 1)? == [1], "expected an object header of version 1");
        let n_messages = self.u16(header + 2)?;
        let mut blocks = vec![(header + 16, self.u32(header + 8)?)];
        let mut block_idx = 0;
        let (mut at, mut left) = blocks[0];
        for _ in 0..n_messages {
            while left < 8 {
                block_idx += 1;
                (at, left) = *blocks.get(block_idx).context("an object header that breaks off")?;
            }
            let (found, size) = (self.u16(at)?, usize::from(self.u16(at + 2)?));
            let data = self.get(at + 8, size)?;
            if found == kind {
                return Ok(data);
            }
            if found == CONTINUATION {
                blocks.push((offset_at(data, 0)?, offset_at(data, 8)?));
            }
            at += 8 + size;
            left = left.checked_sub(8 + size).context("a message longer than its block")?;
        }
        bail!("an object header without message {kind:#x}")
    }

    fn get(&self, at: usize, n: usize) -> Result<&'a [u8]> {
        let end = at.checked_add(n).filter(|&end| end <= self.bytes.len());
        let end = end.with_context(|| format!("{n} bytes at {at} lie outside the file"))?;
        Ok(&self.bytes[at..end])
    }

    fn u16(&self, at: usize) -> Result<u16> {
        Ok(u16::from_le_bytes(self.get(at, 2)?.try_into().expect("two bytes")))
    }

    fn u32(&self, at: usize) -> Result<usize> {
        Ok(u32::from_le_bytes(self.get(at, 4)?.try_into().expect("four bytes")).try_into()?)
    }

    fn offset(&self, at: usize) -> Result<usize> {
        offset_at(self.bytes, at)
    }
}

/// The eight bytes at `at`, an address or a length: below the largest file, so that sums of a few do not overflow.
fn offset_at(bytes: &[u8], at: usize) -> Result<usize> {
    let eight =
        at.checked_add(8).and_then(|end| bytes.get(at..end)).context("an address that is not there")?;
    let offset = u64::from_le_bytes(eight.try_into().expect("eight bytes"));
    let offset = usize::try_from(offset).ok().filter(|&offset| offset <= usize::MAX / 4);
    offset.context("an address or length beyond any file")
}

fn spend(budget: &mut usize, n: usize) -> Result<()> {
    *budget = budget.checked_sub(n).context("more nodes than the file has room for")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    /// What h5py 3.16.0 writes with `libver=("earliest", "v108")`: groups with attributes and many members, float arrays of
    /// several shapes, an array of integers and one in chunks (`testdata/tiny_h5.py`).
    fn tiny() -> Vec<u8> {
        let mut bytes = Vec::new();
        GzDecoder::new(&include_bytes!("testdata/tiny.h5.gz")[..]).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn arrays_are_found_through_groups() {
        let bytes = tiny();
        let file = Hdf5::open(&bytes).unwrap();
        let kernel = Array { shape: vec![2, 3], values: vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5] };
        assert_eq!(file.array("layers/a/kernel:0").unwrap(), kernel);
        assert_eq!(
            file.array("layers/a/bias:0").unwrap(),
            Array { shape: vec![2], values: vec![-1.5, 2.25] }
        );
        assert_eq!(file.array("layers/scalar").unwrap(), Array { shape: vec![], values: vec![7.0] });
        // Twelve neighbours, more than one node holds.
        for i in 0..12_u8 {
            let array = file.array(&format!("layers/n{i:02}")).unwrap();
            assert_eq!(array, Array { shape: vec![1], values: vec![f32::from(i)] });
        }
    }

    #[test]
    fn what_is_no_float_array_is_named() {
        let bytes = tiny();
        let file = Hdf5::open(&bytes).unwrap();
        for (path, expected) in [
            ("layers/b", "no member `b`"),
            ("layers/n0", "no member `n0`"),
            ("layers/ints", "32-bit little-endian floats"),
            ("layers/chunked", "contiguous"),
            ("layers", "without message 0x1"),
            ("layers/scalar/x", "without message 0x11"),
        ] {
            let message = format!("{:#}", file.array(path).unwrap_err());
            assert!(message.contains(expected) && message.contains(path), "{message}");
        }
    }

    #[test]
    fn changed_and_cut_files_do_not_panic() {
        let bytes = tiny();
        let read = |bytes: &[u8]| {
            if let Ok(file) = Hdf5::open(bytes) {
                for path in ["layers/a/kernel:0", "layers/n07", "layers/missing"] {
                    let _ = file.array(path);
                }
            }
        };
        for at in 0..bytes.len() {
            read(&bytes[..at]);
            for change in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                read(&changed);
            }
        }
    }

    #[test]
    fn a_ring_of_nodes_ends() {
        let mut bytes = tiny();
        let tree = bytes.windows(4).position(|four| four == b"TREE").unwrap();
        // The first child of the root's tree is the tree itself.
        bytes[tree + 32..tree + 40].copy_from_slice(&(tree as u64).to_le_bytes());
        let error = Hdf5::open(&bytes).unwrap().array("layers/a").unwrap_err();
        assert!(format!("{error:#}").contains("more nodes than the file has room for"), "{error:#}");
    }
}

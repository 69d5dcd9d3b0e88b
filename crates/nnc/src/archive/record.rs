//! A stored weight as bytes: form, shape, positions, values.

use std::sync::Arc;

use nnc_core::Result;
use nnc_core::weight::{
    Affine, AffineGrid, Blocks, Codebook, Gaps, Granularity, Half, MaskBits, Order, PackedSymbols, Positions,
    StoredWeight, Symbols, Values, WeightTensor as _,
};
use nnc_core::{Error, weight};

use super::bytes::{Cursor, put_dims, put_f32s, put_varint};
use super::{Part, stream};

/// The fields of a record's first byte.
mod form {
    pub(super) const MASK: u8 = 1;
    pub(super) const GAPS: u8 = 2;
    pub(super) const BLOCKS: u8 = 3;
    pub(super) const POSITIONS: u8 = 0b11;
    pub(super) const F16: u8 = 1 << 2;
    pub(super) const BF16: u8 = 2 << 2;
    pub(super) const AFFINE: u8 = 3 << 2;
    pub(super) const CODEBOOK: u8 = 4 << 2;
    pub(super) const VALUES: u8 = 0b111 << 2;
    pub(super) const COLUMN_MAJOR: u8 = 1 << 5;
    pub(super) const CODED_GAPS: u8 = 1 << 6;
    pub(super) const CODED_VALUES: u8 = 1 << 7;
}

/// The record of `weight`.
///
/// Coded streams that are too long to be stored so (see [`stream::CONSTANT_SYMBOLS_PER_BYTE`]) are packed.
pub(super) fn encode(weight: &StoredWeight) -> Result<Vec<u8>> {
    let record = encode_as_is(weight)?;
    let streams = [gap_stream(weight), value_stream(weight)];
    let mut coded = streams.into_iter().flatten().filter_map(|stream| stream::coded(&**stream));
    if coded.all(|coded| stream::is_earned(coded, record.len())) {
        return Ok(record);
    }
    encode_as_is(&weight.map_streams(|_, stream| stream::pack(&**stream))?)
}

fn encode_as_is(weight: &StoredWeight) -> Result<Vec<u8>> {
    let mut out = vec![form_of(weight)?];
    put_dims(&mut out, weight.shape())?;
    match weight.positions() {
        Positions::Mask(mask) => out.extend_from_slice(mask.as_raw_slice()),
        Positions::Gaps(gaps) => put_skips(&mut out, gaps.bits(), gaps.skips())?,
        Positions::Blocks(blocks) => {
            put_varint(&mut out, blocks.size());
            put_skips(&mut out, blocks.bits(), blocks.skips())?;
        }
        // `form_of` refuses what this version does not know.
        _ => {}
    }
    match weight.values() {
        Values::F32(values) => put_f32s(&mut out, values),
        Values::Half(Half::F16(values)) => {
            values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        }
        Values::Half(Half::Bf16(values)) => {
            values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        }
        Values::Affine(affine) => {
            put_grid(&mut out, affine)?;
            out.extend(stream::bytes(&**affine.codes())?);
        }
        Values::Codebook(codebook) => {
            let table = codebook.table();
            put_varint(&mut out, table.len());
            put_f32s(&mut out, &table[usize::from(omits_zero(weight.positions(), weight.n_slots()))..]);
            if stream::coded(&**codebook.indices()).is_none() {
                out.push(stream::width_code(&**codebook.indices()));
            }
            out.extend(stream::bytes(&**codebook.indices())?);
        }
        _ => {}
    }
    Ok(out)
}

/// The first byte of the record.
fn form_of(weight: &StoredWeight) -> Result<u8> {
    let unknown =
        |what| Err(Error::invalid(what, "a form that archives of this version can hold", "another"));
    let positions = match weight.positions() {
        Positions::All => 0,
        Positions::Mask(_) => form::MASK,
        Positions::Gaps(_) => form::GAPS,
        Positions::Blocks(_) => form::BLOCKS,
        _ => return unknown("positions"),
    };
    let values = match weight.values() {
        Values::F32(_) => 0,
        Values::Half(Half::F16(_)) => form::F16,
        Values::Half(Half::Bf16(_)) => form::BF16,
        Values::Affine(_) => form::AFFINE,
        Values::Codebook(_) => form::CODEBOOK,
        _ => return unknown("values"),
    };
    let order = if weight.order() == Order::ColumnMajor { form::COLUMN_MAJOR } else { 0 };
    let is_coded = |stream: Option<&Arc<dyn Symbols>>, bit| {
        if stream.is_some_and(|stream| stream::coded(&**stream).is_some()) { bit } else { 0 }
    };
    let gaps = is_coded(gap_stream(weight), form::CODED_GAPS);
    Ok(positions | values | order | gaps | is_coded(value_stream(weight), form::CODED_VALUES))
}

fn gap_stream(weight: &StoredWeight) -> Option<&Arc<dyn Symbols>> {
    match weight.positions() {
        Positions::Gaps(gaps) => Some(gaps.skips()),
        Positions::Blocks(blocks) => Some(blocks.skips()),
        _ => None,
    }
}

fn value_stream(weight: &StoredWeight) -> Option<&Arc<dyn Symbols>> {
    match weight.values() {
        Values::Affine(affine) => Some(affine.codes()),
        Values::Codebook(codebook) => Some(codebook.indices()),
        _ => None,
    }
}

/// Whether entry 0 of a codebook is known to be +0.0, the value of fillers, and so has no bytes.
fn omits_zero(positions: &Positions, n_slots: usize) -> bool {
    matches!(positions, Positions::Gaps(_)) && n_slots > 0
}

/// The stream of gaps, or of the skips between blocks.
fn put_skips(out: &mut Vec<u8>, bits: u32, skips: &Arc<dyn Symbols>) -> Result<()> {
    let skips = &**skips;
    let bytes = stream::bytes(skips)?;
    let bits = u8::try_from(bits - 1).expect("at most 16 bits");
    if stream::coded(skips).is_some() {
        out.push(bits);
        put_varint(out, skips.len());
        put_varint(out, bytes.len());
    } else {
        out.push(bits | stream::width_code(skips) << 4);
        put_varint(out, skips.len());
    }
    out.extend(bytes);
    Ok(())
}

/// Set in the granularity's byte where each scale has a zero point of its own.
const ZERO_POINT_PER_SCALE: u8 = 1 << 2;

fn put_grid(out: &mut Vec<u8>, affine: &Affine) -> Result<()> {
    let grid = affine.grid();
    let bits = u8::try_from(grid.bits() - 1).expect("at most 16 bits");
    let codes = &**affine.codes();
    out.push(if stream::coded(codes).is_some() { bits } else { bits | stream::width_code(codes) << 4 });
    let per_scale = if grid.zero_points().len() == 1 { 0 } else { ZERO_POINT_PER_SCALE };
    match grid.granularity() {
        Granularity::PerTensor => out.push(per_scale),
        Granularity::PerAxis { axis } => {
            out.push(per_scale | 1);
            put_varint(out, axis);
        }
        Granularity::PerGroup { size } => {
            out.push(per_scale | 2);
            put_varint(out, size);
        }
    }
    put_f32s(out, grid.scales());
    out.extend_from_slice(PackedSymbols::from_symbols(grid.bits(), grid.zero_points())?.bytes());
    Ok(())
}

/// Reads a whole record.
pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<StoredWeight> {
    let form = cursor.byte()?;
    cursor.mark(Part::Form);
    let shape = cursor.dims()?;
    cursor.mark(Part::Shape);
    let n_entries = count(cursor, &shape)?;
    let positions = match form & form::POSITIONS {
        0 => Positions::All,
        form::MASK => Positions::Mask(take_mask(cursor, n_entries)?),
        form::GAPS => {
            let (bits, skips) = take_skips(cursor, form & form::CODED_GAPS != 0)?;
            Positions::Gaps(cursor.blame(Gaps::new(bits, skips))?)
        }
        _ => Positions::Blocks(take_blocks(cursor, n_entries, form & form::CODED_GAPS != 0)?),
    };
    let n_slots = positions.n_slots(n_entries);
    let coded = form & form::CODED_VALUES != 0;
    let values = match form & form::VALUES {
        0 => Values::F32(cursor.f32s(n_slots)?),
        form::F16 => Values::Half(Half::F16(take_halves(cursor, n_slots, half::f16::from_le_bytes)?)),
        form::BF16 => Values::Half(Half::Bf16(take_halves(cursor, n_slots, half::bf16::from_le_bytes)?)),
        form::AFFINE => Values::Affine(take_affine(cursor, &shape, n_slots, coded)?),
        form::CODEBOOK => {
            let omitted = omits_zero(&positions, n_slots);
            Values::Codebook(take_codebook(cursor, n_slots, omitted, coded)?)
        }
        other => return Err(cursor.corrupt(format!("values of the unknown form {}", other >> 2))),
    };
    cursor.mark(Part::Values);
    let order = if form & form::COLUMN_MAJOR == 0 { Order::RowMajor } else { Order::ColumnMajor };
    let weight = cursor.blame(StoredWeight::new(shape, positions, values, order))?;
    // Bits that mean nothing for this form are 0.
    if form_of(&weight)? != form {
        return Err(cursor.corrupt(format!("contradictory form {form:#010b}")));
    }
    Ok(weight)
}

/// Entries of a weight of `shape`, which a dense tensor must be able to address.
fn count(cursor: &Cursor<'_>, shape: &[usize]) -> Result<usize> {
    // The empty gap-coded weight of this shape makes the check and costs nothing.
    let nothing: Arc<dyn Symbols> = Arc::new(PackedSymbols::narrowest(&[]));
    let empty = Gaps::new(1, nothing).map(Positions::Gaps);
    let empty = empty.and_then(|gaps| {
        StoredWeight::new(shape.to_vec(), gaps, Values::F32(Vec::new()), weight::Order::RowMajor)
    });
    Ok(cursor.blame(empty)?.n_entries())
}

fn take_mask(cursor: &mut Cursor<'_>, n_entries: usize) -> Result<MaskBits> {
    let bytes = cursor.take(n_entries.div_ceil(8))?;
    cursor.mark(Part::Positions);
    let n_unused = 8 * bytes.len() - n_entries;
    if bytes.last().is_some_and(|last| last.leading_zeros() < u32::try_from(n_unused).unwrap_or(u32::MAX)) {
        return Err(cursor.corrupt("an unused bit of the mask is set"));
    }
    let mut mask = MaskBits::from_vec(bytes.to_vec());
    mask.truncate(n_entries);
    Ok(mask)
}

fn take_blocks(cursor: &mut Cursor<'_>, n_entries: usize, coded: bool) -> Result<Blocks> {
    let size = cursor.varint()?;
    let (bits, skips) = take_skips(cursor, coded)?;
    let blocks = cursor.blame(Blocks::new(size, bits, skips))?;
    // Before the number of slots is believed.
    cursor.blame(blocks.check_fits(n_entries))?;
    Ok(blocks)
}

fn take_skips(cursor: &mut Cursor<'_>, coded: bool) -> Result<(u32, Arc<dyn Symbols>)> {
    let widths = cursor.byte()?;
    let len = cursor.varint()?;
    let skips = if coded {
        if widths >> 4 != 0 {
            return Err(cursor.corrupt("a width for a coded stream"));
        }
        let n_bytes = cursor.varint()?;
        cursor.mark(Part::Form);
        stream::take_coded(cursor, len, n_bytes, (Part::PositionTable, Part::Positions))?
    } else {
        cursor.mark(Part::Form);
        stream::take_packed(cursor, len, u32::from(widths >> 4) + 1, Part::Positions)?
    };
    Ok((u32::from(widths & 0xf) + 1, skips))
}

fn take_halves<T>(cursor: &mut Cursor<'_>, n: usize, from_bytes: fn([u8; 2]) -> T) -> Result<Vec<T>> {
    let (words, _) = cursor.take_many(n, 2)?.as_chunks();
    Ok(words.iter().map(|&word| from_bytes(word)).collect())
}

fn take_affine(cursor: &mut Cursor<'_>, shape: &[usize], n_slots: usize, coded: bool) -> Result<Affine> {
    let widths = cursor.byte()?;
    let bits = u32::from(widths & 0xf) + 1;
    let byte = cursor.byte()?;
    let granularity = match byte & !ZERO_POINT_PER_SCALE {
        0 => Granularity::PerTensor,
        1 => Granularity::PerAxis { axis: cursor.varint()? },
        2 => Granularity::PerGroup { size: cursor.varint()? },
        _ => return Err(cursor.corrupt(format!("the unknown granularity {byte}"))),
    };
    cursor.mark(Part::Form);
    let n_scales = cursor.blame(granularity.n_scales(shape))?;
    let scales = cursor.f32s(n_scales)?;
    let n_zero_points = if byte & ZERO_POINT_PER_SCALE == 0 { 1 } else { n_scales };
    let zero_points = stream::take_packed(cursor, n_zero_points, bits, Part::Scales)?.to_vec()?;
    let grid = cursor.blame(AffineGrid::new(bits, granularity, scales, zero_points))?;
    let codes = take_values(cursor, n_slots, coded, widths >> 4)?;
    cursor.blame(Affine::new(grid, codes))
}

fn take_codebook(cursor: &mut Cursor<'_>, n_slots: usize, omitted: bool, coded: bool) -> Result<Codebook> {
    let len = cursor.varint()?;
    cursor.mark(Part::Form);
    let Some(n_written) = len.checked_sub(usize::from(omitted)) else {
        return Err(cursor.corrupt("an empty codebook"));
    };
    let mut table = cursor.f32s(n_written)?;
    if omitted {
        table.insert(0, 0.0);
    }
    cursor.mark(Part::Codebook);
    let width = if coded { 0 } else { cursor.byte()? };
    cursor.mark(Part::Form);
    let indices = take_values(cursor, n_slots, coded, width)?;
    cursor.blame(Codebook::new(table, indices))
}

/// The value stream, which goes to the end of the record.
fn take_values(cursor: &mut Cursor<'_>, n: usize, coded: bool, width: u8) -> Result<Arc<dyn Symbols>> {
    if coded {
        if width != 0 {
            return Err(cursor.corrupt("a width for a coded stream"));
        }
        let n_bytes = cursor.left();
        stream::take_coded(cursor, n, n_bytes, (Part::ValueTable, Part::Values))
    } else if width > 15 {
        Err(cursor.corrupt(format!("symbols of {} bits", u32::from(width) + 1)))
    } else {
        stream::take_packed(cursor, n, u32::from(width) + 1, Part::Values)
    }
}

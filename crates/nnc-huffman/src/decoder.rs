//! Bits → symbols by table lookup.
//!
//! The next `table_bits` ≤ 12 bits of the stream index a table that says which symbol they begin with and how long its
//! codeword is. Longer codewords (up to 16 bits, only in alphabets of more than 512 symbols or on request) leave a mark in
//! the table and are found by comparing with the first codeword of each length.
//!
//! Where there are symbols enough and no codeword is longer, most of a stream is decoded several symbols a lookup
//! (`kernel/forward.rs`), and only its end this way.
//!
//! Q: Why is this safe on hostile bytes? A: A complete code gives each bit pattern a symbol, so lookups cannot fail; the
//! caller's slice says how many there are; and a reader past its end yields zeros until the count of consumed bits,
//! checked in the slow tail only, exposes it.

use crate::bits::{BitReader, reversed};
use crate::encoder::stream_ranges;
use crate::kernel::{ForwardLane, ForwardTable, Isa};
use crate::symbol::Symbol;
use crate::varint::take_varint;
use crate::{Code, Error, MAX_LENGTH, Result};

mod long;

use long::LongWords;

/// Bits that index the table: 4,096 entries of 4 bytes leave half of a small L1 cache to the streams.
const MAX_TABLE_BITS: u32 = 12;

/// Symbols from which on a table of several symbols a lookup pays.
const SEVERAL_FROM: usize = 1 << 12;

/// A [`Code`] laid out for decoding.
///
/// Takes at most 48 KiB, whatever the alphabet, plus 2 bytes a symbol where codewords exceed 12 bits.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// By the next bits: `symbol | length << 16`; length 0 marks the beginning of a longer codeword.
    table: Vec<u32>,
    long: Option<LongWords>,
    /// Several symbols a lookup, where there are enough of them to pay for the table.
    several: Option<ForwardTable>,
    min_length: u32,
    width: u32,
    only_symbol: Option<u16>,
}

impl Decoder {
    /// Lays out `code`, for many symbols.
    pub fn new(code: &Code) -> Self {
        Self::for_len(code, usize::MAX)
    }

    /// Lays out `code` for about `n` symbols.
    pub(crate) fn for_len(code: &Code, n: usize) -> Self {
        let table_bits = code.max_length().min(MAX_TABLE_BITS);
        let mut table = vec![0; 1 << table_bits];
        for word in code.codewords().take_while(|word| word.length <= table_bits) {
            let entry = u32::from(word.symbol) | word.length << 16;
            let first = usize::from(reversed(word.bits, word.length));
            table[first..].iter_mut().step_by(1 << word.length).for_each(|slot| *slot = entry);
        }
        Self {
            table,
            several: (n >= SEVERAL_FROM).then(|| Isa::best().build_forward(code).ok()).flatten(),
            long: (code.max_length() > MAX_TABLE_BITS).then(|| LongWords::new(code, MAX_TABLE_BITS)),
            min_length: code.min_length(),
            width: code.width(),
            only_symbol: code.only_symbol(),
        }
    }

    /// Decodes a block of exactly `out.len()` symbols, as [`Encoder::encode`](crate::Encoder::encode) wrote it.
    ///
    /// # Errors
    /// [`Error::CountMismatch`] where `bytes` hold more or fewer symbols, [`Error::InvalidArgument`] where the code has
    /// symbols that `S` cannot hold. `out` is then partly written.
    pub fn decode_into<S: Symbol>(&self, bytes: &[u8], out: &mut [S]) -> Result<()> {
        let n = out.len();
        self.check_claim::<S>(bytes, n)?;
        if let Some(symbol) = self.only_symbol {
            out.fill(S::truncate_from(symbol));
            return Ok(());
        }
        let streams = streams(bytes, n)?;
        if let [a, b, c, d] = streams[..] {
            let mut parts = out.chunks_mut(n.div_ceil(4));
            let parts = std::array::from_fn(|_| parts.next().unwrap_or_default());
            return self.decode_four([a, b, c, d], parts);
        }
        let mut reader = BitReader::new(streams[0]);
        self.decode_run(&mut reader, out)?;
        check_end(&mut reader, bytes, n)
    }

    /// Decodes four blocks of equal lengths side by side, as [`decode_into`](Self::decode_into) does one by one.
    ///
    /// The blocks have one stream each: fewer than [`FOUR_STREAMS_FROM`](crate::FOUR_STREAMS_FROM) symbols, of a code of two or more.
    pub(crate) fn decode_four_blocks<S: Symbol>(
        &self,
        blocks: [&[u8]; 4],
        outs: [&mut [S]; 4],
    ) -> Result<()> {
        let pairs = blocks.iter().zip(&outs);
        pairs.into_iter().try_for_each(|(block, out)| self.check_claim::<S>(block, out.len()))?;
        self.decode_four(blocks, outs)
    }

    /// Decodes the symbols `start..start + out.len()` of a block of `n` symbols, reading past those before them.
    ///
    /// # Errors
    /// As [`decode_into`](Self::decode_into), as far as the part shows it.
    ///
    /// # Panics
    /// Where the part is not within the block.
    pub fn decode_part_into<S: Symbol>(
        &self,
        bytes: &[u8],
        n: usize,
        start: usize,
        out: &mut [S],
    ) -> Result<()> {
        let end = start.checked_add(out.len()).filter(|&end| end <= n).expect("a part within the block");
        self.check_claim::<S>(bytes, n)?;
        if let Some(symbol) = self.only_symbol {
            out.fill(S::truncate_from(symbol));
            return Ok(());
        }
        let mut rest = out;
        for (range, stream) in stream_ranges(n).into_iter().zip(streams(bytes, n)?) {
            let (from, to) = (start.clamp(range.start, range.end), end.clamp(range.start, range.end));
            if from == to {
                continue;
            }
            let (part, after) = rest.split_at_mut(to - from);
            rest = after;
            let mut reader = BitReader::new(stream);
            self.skip::<S>(&mut reader, from - range.start)?;
            self.decode_run(&mut reader, part)?;
            if to == range.end {
                check_end(&mut reader, stream, range.len())?;
            }
        }
        Ok(())
    }

    fn check_claim<S: Symbol>(&self, bytes: &[u8], n: usize) -> Result<()> {
        if self.width > S::BITS {
            return Err(Error::invalid("out", format!("symbols of {} bits", self.width), S::BITS));
        }
        if !can_hold(self.min_length, self.only_symbol.is_some(), n, bytes.len()) {
            return Err(Error::CountMismatch { symbols: n as u64, bits: 8 * bytes.len() as u64 });
        }
        Ok(())
    }

    fn decode_four<S: Symbol>(&self, streams: [&[u8]; 4], mut outs: [&mut [S]; 4]) -> Result<()> {
        let mut readers = streams.map(BitReader::new);
        let n_done = self.decode_side_by_side(&mut readers, outs.each_mut().map(|out| &mut **out));
        for (((reader, out), stream), n_done) in readers.iter_mut().zip(outs).zip(streams).zip(n_done) {
            self.decode_run(reader, &mut out[n_done..])?;
            check_end(reader, stream, out.len())?;
        }
        Ok(())
    }

    /// Decodes most of four streams; how many symbols of each.
    fn decode_side_by_side<S: Symbol>(
        &self,
        readers: &mut [BitReader<'_>; 4],
        mut outs: [&mut [S]; 4],
    ) -> [usize; 4] {
        if let Some(table) = &self.several {
            let mut outs = outs.into_iter();
            let mut lanes = readers.map(|reader| {
                let out = outs.next().expect("four of them");
                ForwardLane { reader, out, n_done: 0 }
            });
            Isa::best().decode_forward(table, &mut lanes);
            *readers = lanes.each_ref().map(|lane| lane.reader);
            return lanes.map(|lane| lane.n_done);
        }
        if self.long.is_some() {
            [self.decode_lockstep::<S, true, LONG_PER_REFILL>(readers, &mut outs); 4]
        } else {
            [self.decode_lockstep::<S, false, SHORT_PER_REFILL>(readers, &mut outs); 4]
        }
    }

    /// Decodes as many symbols of four streams side by side as whole refills allow; how many of each.
    fn decode_lockstep<S: Symbol, const LONG: bool, const PER_REFILL: usize>(
        &self,
        readers: &mut [BitReader<'_>; 4],
        parts: &mut [&mut [S]; 4],
    ) -> usize {
        let [a, b, c, d] = parts.each_mut().map(|part| part.as_chunks_mut::<PER_REFILL>().0);
        let [mut ra, mut rb, mut rc, mut rd] = *readers;
        let mut n_done = 0;
        for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
            if !(ra.refill_fast() && rb.refill_fast() && rc.refill_fast() && rd.refill_fast()) {
                break;
            }
            for i in 0..PER_REFILL {
                a[i] = self.next::<S, LONG>(&mut ra);
                b[i] = self.next::<S, LONG>(&mut rb);
                c[i] = self.next::<S, LONG>(&mut rc);
                d[i] = self.next::<S, LONG>(&mut rd);
            }
            n_done += PER_REFILL;
        }
        *readers = [ra, rb, rc, rd];
        n_done
    }

    /// Decodes the next `out.len()` symbols of one stream.
    fn decode_run<S: Symbol>(&self, reader: &mut BitReader<'_>, mut out: &mut [S]) -> Result<()> {
        if let Some(table) = &self.several {
            let mut lanes = [ForwardLane { reader: *reader, out, n_done: 0 }];
            Isa::best().decode_forward(table, &mut lanes);
            let [lane] = lanes;
            *reader = lane.reader;
            out = &mut lane.out[lane.n_done..];
        }
        if self.long.is_some() {
            self.decode_stream::<S, true, LONG_PER_REFILL>(reader, out)
        } else {
            self.decode_stream::<S, false, SHORT_PER_REFILL>(reader, out)
        }
    }

    fn decode_stream<S: Symbol, const LONG: bool, const PER_REFILL: usize>(
        &self,
        reader: &mut BitReader<'_>,
        out: &mut [S],
    ) -> Result<()> {
        let mut n_done = 0;
        for slots in out.as_chunks_mut::<PER_REFILL>().0 {
            if !reader.refill_fast() {
                break;
            }
            for slot in slots {
                *slot = self.next::<S, LONG>(reader);
            }
            n_done += PER_REFILL;
        }
        let n_left = out.len() - n_done;
        for slot in &mut out[n_done..] {
            reader.refill();
            let (symbol, length) = self.lookup::<LONG>(reader.peek());
            if length > reader.n_ready() {
                return Err(Error::CountMismatch { symbols: n_left as u64, bits: reader.n_left() });
            }
            reader.consume(length);
            *slot = S::truncate_from(symbol);
        }
        Ok(())
    }

    fn skip<S: Symbol>(&self, reader: &mut BitReader<'_>, n: usize) -> Result<()> {
        let mut sink = [S::default(); 512];
        for done in (0..n).step_by(sink.len()) {
            let n_now = sink.len().min(n - done);
            self.decode_run(reader, &mut sink[..n_now])?;
        }
        Ok(())
    }

    /// The next symbol where enough bits are ready.
    #[inline(always)]
    fn next<S: Symbol, const LONG: bool>(&self, reader: &mut BitReader<'_>) -> S {
        let (symbol, length) = self.lookup::<LONG>(reader.peek());
        reader.consume(length);
        S::truncate_from(symbol)
    }

    /// The symbol that `bits` begin with and the length of its codeword.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
    fn lookup<const LONG: bool>(&self, bits: u64) -> (u16, u32) {
        let entry = self.table[bits as usize & (self.table.len() - 1)];
        if LONG && entry >> 16 == 0 {
            return self.long.as_ref().expect("LONG says so").lookup(bits as u16);
        }
        (entry as u16, entry >> 16)
    }
}

/// Whether `n` symbols can be in `n_bytes`: constant and empty blocks have none, others at least the shortest words' bits.
///
/// So a claim of many symbols is refused before anything is done for it.
pub(crate) fn can_hold(min_length: u32, is_constant: bool, n: usize, n_bytes: usize) -> bool {
    if n == 0 || is_constant {
        return n_bytes == 0;
    }
    let needed = (n as u64).checked_mul(u64::from(min_length));
    min_length > 0 && needed.is_some_and(|needed| needed <= 8 * n_bytes as u64)
}

/// Codewords of at most 12, and of at most 16, bits that the 56 bits of a refill are enough for.
const SHORT_PER_REFILL: usize = (56 / MAX_TABLE_BITS) as usize;
const LONG_PER_REFILL: usize = (56 / MAX_LENGTH) as usize;

/// The streams of a block of `n` symbols.
fn streams(bytes: &[u8], n: usize) -> Result<Vec<&[u8]>> {
    let n_streams = stream_ranges(n).len();
    let mut rest = bytes;
    let lengths: Vec<u64> =
        (1..n_streams).map(|_| take_varint(&mut rest, "stream lengths")).collect::<Result<_>>()?;
    let mut streams = Vec::with_capacity(n_streams);
    for length in lengths {
        let stream = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
        let (stream, after) = stream.ok_or(Error::UnexpectedEnd { what: "block" })?;
        streams.push(stream);
        rest = after;
    }
    streams.push(rest);
    Ok(streams)
}

fn check_end(reader: &mut BitReader<'_>, stream: &[u8], n: usize) -> Result<()> {
    if reader.is_at_end() {
        return Ok(());
    }
    Err(Error::CountMismatch { symbols: n as u64, bits: 8 * stream.len() as u64 })
}

impl Code {
    /// Decodes a block of exactly `out.len()` symbols; to decode several blocks, keep a [`Decoder`].
    ///
    /// # Errors
    /// As [`Decoder::decode_into`].
    pub fn decode_into<S: Symbol>(&self, bytes: &[u8], out: &mut [S]) -> Result<()> {
        Decoder::for_len(self, out.len()).decode_into(bytes, out)
    }
}

#[cfg(test)]
mod tests;

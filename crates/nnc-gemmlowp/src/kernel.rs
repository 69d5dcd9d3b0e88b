//! The contract of the kernels, and which one this processor runs.
//!
//! A kernel multiplies a block of rows by one panel of packed columns and finishes the sums. Every kernel reads the same
//! panels and gives the same bits; [`scalar`] is the plain twin that defines them.
//!
//! ```text
//!              a half of a panel: 32 columns, the last one of all 1 to 32
//!   step 0   | 16 columns x 4 rows of rhs | 16 x 4 |     one Line = 64 bytes = 16 columns x 4 rows
//!   step 1   | ...                                       a step = 4 of the inner dimension
//!
//!   rows x depth
//!   | 4 bytes | 4 bytes | ... |   .   panel   =   rows x 64 sums
//! ```
//!
//! Halves lie apart, so that one of them fills a cache evenly.
//!
//! The left factor is unsigned, the right one signed, whatever the caller's types: the types that processors multiply
//! (`vpdpbusd`, `tdpbusd`). Signed left factors get 128 added, unsigned right ones 128 taken off, their zero points too.
#![allow(unsafe_code, reason = "the one call from a detected instruction set to its kernel")]

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(target_arch = "x86_64")]
mod avxvnni;
#[cfg(target_arch = "x86_64")]
mod half;
pub(crate) mod nibbles;
pub(crate) mod scalar;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use crate::multiplier::Multiplier;

/// Columns of a full panel.
pub(crate) const PANEL: usize = 64;

/// Columns of one [`Line`].
pub(crate) const LANES: usize = 16;

/// Inner elements that a column has in one [`Line`].
pub(crate) const GROUP: usize = 4;

/// Inner elements to which packed operands are padded with zeros: what AMX multiplies at once.
pub(crate) const DEPTH_STEP: usize = 64;

/// 64 bytes where a cache line begins.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [i8; 64]);

impl Default for Line {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Line {
    pub(crate) const ZERO: Self = Self([0; 64]);
}

/// An instruction set that has a kernel here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust: what the others are held to.
    Scalar,
    /// AVX2, products in 16 bits and sums in 32.
    Avx2,
    /// AVX2 with `vpdpbusd` on 32 bytes.
    AvxVnni,
    /// AVX-512 with `vpdpbusd` on 64 bytes.
    Avx512Vnni,
    /// AMX: `tdpbusd` on tiles of 16 rows of 64 bytes; AVX-512 for what surrounds it.
    Amx,
}

impl Isa {
    /// Every one, the slowest first.
    pub const ALL: [Self; 5] = [Self::Scalar, Self::Avx2, Self::AvxVnni, Self::Avx512Vnni, Self::Amx];

    /// The fastest that this processor and its system let a program use.
    #[must_use]
    pub fn best() -> Self {
        Kernel::best().isa
    }

    /// Whether this processor and its system let a program use it.
    #[must_use]
    pub fn is_available(self) -> bool {
        Kernel::of(self).is_some()
    }

    /// The name in lower case: `avx512vnni`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512Vnni => "avx512vnni",
            Self::Amx => "amx",
        }
    }
}

/// A kernel that this processor can run: having one is the proof.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    isa: Isa,
    run: unsafe fn(&Block<'_>),
}

impl Kernel {
    /// The kernel for `isa`, where this processor has it.
    pub(crate) fn of(isa: Isa) -> Option<Self> {
        let run: Option<unsafe fn(&Block<'_>)> = match isa {
            Isa::Scalar => Some(scalar::run),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2::detect(),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni => avxvnni::detect(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => avx512vnni::detect(),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => amx::detect(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => None,
        };
        run.map(|run| Self { isa, run })
    }

    /// The fastest one.
    pub(crate) fn best() -> Self {
        static BEST: LazyLock<Kernel> = LazyLock::new(|| {
            Isa::ALL.into_iter().rev().find_map(Kernel::of).expect("the scalar kernel runs everywhere")
        });
        *BEST
    }

    pub(crate) fn isa(self) -> Isa {
        self.isa
    }

    /// Inner elements that the kernel reads at once, of which a row must have a multiple.
    pub(crate) fn reads(self) -> usize {
        if self.isa == Isa::Amx { DEPTH_STEP } else { GROUP }
    }

    /// Whether `rows` of this depth, `stride` bytes apart, are read as they lie; others are copied first.
    ///
    /// AMX reads 16 rows at once: where they cross cache lines that takes seven times as long, and in strides of a power of two
    /// they compete for the same places in the first cache.
    pub(crate) fn reads_in_place(self, rows: &[u8], depth: usize, stride: usize) -> bool {
        let aligned = || rows.as_ptr().addr().is_multiple_of(DEPTH_STEP) && stride.is_multiple_of(DEPTH_STEP);
        depth.is_multiple_of(self.reads())
            && (self.isa != Isa::Amx || !stride.is_multiple_of(1024) && aligned())
    }

    /// Rows that it multiplies at once: other numbers of rows leave a part of it idle.
    pub(crate) fn tile_rows(self) -> usize {
        match self.isa {
            Isa::Scalar => 1,
            Isa::Avx2 => 4,
            Isa::AvxVnni | Isa::Avx512Vnni => 6,
            Isa::Amx => 32,
        }
    }

    /// Products a nanosecond, about: for the choice whether a second thread pays.
    pub(crate) fn products_per_ns(self) -> usize {
        match self.isa {
            Isa::Scalar => 1,
            Isa::Avx2 => 64,
            Isa::AvxVnni => 200,
            Isa::Avx512Vnni => 400,
            Isa::Amx => 1500,
        }
    }

    /// Multiplies `block`.
    ///
    /// # Safety
    /// `block.finish` must be valid for writes of the block's rows and columns at its stride, and nothing else may read or
    /// write them meanwhile.
    pub(crate) unsafe fn run(self, block: &Block<'_>) {
        block.check(self.reads());
        // SAFETY: `of` and `detect` saw the instruction set; `check` saw that what is read lies in its slices; the
        // caller promises the same of what is written.
        unsafe { (self.run)(block) }
    }
}

/// Rows of unsigned bytes, the left factor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [u8],
    /// Bytes from row to row.
    pub(crate) stride: usize,
    pub(crate) n_rows: usize,
    /// Bytes of a row that may be read: a multiple of what the kernel reads at once.
    pub(crate) len: usize,
}

/// One panel of packed columns, the right factor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel<'a> {
    /// The steps of the first 32 columns, of one or two lines, and those of the others, if any; as many as the kernel reads,
    /// those beyond the depth zeros.
    pub(crate) halves: [&'a [Line]; 2],
    /// Columns that exist; the others are zeros.
    pub(crate) n_cols: usize,
}

impl<'a> Panel<'a> {
    /// Lines of a step, 16 columns each, in both halves.
    pub(crate) fn n_lines(&self) -> usize {
        self.n_cols.div_ceil(LANES)
    }

    /// Lines from step to step of a half.
    pub(crate) fn pitch(&self, half: usize) -> usize {
        if half == 0 { self.n_lines().min(2) } else { self.n_lines().saturating_sub(2) }
    }

    /// Where the columns of `line` begin, and the lines from one step of them to the next.
    pub(crate) fn column(&self, line: usize) -> (&'a [Line], usize) {
        let half = self.halves[line / 2];
        (&half[(line % 2).min(half.len())..], self.pitch(line / 2))
    }

    /// What comes after so many steps of four inner elements.
    pub(crate) fn after(&self, step: usize) -> Self {
        let part = |half: usize| &self.halves[half][step * self.pitch(half)..];
        Self { halves: [part(0), part(1)], ..*self }
    }
}

/// A block of rows times a panel, and where the result goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    pub(crate) rows: Rows<'a>,
    pub(crate) panel: Panel<'a>,
    /// Elements of the inner dimension.
    pub(crate) depth: usize,
    pub(crate) cols: Columns<'a>,
    /// Added to each sum of a row.
    pub(crate) row_terms: Option<&'a [i32]>,
    pub(crate) finish: Finish<'a>,
    /// Elements of the result from row to row.
    pub(crate) out_stride: usize,
}

/// What is added to each sum of a column: `constant + factor · sums + bias`, modulo 2^32.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns<'a> {
    pub(crate) constant: i32,
    pub(crate) factor: i32,
    /// For each column of the panel.
    pub(crate) sums: &'a [i32],
    /// For each column of the panel.
    pub(crate) bias: Option<&'a [i32]>,
}

/// What becomes of a sum, and where its first row and column goes.
#[derive(Clone, Copy, Debug)]
pub enum Finish<'a> {
    /// It is stored as it is.
    Sums(*mut i32),
    /// It is scaled to a byte.
    Bytes(*mut u8, Requant<'a>),
}

/// Scaling to bytes, for sums of magnitudes below [`Requant::MAX_SUM`].
#[derive(Clone, Copy, Debug)]
pub struct Requant<'a> {
    /// Their exponents are 0 or negative.
    pub(crate) multipliers: Multipliers<'a>,
    /// Added after the multiplication; its magnitude is at most [`Requant::MAX_ZERO_POINT`].
    pub(crate) zero_point: i16,
    /// Bounds of the result, within the range of the bytes.
    pub(crate) min: i16,
    /// The upper bound.
    pub(crate) max: i16,
    /// Whether the bytes are signed.
    pub(crate) is_signed: bool,
}

/// One multiplier for all columns or one for each column of the panel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Multipliers<'a> {
    One(Multiplier),
    Each(&'a [Multiplier]),
}

impl Requant<'_> {
    /// Sums of this magnitude or more could overflow when they are rounded.
    pub(crate) const MAX_SUM: i64 = 1 << 30;

    /// So far, saturating 16-bit sums give the right bytes.
    pub(crate) const MAX_ZERO_POINT: i32 = 32_000;
}

/// What a panel's columns add to sums and multiply them by, a number for each column.
///
/// With mantissa m and right shift e: gemmlowp's rounding doubling high product is y = ⌊(x·m + 2^30) / 2^31⌋ and its rounding
/// shift ⌊(y + 2^(e−1) − [y < 0]) / 2^e⌋ (ties away from zero; for e = 0 it is y). As unsigned arithmetic on x + 2^31:
/// ⌊((x + 2^31)·2m + 2^31) / 2^32⌋ = y + m, and 2^(e−1) − m − 1 can be added before the division, times 2^32. What is missing
/// then is [y ≥ 0], which may be [x ≥ 0]: they differ only for y = 0 > x, where 2^(e−1) − 1 and 2^(e−1) both shift to 0.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "the vector kernels use it"))]
pub(crate) struct Constants {
    /// Added to sums; with 2^31 where they are scaled.
    terms: [i32; PANEL],
    /// 2m.
    factors: [u32; PANEL],
    /// 2m of odd columns in the places before them, where 64-bit products look for it.
    odd_factors: [u32; PANEL],
    /// Of even columns: 2^31 + (2^(e−1) − m − 1) · 2^32, or 2^31 − m · 2^32 for e = 0.
    roundings: [u64; PANEL / 2],
    /// Of odd columns.
    odd_roundings: [u64; PANEL / 2],
    /// What is added where x ≥ 0: 1, or 0 for e = 0.
    ones: [u32; PANEL],
    /// e.
    shifts: [u32; PANEL],
    /// The zero point of the result as an unsigned byte (128 more than that of a signed one), the same everywhere.
    zero_points: [i16; PANEL / 2],
    /// The lower bound of the unsigned byte, the same everywhere.
    mins: [u8; PANEL],
    /// The upper bound of the unsigned byte, the same everywhere.
    maxs: [u8; PANEL],
    /// What turns the unsigned byte into the result: 0x80 where that is signed, the same everywhere.
    flips: [u8; PANEL],
    /// Whether the bounds are narrower than the type.
    is_bounded: bool,
}

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "the vector kernels use it"))]
impl Constants {
    /// Those of a block. Inlined, so that its loops are compiled for the kernel's instruction set.
    #[allow(clippy::inline_always, reason = "its loops are part of the kernels")]
    #[inline(always)]
    fn new(block: &Block<'_>) -> Self {
        let (zeros, halves) = ([0; PANEL], [0; PANEL / 2]);
        let mut all = Self {
            terms: [0; PANEL],
            factors: zeros,
            odd_factors: zeros,
            roundings: halves,
            odd_roundings: halves,
            ones: zeros,
            shifts: zeros,
            zero_points: [0; PANEL / 2],
            mins: [0; PANEL],
            maxs: [0; PANEL],
            flips: [0; PANEL],
            is_bounded: false,
        };
        let Finish::Bytes(_, requant) = block.finish else {
            all.add_terms(&block.cols, 0);
            return all;
        };
        all.add_terms(&block.cols, i32::MIN);
        let mut offsets = [0_u32; PANEL];
        match requant.multipliers {
            Multipliers::One(multiplier) => (0..PANEL).for_each(|col| all.set(&mut offsets, col, multiplier)),
            Multipliers::Each(each) => match each.first_chunk::<PANEL>() {
                Some(each) => (0..PANEL).for_each(|col| all.set(&mut offsets, col, each[col])),
                None => (0..each.len()).for_each(|col| all.set(&mut offsets, col, each[col])),
            },
        }
        for i in 0..PANEL / 2 {
            all.odd_factors[2 * i] = all.factors[2 * i + 1];
            all.roundings[i] = (u64::from(offsets[2 * i]) << 32) + (1 << 31);
            all.odd_roundings[i] = (u64::from(offsets[2 * i + 1]) << 32) + (1 << 31);
        }
        let more = if requant.is_signed { 128 } else { 0 };
        all.zero_points = [requant.zero_point + more; PANEL / 2];
        all.mins = [(requant.min + more).to_le_bytes()[0]; PANEL];
        all.maxs = [(requant.max + more).to_le_bytes()[0]; PANEL];
        all.flips = [more.to_le_bytes()[0]; PANEL];
        all.is_bounded = requant.max - requant.min < 255;
        all
    }

    /// Sets the terms of columns, with `more` added.
    #[allow(clippy::inline_always, reason = "part of the kernels' loops")]
    #[inline(always)]
    fn add_terms(&mut self, cols: &Columns<'_>, more: i32) {
        let constant = cols.constant.wrapping_add(more);
        for (term, &sum) in self.terms.iter_mut().zip(cols.sums) {
            *term = constant.wrapping_add(cols.factor.wrapping_mul(sum));
        }
        if let Some(bias) = cols.bias {
            self.terms.iter_mut().zip(bias).for_each(|(term, &bias)| *term = term.wrapping_add(bias));
        }
    }

    /// Sets the multiplier of a column, and in `offsets` 2^(e−1) − m − 1, or −m for e = 0.
    #[allow(clippy::inline_always, reason = "part of the kernels' loops")]
    #[inline(always)]
    fn set(&mut self, offsets: &mut [u32; PANEL], col: usize, multiplier: Multiplier) {
        let (mantissa, shift) = (multiplier.mantissa().cast_unsigned(), multiplier.exponent().unsigned_abs());
        let is_shifted = u32::from(shift != 0);
        offsets[col] = (1_u32 << shift >> 1).wrapping_sub(mantissa).wrapping_sub(is_shifted);
        self.factors[col] = 2 * mantissa;
        self.ones[col] = is_shifted;
        self.shifts[col] = shift;
    }
}

impl Block<'_> {
    /// Inner steps of four.
    pub(crate) fn n_steps(&self) -> usize {
        self.depth.div_ceil(GROUP)
    }

    /// Panics where the block contradicts itself, so that kernels need not look.
    fn check(&self, reads: usize) {
        let Self { rows, panel, .. } = self;
        assert!(
            self.depth <= rows.len && rows.len.is_multiple_of(reads),
            "rows are shorter than they are deep"
        );
        let last = rows.n_rows.checked_sub(1).map_or(0, |last| last * rows.stride + rows.len);
        assert!(last <= rows.data.len(), "rows end outside of their slice");
        assert!((1..=PANEL).contains(&panel.n_cols), "a panel has 1 to 64 columns");
        let n_steps = self.depth.next_multiple_of(reads) / GROUP;
        for (half, lines) in panel.halves.iter().enumerate() {
            assert!(lines.len() >= n_steps * panel.pitch(half), "a panel is less deep");
        }
        let n_cols = panel.n_cols;
        assert_eq!(self.cols.sums.len(), n_cols, "each column has a sum");
        assert!(self.cols.bias.is_none_or(|bias| bias.len() == n_cols), "each column has a bias or none has");
        if let Finish::Bytes(_, Requant { multipliers: Multipliers::Each(each), .. }) = self.finish {
            assert_eq!(each.len(), n_cols, "each column has a multiplier");
        }
        assert!(
            self.row_terms.is_none_or(|terms| terms.len() == rows.n_rows),
            "each row has a term or none has"
        );
    }
}

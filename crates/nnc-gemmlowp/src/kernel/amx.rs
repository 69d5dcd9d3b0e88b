//! AMX: 32 rows × 32 columns in four tiles, 16,384 products an instruction; sums leave through a buffer in the cache.
//!
//! Products of tiles and the scaling of sums use different parts of the processor, and either takes about as long as the
//! other: so a few rows of the group before are scaled between the steps of a group.
//!
//! Stable Rust has no intrinsics for AMX, so its instructions are written in assembly. Tiles keep their contents from one
//! piece of assembly to the next: the compiler has no use for them.
#![allow(unsafe_code, reason = "assembly; reads rows and panels through pointers, writes a part of a matrix")]

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, __m512i, _mm512_add_epi32, _mm512_loadu_si512, _mm512_setzero_si512};
use std::mem::MaybeUninit;
use std::ops::Range;

use super::half::{Half, is_plain, load};
use super::{Block, Constants, DEPTH_STEP, GROUP, LANES, Line, avx512vnni};

/// Rows of a tile.
const TILE: usize = 16;

/// Rows of a group: two tiles.
const MR: usize = 2 * TILE;

/// Columns of a group: two tiles.
const NR: usize = 2 * LANES;

/// Depth steps that are multiplied at once: so many of 32 columns stay in the first cache while the rows pass by.
const CHUNK: usize = 20;

/// Rows whose sums are kept between chunks.
const MAX_ROWS: usize = 256;

/// Sums of `MAX_ROWS` rows and 32 columns.
#[repr(C, align(64))]
struct Sums([MaybeUninit<i32>; MAX_ROWS * NR]);

/// The kernel, where this processor and its system have AMX.
pub(super) fn detect() -> Option<unsafe fn(&Block<'_>)> {
    avx512vnni::detect().filter(|_| has_amx() && may_use_amx()).map(|_| run as unsafe fn(&Block<'_>))
}

/// Whether the processor has tiles and their products of bytes.
fn has_amx() -> bool {
    const TILES_AND_BYTES: u32 = 1 << 24 | 1 << 25;
    __cpuid_count(0, 0).eax >= 7 && __cpuid_count(7, 0).edx & TILES_AND_BYTES == TILES_AND_BYTES
}

/// Asks the system to keep this process's tiles over thread switches: Linux does so on demand only.
#[cfg(target_os = "linux")]
fn may_use_amx() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XTILEDATA: i64 = 18;
    let refused: i64;
    // SAFETY: this system call changes nothing but a permission of this process, and clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => refused,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    refused == 0
}

#[cfg(not(target_os = "linux"))]
fn may_use_amx() -> bool {
    false
}

/// Shapes of the tiles: 0 to 3 are sums, 4 and 5 rows, 6 and 7 columns.
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl TileConfig {
    /// For groups of `rows` rows, 1 to 32.
    fn new(rows: usize) -> Self {
        let first = u8::try_from(rows.min(TILE)).expect("at most 16");
        let second = u8::try_from(rows.saturating_sub(TILE).max(1)).expect("at most 16");
        let mut config =
            Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        config.row_bytes[..8].fill(64);
        config.rows[..8].copy_from_slice(&[first, first, second, second, first, second, 16, 16]);
        config
    }

    /// Puts the shapes in force, and zeros into the tiles.
    ///
    /// # Safety
    /// The processor must have AMX, and the system have allowed it.
    unsafe fn load(&self) {
        // SAFETY: the shapes are those of palette 1, and 64 bytes long.
        unsafe {
            asm!(
                "ldtilecfg [{}]", in(reg) self,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly),
            );
        }
    }
}

/// Multiplies `block`.
///
/// # Safety
/// As [`super::Kernel::run`], on a processor with these features and AMX.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn run(block: &Block<'_>) {
    let constants = Constants::new(block);
    // SAFETY: the caller's promise is passed on.
    unsafe {
        if is_plain(block, &constants) {
            run_as::<true>(block, &constants);
        } else {
            run_as::<false>(block, &constants);
        }
    }
}

/// [`run`] where the finish of sums is or is not plain.
///
/// # Safety
/// As [`run`]; `PLAIN` must be [`is_plain`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn run_as<const PLAIN: bool>(block: &Block<'_>, constants: &Constants) {
    let mut sums = Sums([const { MaybeUninit::uninit() }; MAX_ROWS * NR]);
    let sums = sums.0.as_mut_ptr().cast::<i32>();
    let (mut unfinished, mut shape) = (Group::NONE, 0);
    for line in (0..block.panel.n_lines()).step_by(2) {
        for first in (0..block.rows.n_rows).step_by(MAX_ROWS) {
            let rows = first..block.rows.n_rows.min(first + MAX_ROWS);
            // SAFETY: the caller's promise is passed on; the rows and the line exist.
            unsafe { columns::<PLAIN>(block, constants, rows, line, sums, &mut unfinished, &mut shape) };
        }
    }
    // SAFETY: the last group's rows exist, and their sums are in place.
    unsafe { unfinished.finishing::<PLAIN>(block, constants).rest() };
    // Tiles that are in use cost every thread switch 8 KiB.
    // SAFETY: nothing is in the tiles any more.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// Multiplies `rows` (256 at most) and the 32 columns from `line` on; leaves the last group unfinished.
///
/// # Safety
/// As [`run`]; the rows and the line must exist, `sums` be valid for [`Sums`], `shape` the rows of the tiles in force.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn columns<const PLAIN: bool>(
    block: &Block<'_>,
    constants: &Constants,
    rows: Range<usize>,
    line: usize,
    sums: *mut i32,
    unfinished: &mut Group,
    shape: &mut usize,
) {
    let n_steps = block.depth.div_ceil(DEPTH_STEP);
    let n_chunks = n_steps.div_ceil(CHUNK).max(1);
    for chunk in 0..n_chunks {
        let steps = chunk * CHUNK..n_steps.min((chunk + 1) * CHUNK);
        for (i, row) in rows.clone().step_by(MR).enumerate() {
            let n_rows = (rows.end - row).min(MR);
            // A group's sums replace those that are finished meanwhile.
            let slot = if n_chunks == 1 { 0 } else { i };
            let group = Group { row, n_rows, line, sums: sums.wrapping_add(slot * MR * NR) };
            // SAFETY: the caller's promise is passed on; the rows and steps exist, each slot has 32 rows.
            unsafe {
                if n_rows != *shape {
                    *shape = n_rows;
                    TileConfig::new(n_rows).load();
                }
                multiply::<PLAIN>(block, constants, &group, steps.clone(), unfinished);
            }
            *unfinished = if chunk + 1 == n_chunks { group } else { Group::NONE };
        }
    }
}

/// Rows and 32 columns whose sums are in a slot of the buffer.
struct Group {
    row: usize,
    n_rows: usize,
    /// The first of the two lines of columns.
    line: usize,
    sums: *mut i32,
}

impl Group {
    const NONE: Self = Self { row: 0, n_rows: 0, line: 0, sums: std::ptr::null_mut() };

    /// All of it is to be finished.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    fn finishing<'a, const PLAIN: bool>(
        &self,
        block: &'a Block<'a>,
        constants: &Constants,
    ) -> Finishing<'a, PLAIN> {
        let half = Half::new(block, constants, self.line);
        let terms = [load(&constants.terms, self.line), load(&constants.terms, self.line + 1)];
        Finishing { half, terms, rows: self.row..self.row + self.n_rows, sums: self.sums }
    }
}

/// Rows of a group that are left to be finished.
struct Finishing<'a, const PLAIN: bool> {
    half: Half<'a, PLAIN>,
    /// Of the columns.
    terms: [__m512i; 2],
    rows: Range<usize>,
    sums: *const i32,
}

impl<const PLAIN: bool> Finishing<'_, PLAIN> {
    /// Finishes the next two rows, if any are left.
    ///
    /// # Safety
    /// As [`run`]; the rows must exist, and their sums be in place.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn next(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        let mut sums = [_mm512_setzero_si512(); 4];
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: 64 sums are two rows of a slot, which has 32.
            let products = unsafe { _mm512_loadu_si512(self.sums.add(i * LANES).cast()) };
            *sum = _mm512_add_epi32(products, self.terms[i % 2]);
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { self.half.finish(self.rows.start, self.rows.len().min(2), sums) };
        self.rows.start += 2;
        self.sums = self.sums.wrapping_add(2 * NR);
    }

    /// Finishes what is left.
    ///
    /// # Safety
    /// As [`Self::next`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    unsafe fn rest(&mut self) {
        while !self.rows.is_empty() {
            // SAFETY: the caller's promise.
            unsafe { self.next() };
        }
    }
}

/// Writes or, but for the first steps of the depth, adds the products of a group's rows and columns and `steps` to its
/// sums, and finishes what is unfinished meanwhile.
///
/// # Safety
/// As [`columns`]; the tiles must have the shape for so many rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn multiply<const PLAIN: bool>(
    block: &Block<'_>,
    constants: &Constants,
    group: &Group,
    steps: Range<usize>,
    unfinished: &Group,
) {
    let (lines, pitch) = block.panel.column(group.line);
    let (is_low, is_pair) = (group.n_rows > TILE, pitch == 2);
    let first = group.row * block.rows.stride + steps.start * DEPTH_STEP;
    let mut at = Place {
        lhs: block.rows.data.as_ptr().wrapping_add(first),
        lhs_stride: block.rows.stride,
        rhs: lines.as_ptr().wrapping_add(steps.start * (DEPTH_STEP / GROUP) * pitch),
        rhs_stride: pitch * size_of::<Line>(),
        sums: group.sums,
    };
    let mut finishing = unfinished.finishing::<PLAIN>(block, constants);
    // Tiles and pairs of rows alternate: many of one kind in a row would keep the other kind's units idle.
    let pairs_per_step = (MR / 2).div_ceil(steps.len().max(1));
    // SAFETY: the rows exist and have these steps, as the panel has: `Block::check` saw it; the unfinished sums are in place.
    unsafe {
        if steps.start > 0 {
            at.resume(is_low, is_pair);
        } else {
            begin();
        }
        for _ in steps {
            at.first();
            if pairs_per_step > 2 {
                finishing.next();
            }
            if is_pair {
                at.second();
            }
            if pairs_per_step > 1 {
                finishing.next();
            }
            if is_low {
                at.third();
            }
            if pairs_per_step > 2 {
                finishing.next();
            }
            if is_low && is_pair {
                at.fourth();
            }
            finishing.next();
            at.lhs = at.lhs.wrapping_add(DEPTH_STEP);
            at.rhs = at.rhs.wrapping_add(DEPTH_STEP / GROUP * pitch);
        }
        finishing.rest();
        at.end(is_low, is_pair);
    }
}

/// Puts zeros into the tiles of sums.
///
/// # Safety
/// Tiles must be in force.
#[inline]
unsafe fn begin() {
    // SAFETY: only tiles are written.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem))
    };
}

/// Where one or two tiles of rows and of columns begin, and where their sums go.
struct Place {
    lhs: *const u8,
    /// Bytes from row to row.
    lhs_stride: usize,
    rhs: *const Line,
    /// Bytes from step to step of four.
    rhs_stride: usize,
    /// A row every 32 sums.
    sums: *mut i32,
}

impl Place {
    /// Loads the upper rows and the first columns, and adds their products.
    ///
    /// # Safety
    /// The tiles must have the shape for the rows, and these and the columns must exist; so for the other parts of a step.
    #[inline]
    unsafe fn first(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "tileloaddt1 tmm4, [{lhs} + {a}*1]", "tileloadd tmm6, [{rhs} + {b}*1]", "tdpbusd tmm0, tmm4, tmm6",
                lhs = in(reg) self.lhs,
                a = in(reg) self.lhs_stride,
                rhs = in(reg) self.rhs,
                b = in(reg) self.rhs_stride,
                options(nostack, readonly),
            );
        }
    }

    /// Loads the second columns, and adds their products with the upper rows.
    ///
    /// # Safety
    /// As [`Self::first`], after it.
    #[inline]
    unsafe fn second(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "tileloadd tmm7, [{rhs} + {b}*1 + 64]", "tdpbusd tmm1, tmm4, tmm7",
                rhs = in(reg) self.rhs,
                b = in(reg) self.rhs_stride,
                options(nostack, readonly),
            );
        }
    }

    /// Loads the lower rows, and adds their products with the first columns.
    ///
    /// # Safety
    /// As [`Self::first`], after it.
    #[inline]
    unsafe fn third(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "tileloaddt1 tmm5, [{low} + {a}*1]", "tdpbusd tmm2, tmm5, tmm6",
                low = in(reg) self.lhs.wrapping_add(TILE * self.lhs_stride),
                a = in(reg) self.lhs_stride,
                options(nostack, readonly),
            );
        }
    }

    /// Adds the products of the lower rows and the second columns.
    ///
    /// # Safety
    /// After all of these.
    #[inline]
    unsafe fn fourth(&self) {
        // SAFETY: only tiles are read.
        unsafe { asm!("tdpbusd tmm3, tmm5, tmm7", options(nostack, nomem)) };
    }

    /// Puts into the tiles of sums what is in their places.
    ///
    /// # Safety
    /// `sums` must be valid for the tiles.
    #[inline]
    unsafe fn resume(&self, is_low: bool, is_pair: bool) {
        let low = self.sums.wrapping_add(TILE * NR);
        // SAFETY: the caller's promise.
        unsafe {
            asm!("tileloadd tmm0, [{} + {}*1]", in(reg) self.sums, in(reg) NR * 4, options(nostack, readonly));
            if is_pair {
                asm!("tileloadd tmm1, [{} + {}*1 + 64]", in(reg) self.sums, in(reg) NR * 4, options(nostack, readonly));
            }
            if is_low {
                asm!("tileloadd tmm2, [{} + {}*1]", in(reg) low, in(reg) NR * 4, options(nostack, readonly));
            }
            if is_low && is_pair {
                asm!("tileloadd tmm3, [{} + {}*1 + 64]", in(reg) low, in(reg) NR * 4, options(nostack, readonly));
            }
        }
    }

    /// Stores the tiles of sums.
    ///
    /// # Safety
    /// `sums` must be valid for the tiles.
    #[inline]
    unsafe fn end(&self, is_low: bool, is_pair: bool) {
        let low = self.sums.wrapping_add(TILE * NR);
        // SAFETY: the caller's promise.
        unsafe {
            asm!("tilestored [{} + {}*1], tmm0", in(reg) self.sums, in(reg) NR * 4, options(nostack));
            if is_pair {
                asm!("tilestored [{} + {}*1 + 64], tmm1", in(reg) self.sums, in(reg) NR * 4, options(nostack));
            }
            if is_low {
                asm!("tilestored [{} + {}*1], tmm2", in(reg) low, in(reg) NR * 4, options(nostack));
            }
            if is_low && is_pair {
                asm!("tilestored [{} + {}*1 + 64], tmm3", in(reg) low, in(reg) NR * 4, options(nostack));
            }
        }
    }
}

//! AMX: 32 rows × 32 columns in four tiles, 16,384 products an instruction; sums leave through a buffer in the cache.
//!
//! Stable Rust has no intrinsics for AMX, so its instructions are written in assembly.
#![allow(unsafe_code, reason = "assembly; reads rows and panels through pointers, writes a part of a matrix")]

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, __m512i, _mm512_loadu_si512, _mm512_setzero_si512};
use std::mem::MaybeUninit;

use super::avx512vnni::{self, finish_row};
use super::{Block, DEPTH_STEP, GROUP, LANES, Line, PANEL};

/// Rows of a tile.
const TILE: usize = 16;

/// Rows of a group: two tiles.
const MR: usize = 2 * TILE;

/// Depth steps that are multiplied at once: rows and columns of a group so deep stay in the first cache.
const CHUNK: usize = 10;

/// Rows whose sums are kept between chunks.
const MAX_ROWS: usize = 256;

/// Sums of `MAX_ROWS` rows and a panel's columns.
type Sums = [MaybeUninit<i32>; MAX_ROWS * PANEL];

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
        let mut config = Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
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
    let mut sums: Sums = [const { MaybeUninit::uninit() }; MAX_ROWS * PANEL];
    let n_rows = block.rows.n_rows;
    // SAFETY: the caller's promise is passed on; the rows exist.
    unsafe {
        match block.panel.lines_per_step {
            1 => rows_of::<1>(block, &mut sums, n_rows),
            2 => rows_of::<2>(block, &mut sums, n_rows),
            3 => rows_of::<3>(block, &mut sums, n_rows),
            _ => rows_of::<4>(block, &mut sums, n_rows),
        }
        // Tiles that are in use cost every thread switch 8 KiB.
        asm!("tilerelease", options(nostack, nomem));
    }
}

/// The rows of a block, whose panel has `NV` lines a step.
///
/// # Safety
/// As [`run`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn rows_of<const NV: usize>(block: &Block<'_>, sums: &mut Sums, n_rows: usize) {
    let n_chunks = block.depth.div_ceil(DEPTH_STEP).div_ceil(CHUNK);
    for first in (0..n_rows).step_by(MAX_ROWS) {
        let end = n_rows.min(first + MAX_ROWS);
        for chunk in 0..n_chunks.max(1) {
            let mut shape = 0;
            for row in (first..end).step_by(MR) {
                let rows = (end - row).min(MR);
                // SAFETY: the caller's promise is passed on; rows `row..row + rows` exist, and the chunk does.
                unsafe {
                    if rows != shape {
                        TileConfig::new(rows).load();
                        shape = rows;
                    }
                    let at = if n_chunks <= 1 { 0 } else { (row - first) * PANEL };
                    let place = sums[at..][..MR * PANEL].as_mut_ptr().cast::<i32>();
                    multiply::<NV>(block, row..row + rows, chunk, place);
                    if chunk + 1 >= n_chunks {
                        finish::<NV>(block, row..row + rows, place);
                    }
                }
            }
        }
    }
}

/// Writes or, but for the first chunk, adds the products of `rows` (32 at most) and a chunk of the depth to `sums`.
///
/// # Safety
/// As [`run`]; the tiles must have the shape for so many rows; `sums` must be valid for 32 rows of 64.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn multiply<const NV: usize>(
    block: &Block<'_>,
    rows: std::ops::Range<usize>,
    chunk: usize,
    sums: *mut i32,
) {
    let n_steps = block.depth.div_ceil(DEPTH_STEP);
    let step = (chunk * CHUNK).min(n_steps);
    let count = (n_steps - step).min(CHUNK);
    // SAFETY: the rows exist, and have at least `n_steps` steps, as the panel has: `Block::check` saw it.
    unsafe {
        let lhs = block.rows.data.as_ptr().add(rows.start * block.rows.stride + step * DEPTH_STEP);
        let rhs = block.panel.lines.as_ptr().add(step * (DEPTH_STEP / GROUP) * NV);
        for line in (0..NV).step_by(2) {
            let product = Product {
                lhs,
                lhs_stride: block.rows.stride,
                rhs: rhs.add(line),
                rhs_stride: NV * size_of::<Line>(),
                count,
                sums: sums.add(line * LANES),
                accumulate: chunk > 0,
            };
            match (rows.len() > TILE, line + 1 < NV) {
                (true, true) => product.two_by_two(),
                (true, false) => product.two_by_one(),
                (false, true) => product.one_by_two(),
                (false, false) => product.one_by_one(),
            }
        }
    }
}

/// Finishes the sums of `rows`.
///
/// # Safety
/// As [`run`]; `sums` must hold the rows' sums.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
unsafe fn finish<const NV: usize>(block: &Block<'_>, rows: std::ops::Range<usize>, sums: *const i32) {
    for (i, row) in rows.enumerate() {
        let mut vectors: [__m512i; NV] = [_mm512_setzero_si512(); NV];
        for (v, vector) in vectors.iter_mut().enumerate() {
            // SAFETY: 16 of the row's 64 sums.
            *vector = unsafe { _mm512_loadu_si512(sums.add(i * PANEL + v * LANES).cast()) };
        }
        // SAFETY: the caller's promise is passed on.
        unsafe { finish_row(block, row, &vectors) };
    }
}

/// A product of one or two tiles' rows and one or two tiles' columns.
struct Product {
    lhs: *const u8,
    /// Bytes from row to row.
    lhs_stride: usize,
    rhs: *const Line,
    /// Bytes from step to step of four.
    rhs_stride: usize,
    /// Steps of 64.
    count: usize,
    sums: *mut i32,
    /// Whether the sums begin with what is in their place.
    accumulate: bool,
}

/// Defines a product: its tiles of sums with their places, then the loads and products of a step.
///
/// In the strings `{lhs}` is the first tile's rows, `{low}` the second's, `{rhs}` the columns, `{a}` and `{b}` their strides;
/// `{sums}` and `{under}` are the places of sums, 256 bytes a row.
macro_rules! product {
    ($(#[$meta:meta])* $name:ident, [$($tile:literal at $place:literal),*], [$($step:literal),*]) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// The tiles must have the shape for the rows; all places must be valid for as many rows and columns.
        #[inline]
        unsafe fn $name(&self) {
            // SAFETY: the caller's promise.
            unsafe {
                asm!(
                    "# products of one tile of rows have no sums {under}",
                    "test {accumulate}, {accumulate}",
                    "jz 2f",
                    $(concat!("tileloadd ", $tile, ", ", $place),)*
                    "jmp 3f",
                    "2:",
                    $(concat!("tilezero ", $tile),)*
                    "3:",
                    "test {count}, {count}",
                    "jz 5f",
                    "4:",
                    $($step,)*
                    "add {lhs}, 64",
                    "add {low}, 64",
                    "add {rhs}, {advance}",
                    "dec {count}",
                    "jnz 4b",
                    "5:",
                    $(concat!("tilestored ", $place, ", ", $tile),)*
                    accumulate = in(reg) usize::from(self.accumulate),
                    count = inout(reg) self.count => _,
                    lhs = inout(reg) self.lhs => _,
                    low = inout(reg) self.lhs.wrapping_add(TILE * self.lhs_stride) => _,
                    rhs = inout(reg) self.rhs => _,
                    a = in(reg) self.lhs_stride,
                    b = in(reg) self.rhs_stride,
                    advance = in(reg) self.rhs_stride * (DEPTH_STEP / GROUP),
                    sums = in(reg) self.sums,
                    under = in(reg) self.sums.wrapping_add(TILE * PANEL),
                    pitch = in(reg) PANEL * 4,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

impl Product {
    product! {
        /// Two tiles of rows, two of columns.
        two_by_two,
        [
            "tmm0" at "[{sums} + {pitch}*1]", "tmm1" at "[{sums} + {pitch}*1 + 64]",
            "tmm2" at "[{under} + {pitch}*1]", "tmm3" at "[{under} + {pitch}*1 + 64]"
        ],
        [
            "tileloadd tmm4, [{lhs} + {a}*1]", "tileloadd tmm6, [{rhs} + {b}*1]", "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{rhs} + {b}*1 + 64]", "tdpbusd tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{low} + {a}*1]", "tdpbusd tmm2, tmm5, tmm6", "tdpbusd tmm3, tmm5, tmm7"
        ]
    }
    product! {
        /// Two tiles of rows, one of columns.
        two_by_one,
        ["tmm0" at "[{sums} + {pitch}*1]", "tmm2" at "[{under} + {pitch}*1]"],
        [
            "tileloadd tmm4, [{lhs} + {a}*1]", "tileloadd tmm6, [{rhs} + {b}*1]", "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{low} + {a}*1]", "tdpbusd tmm2, tmm5, tmm6"
        ]
    }
    product! {
        /// One tile of rows, two of columns.
        one_by_two,
        ["tmm0" at "[{sums} + {pitch}*1]", "tmm1" at "[{sums} + {pitch}*1 + 64]"],
        [
            "tileloadd tmm4, [{lhs} + {a}*1]", "tileloadd tmm6, [{rhs} + {b}*1]", "tdpbusd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{rhs} + {b}*1 + 64]", "tdpbusd tmm1, tmm4, tmm7"
        ]
    }
    product! {
        /// One tile of rows, one of columns.
        one_by_one,
        ["tmm0" at "[{sums} + {pitch}*1]"],
        [
            "tileloadd tmm4, [{lhs} + {a}*1]", "tileloadd tmm6, [{rhs} + {b}*1]", "tdpbusd tmm0, tmm4, tmm6"
        ]
    }
}

//! What the processor multiplies at most: loops of products on registers, with nothing to load or store.
#![allow(unsafe_code, reason = "instructions of the sets that are detected first, AMX's in assembly")]

use std::time::Instant;

use nnc_gemmlowp::Isa;

/// Operations a second, in 10^9 (a multiplication and an addition are two), of one thread; `None` where it is not known
/// how this set would multiply fastest.
#[must_use]
pub fn gops(isa: Isa) -> Option<f64> {
    if !isa.is_available() {
        return None;
    }
    const TURNS: u32 = 1_000_000;
    #[cfg(target_arch = "x86_64")]
    let (run, ops): (fn(u32), f64) = match isa {
        // SAFETY: `isa` is available.
        Isa::Avx2 => (|turns| unsafe { x86::avx2(turns) }, 12.0 * 16.0 * 2.0),
        // SAFETY: as above.
        Isa::AvxVnni => (|turns| unsafe { x86::avxvnni(turns) }, 12.0 * 32.0 * 2.0),
        // SAFETY: as above.
        Isa::Avx512Vnni => (|turns| unsafe { x86::avx512vnni(turns) }, 12.0 * 64.0 * 2.0),
        // SAFETY: as above.
        Isa::Amx => (|turns| unsafe { x86::amx(turns) }, 4.0 * 16_384.0 * 2.0),
        _ => return None,
    };
    #[cfg(target_arch = "x86_64")]
    return (0..10)
        .map(|_| {
            let start = Instant::now();
            run(TURNS);
            ops * f64::from(TURNS) / start.elapsed().as_secs_f64() / 1e9
        })
        .max_by(f64::total_cmp);
    #[cfg(not(target_arch = "x86_64"))]
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// 12 sums of 16-bit products, added as well; in assembly, as the compiler would make the product once.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2(turns: u32) {
        let (a, b) = (black_box(_mm256_set1_epi16(3)), black_box(_mm256_set1_epi16(5)));
        let mut sums = [_mm256_setzero_si256(); 12];
        for _ in 0..turns {
            for sum in &mut sums {
                let product: __m256i;
                // SAFETY: changes one register.
                unsafe {
                    asm!(
                        "vpmaddwd {}, {}, {}", out(ymm_reg) product, in(ymm_reg) a, in(ymm_reg) b,
                        options(nomem, nostack, preserves_flags),
                    );
                }
                *sum = _mm256_add_epi32(*sum, product);
            }
        }
        black_box(sums);
    }

    /// 12 sums of `vpdpbusd`.
    #[target_feature(enable = "avx2,avxvnni")]
    pub(super) unsafe fn avxvnni(turns: u32) {
        let (a, b) = (black_box(_mm256_set1_epi8(3)), black_box(_mm256_set1_epi8(5)));
        let mut sums = [_mm256_setzero_si256(); 12];
        for _ in 0..turns {
            for sum in &mut sums {
                *sum = _mm256_dpbusd_avx_epi32(*sum, a, b);
            }
        }
        black_box(sums);
    }

    /// 12 sums of `vpdpbusd`.
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn avx512vnni(turns: u32) {
        let (a, b) = (black_box(_mm512_set1_epi8(3)), black_box(_mm512_set1_epi8(5)));
        let mut sums = [_mm512_setzero_si512(); 12];
        for _ in 0..turns {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        black_box(sums);
    }

    /// 4 tiles of `tdpbusd`.
    pub(super) unsafe fn amx(turns: u32) {
        #[repr(C, align(64))]
        struct Config([u8; 64]);
        let mut config = Config([0; 64]);
        config.0[0] = 1;
        for tile in 0..8 {
            (config.0[16 + 2 * tile], config.0[48 + tile]) = (64, 16);
        }
        // SAFETY: the caller saw AMX; the shapes are those of palette 1.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack));
            asm!(
                "2:",
                "tdpbusd tmm0, tmm4, tmm5",
                "tdpbusd tmm1, tmm4, tmm5",
                "tdpbusd tmm2, tmm4, tmm5",
                "tdpbusd tmm3, tmm4, tmm5",
                "dec {turns:e}",
                "jnz 2b",
                "tilerelease",
                turns = inout(reg) turns => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

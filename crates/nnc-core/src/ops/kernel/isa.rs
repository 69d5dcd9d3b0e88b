//! Which instruction set the kernels use, and the macro that compiles them for each.

#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

/// Proof that this processor has AVX2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

/// Proof that this processor has AVX-512 with byte, doubleword and vector-length instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

/// An instruction set that this processor has.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "other architectures make the portable one only")]
pub(super) enum Isa {
    Portable,
    Avx2(Avx2),
    Avx512(Avx512),
}

impl Isa {
    /// The instruction sets of this processor, the best last.
    pub(super) fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "only x86-64 adds to it")]
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                all.push(Self::Avx2(Avx2(())));
            }
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx512 {
                all.push(Self::Avx512(Avx512(())));
            }
        }
        all
    }

    /// The one that kernels use.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn chosen() -> Self {
        static BEST: LazyLock<Isa> = LazyLock::new(|| *Isa::available().last().expect("the portable one"));
        #[cfg(test)]
        if let Some(isa) = CHOSEN.get() {
            return isa;
        }
        *BEST
    }
}

#[cfg(test)]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Isa>> = const { std::cell::Cell::new(None) };
}

/// Calls `run` once for each instruction set, which the kernels then use, and checks that all results are equal.
#[cfg(test)]
pub(super) fn for_each_isa<T: PartialEq + std::fmt::Debug>(run: impl Fn() -> T) {
    let results = Isa::available().into_iter().map(|isa| {
        CHOSEN.set(Some(isa));
        let result = run();
        CHOSEN.set(None);
        (isa, result)
    });
    let results: Vec<(Isa, T)> = results.collect();
    for (isa, result) in &results {
        assert_eq!(*result, results[0].1, "{isa:?} differs from the portable kernel");
    }
}

/// Defines a function whose body is compiled for every instruction set; calls take the best that the processor has.
///
/// What the body calls must be `#[inline(always)]`: a function that stays a call is not compiled for the set.
macro_rules! kernel {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[allow(clippy::inline_always, reason = "this is how the body gets the caller's instruction set")]
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                body($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            match $crate::ops::kernel::isa::Isa::chosen() {
                // SAFETY: `Isa::available` makes this token only where the processor has the function's features.
                $crate::ops::kernel::isa::Isa::Avx512(_) => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                $crate::ops::kernel::isa::Isa::Avx2(_) => unsafe { avx2($($arg),*) },
                $crate::ops::kernel::isa::Isa::Portable => body($($arg),*),
            }
            #[cfg(not(target_arch = "x86_64"))]
            body($($arg),*)
        }
    };
}
pub(super) use kernel;

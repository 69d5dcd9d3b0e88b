//! Products of quantized matrices: the calls, and what they check.

use crate::job::Job;
use crate::kernel::{Isa, Kernel};
use crate::output::{self, Element};
use crate::pack::{Byte, Panels};
use crate::{Error, MatMut, MatRef, Order, Result, Stage};

/// A quantized matrix: real = scale · (q − `zero_point`); the product needs no scale.
#[derive(Clone, Copy, Debug)]
pub struct Quantized<'a, T> {
    /// The numbers q.
    pub matrix: MatRef<'a, T>,
    /// The number that stands for 0.
    pub zero_point: T,
}

impl<'a, T: Byte> Quantized<'a, T> {
    /// `matrix` with its zero point.
    pub fn new(matrix: MatRef<'a, T>, zero_point: T) -> Self {
        Self { matrix, zero_point }
    }

    /// The transposed matrix.
    #[must_use]
    pub fn t(self) -> Self {
        Self { matrix: self.matrix.t(), ..self }
    }

    /// The largest magnitude of q − `zero_point`.
    pub(crate) fn max_magnitude(&self) -> i64 {
        max_magnitude(self.zero_point)
    }
}

/// The largest magnitude of q − `zero_point`.
pub(crate) fn max_magnitude<T: Byte>(zero_point: T) -> i64 {
    let zero_point = zero_point.value();
    i64::from((zero_point - T::MIN).max(T::MAX - zero_point))
}

/// A right factor that is packed once and used many times: the weights of a layer, depth × outputs.
///
/// The form is the same for every instruction set. It takes the matrix's bytes, rounded up to 64 rows and 16 columns, and 4
/// more a column.
#[derive(Clone, Debug)]
pub struct PackedRhs {
    pub(crate) panels: Panels,
    /// Of the signed elements.
    pub(crate) zero_point: i32,
    pub(crate) max_magnitude: i64,
}

impl PackedRhs {
    /// Packs `rhs` of shape depth × columns.
    pub fn new<T: Byte>(rhs: Quantized<'_, T>) -> Self {
        let zero_point = rhs.zero_point.value() + T::TO_SIGNED;
        Self { panels: Panels::new(rhs.matrix), zero_point, max_magnitude: rhs.max_magnitude() }
    }

    /// Packs `rhs` of shape depth × columns, whose elements are −8 to 7, two in a byte; its zero point is 0.
    ///
    /// Half the memory, and so up to twice the speed where few rows are multiplied; a block of columns is unpacked before it is
    /// multiplied.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an element outside −8 to 7.
    pub fn new_4bit(rhs: MatRef<'_, i8>) -> Result<Self> {
        Ok(Self { panels: Panels::nibbles(rhs)?, zero_point: 0, max_magnitude: 8 })
    }

    /// Rows: the inner dimension of its products.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.panels.depth
    }

    /// Columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.panels.cols
    }

    /// Bytes that it holds in memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.panels.size_bytes()
    }
}

/// A left factor that is packed once and used many times: weights in gemmlowp's habit, outputs × depth.
#[derive(Clone, Debug)]
pub struct PackedLhs(PackedRhs);

impl PackedLhs {
    /// Packs `lhs` of shape rows × depth.
    pub fn new<T: Byte>(lhs: Quantized<'_, T>) -> Self {
        Self(PackedRhs::new(lhs.t()))
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.0.cols()
    }

    /// Columns: the inner dimension of its products.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.depth()
    }

    /// Bytes that it holds in memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }
}

/// Multiplies `lhs` (rows × depth) and `rhs` (depth × columns) and writes the sums, taken through `stages`, to `out`.
///
/// The sum at (i, j) is Σ (l − `lhs.zero_point`) · (r − `rhs.zero_point`), exact in 32 bits. Packs one factor on the way,
/// the left one where `out` is column-major: [`gemm_packed`] spares that where a factor is used again.
/// The same bits on every processor and any number of threads.
///
/// # Errors
/// [`Error::ShapeMismatch`] and [`Error::WrongLength`] where shapes do not fit, [`Error::DepthOverflow`] where a sum could
/// overflow, [`Error::InvalidArgument`] for a stage that is out of its range or place.
///
/// # Source
/// gemmlowp, `doc/low-precision.md` (the expansion of the zero points) and `doc/output.md`.
///
/// # Example
/// ```
/// use nnc_gemmlowp::{MatMut, MatRef, Quantized, gemm};
///
/// let lhs = Quantized::new(MatRef::row_major(&[153_u8, 0, 128, 102, 255, 51], 2, 3)?, 102);
/// let rhs = Quantized::new(MatRef::row_major(&[153_u8, 0, 77, 128, 0, 255], 3, 2)?, 51);
/// let mut sums = [0_i32; 4];
/// gemm(lhs, rhs, &[], MatMut::row_major(&mut sums, 2, 2)?)?;
/// assert_eq!(sums, [1224, -5151, 6579, 1377]);
/// # Ok::<(), nnc_gemmlowp::Error>(())
/// ```
pub fn gemm<L: Byte, R: Byte, O: Element>(
    lhs: Quantized<'_, L>,
    rhs: Quantized<'_, R>,
    stages: &[Stage<'_>],
    out: MatMut<'_, O>,
) -> Result<()> {
    Gemm::best().gemm(lhs, rhs, stages, out)
}

/// [`gemm`] with a packed right factor: fastest where `out` is row-major.
///
/// # Errors
/// As [`gemm`].
pub fn gemm_packed<L: Byte, O: Element>(
    lhs: Quantized<'_, L>,
    rhs: &PackedRhs,
    stages: &[Stage<'_>],
    out: MatMut<'_, O>,
) -> Result<()> {
    Gemm::best().gemm_packed(lhs, rhs, stages, out)
}

/// [`gemm`] with a packed left factor: fastest where `out` is column-major.
///
/// # Errors
/// As [`gemm`].
pub fn gemm_packed_lhs<R: Byte, O: Element>(
    lhs: &PackedLhs,
    rhs: Quantized<'_, R>,
    stages: &[Stage<'_>],
    out: MatMut<'_, O>,
) -> Result<()> {
    Gemm::best().gemm_packed_lhs(lhs, rhs, stages, out)
}

/// The products on an instruction set that this processor has; the functions of the same names take the best.
#[derive(Clone, Copy, Debug)]
pub struct Gemm {
    pub(crate) kernel: Kernel,
}

impl Gemm {
    /// On the fastest instruction set of this processor.
    #[must_use]
    pub fn best() -> Self {
        Self { kernel: Kernel::best() }
    }

    /// On `isa`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where this processor lacks it.
    pub fn on(isa: Isa) -> Result<Self> {
        let kernel = Kernel::of(isa);
        let kernel = kernel.ok_or_else(|| Error::invalid("isa", "one that is available", isa.name()))?;
        Ok(Self { kernel })
    }

    /// Its instruction set.
    #[must_use]
    pub fn isa(self) -> Isa {
        self.kernel.isa()
    }

    /// [`gemm`](fn@gemm) on this instruction set.
    ///
    /// # Errors
    /// As there.
    pub fn gemm<L: Byte, R: Byte, O: Element>(
        self,
        lhs: Quantized<'_, L>,
        rhs: Quantized<'_, R>,
        stages: &[Stage<'_>],
        out: MatMut<'_, O>,
    ) -> Result<()> {
        match out.layout().order {
            Order::RowMajor => self.gemm_packed(lhs, &PackedRhs::new(rhs), stages, out),
            Order::ColMajor => self.gemm_packed_lhs(&PackedLhs::new(lhs), rhs, stages, out),
        }
    }

    /// [`gemm_packed`] on this instruction set.
    ///
    /// # Errors
    /// As there.
    pub fn gemm_packed<L: Byte, O: Element>(
        self,
        lhs: Quantized<'_, L>,
        rhs: &PackedRhs,
        stages: &[Stage<'_>],
        out: MatMut<'_, O>,
    ) -> Result<()> {
        Job::new(self.kernel, lhs, rhs, stages, out)?.run();
        Ok(())
    }

    /// [`gemm_packed_lhs`] on this instruction set.
    ///
    /// # Errors
    /// As there.
    pub fn gemm_packed_lhs<R: Byte, O: Element>(
        self,
        lhs: &PackedLhs,
        rhs: Quantized<'_, R>,
        stages: &[Stage<'_>],
        out: MatMut<'_, O>,
    ) -> Result<()> {
        // (lhs · rhs)ᵗ = rhsᵗ · lhsᵗ
        output::with_mapped(stages, Stage::transposed, |stages| {
            self.gemm_packed(rhs.t(), &lhs.0, stages, out.t())
        })
    }
}

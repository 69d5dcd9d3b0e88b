//! Matrices as slices: a shape, an order, a stride.

use crate::{Error, Result};

/// Which neighbours lie beside each other in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The elements of a row.
    RowMajor,
    /// The elements of a column.
    ColMajor,
}

impl Order {
    /// The other order: the same memory read as the transposed matrix.
    #[must_use]
    pub fn transposed(self) -> Self {
        match self {
            Self::RowMajor => Self::ColMajor,
            Self::ColMajor => Self::RowMajor,
        }
    }
}

/// Shape and place of a matrix in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) order: Order,
    /// Elements from one row (or column, in column-major order) to the next.
    pub(crate) stride: usize,
}

impl Layout {
    /// Checks that a slice of `len` elements holds every element, and that none is there twice.
    fn check(self, what: &'static str, len: usize) -> Result<Self> {
        let (lines, line) = self.lines();
        if self.stride < line {
            return Err(Error::invalid(what, format!("a stride of at least {line}"), self.stride));
        }
        const MAX: usize = isize::MAX.cast_unsigned();
        let needed = if lines > MAX || line > MAX {
            None
        } else if lines == 0 || line == 0 {
            Some(0)
        } else {
            (lines - 1).checked_mul(self.stride).and_then(|last| last.checked_add(line))
        };
        match needed {
            Some(needed) if needed <= len => Ok(self),
            Some(expected) => Err(Error::WrongLength { what, expected, found: len }),
            None => Err(Error::invalid(what, "a size that memory can have", format!("{lines} x {line}"))),
        }
    }

    /// Rows and their length, or columns and theirs.
    pub(crate) fn lines(self) -> (usize, usize) {
        match self.order {
            Order::RowMajor => (self.rows, self.cols),
            Order::ColMajor => (self.cols, self.rows),
        }
    }

    fn transposed(self) -> Self {
        Self { rows: self.cols, cols: self.rows, order: self.order.transposed(), ..self }
    }

    /// Where the element (row, col) lies.
    pub(crate) fn at(self, row: usize, col: usize) -> usize {
        match self.order {
            Order::RowMajor => row * self.stride + col,
            Order::ColMajor => col * self.stride + row,
        }
    }
}

/// A matrix that is read: a slice with a shape.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, T> {
    data: &'a [T],
    layout: Layout,
}

impl<'a, T> MatRef<'a, T> {
    /// `rows` × `cols` in `order`, with a line of it every `stride` elements.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where `data` ends before the last element; [`Error::InvalidArgument`] where lines overlap.
    pub fn strided(data: &'a [T], rows: usize, cols: usize, order: Order, stride: usize) -> Result<Self> {
        let layout = Layout { rows, cols, order, stride }.check("data", data.len())?;
        Ok(Self { data, layout })
    }

    /// `rows` × `cols`, row after row without gaps.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where `data` ends before the last element.
    pub fn row_major(data: &'a [T], rows: usize, cols: usize) -> Result<Self> {
        Self::strided(data, rows, cols, Order::RowMajor, cols)
    }

    /// `rows` × `cols`, column after column without gaps.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where `data` ends before the last element.
    pub fn col_major(data: &'a [T], rows: usize, cols: usize) -> Result<Self> {
        Self::strided(data, rows, cols, Order::ColMajor, rows)
    }

    /// The same elements with rows and columns exchanged.
    #[must_use]
    pub fn t(self) -> Self {
        Self { layout: self.layout.transposed(), ..self }
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.layout.rows
    }

    /// Columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.layout.cols
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn data(&self) -> &'a [T] {
        self.data
    }
}

impl<T: Copy> MatRef<'_, T> {
    /// The element at (`row`, `col`).
    ///
    /// # Panics
    /// Where it is outside the matrix.
    #[must_use]
    pub fn at(&self, row: usize, col: usize) -> T {
        assert!(row < self.rows() && col < self.cols(), "({row}, {col}) lies outside the matrix");
        self.data[self.layout.at(row, col)]
    }
}

/// A matrix that is written: a slice with a shape.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    data: &'a mut [T],
    layout: Layout,
}

impl<'a, T> MatMut<'a, T> {
    /// `rows` × `cols` in `order`, with a line of it every `stride` elements.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where `data` ends before the last element; [`Error::InvalidArgument`] where lines overlap.
    pub fn strided(data: &'a mut [T], rows: usize, cols: usize, order: Order, stride: usize) -> Result<Self> {
        let layout = Layout { rows, cols, order, stride }.check("data", data.len())?;
        Ok(Self { data, layout })
    }

    /// `rows` × `cols`, row after row without gaps.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where `data` ends before the last element.
    pub fn row_major(data: &'a mut [T], rows: usize, cols: usize) -> Result<Self> {
        Self::strided(data, rows, cols, Order::RowMajor, cols)
    }

    /// `rows` × `cols`, column after column without gaps.
    ///
    /// # Errors
    /// [`Error::WrongLength`] where `data` ends before the last element.
    pub fn col_major(data: &'a mut [T], rows: usize, cols: usize) -> Result<Self> {
        Self::strided(data, rows, cols, Order::ColMajor, rows)
    }

    /// The same elements with rows and columns exchanged.
    #[must_use]
    pub fn t(self) -> Self {
        Self { layout: self.layout.transposed(), ..self }
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.layout.rows
    }

    /// Columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.layout.cols
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn into_data(self) -> &'a mut [T] {
        self.data
    }

    /// Writes the element at (`row`, `col`).
    pub(crate) fn set(&mut self, row: usize, col: usize, value: T) {
        let at = self.layout.at(row, col);
        self.data[at] = value;
    }
}

/// Checks that a left factor of rows × depth and a right one of depth × columns give a result of the shape of `out`.
pub(crate) fn check_product<O>(lhs: (usize, usize), rhs: (usize, usize), out: &MatMut<'_, O>) -> Result<()> {
    let ((rows, depth), (_, cols)) = (lhs, rhs);
    if depth != rhs.0 {
        return Err(Error::ShapeMismatch { what: "rhs", expected: (depth, cols), found: rhs });
    }
    let found = (out.rows(), out.cols());
    if found != (rows, cols) {
        return Err(Error::ShapeMismatch { what: "out", expected: (rows, cols), found });
    }
    Ok(())
}

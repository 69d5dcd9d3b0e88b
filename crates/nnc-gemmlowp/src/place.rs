//! A result that several tasks write disjoint parts of.
#![allow(unsafe_code, reason = "tasks write disjoint parts of one result")]

use std::marker::PhantomData;

use crate::matrix::Layout;
use crate::{MatMut, Order};

/// The place of a result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a, O> {
    start: *mut O,
    layout: Layout,
    _borrow: PhantomData<&'a mut [O]>,
}

// SAFETY: the result is borrowed mutably for as long as the place lives, and its tasks write disjoint elements of it.
unsafe impl<O: Send> Sync for Place<'_, O> {}

impl<'a, O> Place<'a, O> {
    /// The place of `out`.
    pub(crate) fn new(out: MatMut<'a, O>) -> Self {
        Self { layout: out.layout(), start: out.into_data().as_mut_ptr(), _borrow: PhantomData }
    }

    /// Where the element at (`row`, `col`) lies, or would lie.
    pub(crate) fn at(&self, row: usize, col: usize) -> *mut O {
        self.start.wrapping_add(self.layout.at(row, col))
    }

    /// Writes the element at (`row`, `col`).
    ///
    /// # Safety
    /// No other task may write or read it meanwhile.
    pub(crate) unsafe fn write(&self, row: usize, col: usize, value: O) {
        assert!(row < self.layout.rows && col < self.layout.cols, "an element lies outside of the result");
        // SAFETY: the matrix has this element; the caller promises the rest.
        unsafe { self.at(row, col).write(value) };
    }

    /// Which neighbours lie beside each other.
    pub(crate) fn order(&self) -> Order {
        self.layout.order
    }

    /// Elements from row to row, or from column to column.
    pub(crate) fn stride(&self) -> usize {
        self.layout.stride
    }
}

//! A result that several tasks write disjoint parts of.
#![allow(unsafe_code, reason = "tasks write disjoint parts of one result")]

use std::marker::PhantomData;

use crate::MatMut;
use crate::matrix::Layout;

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
    pub(crate) fn new(out: &'a mut MatMut<'_, O>) -> Self {
        Self { layout: out.layout(), start: out.data_mut().as_mut_ptr(), _borrow: PhantomData }
    }

    /// Writes the element at (`row`, `col`), which no other task may write or read.
    pub(crate) fn write(&self, row: usize, col: usize, value: O) {
        assert!(row < self.layout.rows && col < self.layout.cols, "an element lies outside of the result");
        // SAFETY: the matrix has this element; no other task writes it.
        unsafe { self.start.add(self.layout.at(row, col)).write(value) };
    }
}

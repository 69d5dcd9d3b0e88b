//! No access outside of slices: operands and results lie against pages that may be neither read nor written.
#![allow(unsafe_code, reason = "maps pages around a slice")]

use std::ptr::NonNull;

use nnc_gemmlowp::{
    Element, Gemm, MatMut, MatRef, Multiplier, Order, PackedLhs, PackedRhs, Per, Quantized, Stage,
};

use super::{bytes, every_gemm};

/// Where a slice lies between its guards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Against {
    /// Its first element is the first that may be accessed.
    Start,
    /// Its last element is the last.
    End,
}

/// `len` elements against a page that nothing may access.
pub(crate) struct Guarded<T> {
    map: NonNull<u8>,
    map_len: usize,
    first: NonNull<T>,
    len: usize,
}

impl<T: Copy> Guarded<T> {
    /// Copies `values` there.
    pub(crate) fn new(values: &[T], against: Against) -> Self {
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("pages have a size");
        let inner = size_of_val(values).next_multiple_of(page).max(page);
        let map_len = inner + 2 * page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new map of no file touches nothing that exists.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), map_len, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(map, libc::MAP_FAILED, "no memory to map");
        let map = NonNull::new(map.cast::<u8>()).expect("a map has an address");
        // SAFETY: the inner pages are part of the map.
        let start = unsafe { map.add(page) };
        // SAFETY: they are, and nothing points to them yet.
        let result =
            unsafe { libc::mprotect(start.as_ptr().cast(), inner, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(result, 0, "the pages cannot be opened");
        let skip = if against == Against::Start { 0 } else { inner - size_of_val(values) };
        // SAFETY: `skip` and the values are within the inner pages, and aligned, as page and size are multiples of it.
        let first = unsafe {
            let first = start.add(skip).cast::<T>();
            first.copy_from_nonoverlapping(NonNull::from(values).cast(), values.len());
            first
        };
        Self { map, map_len, first, len: values.len() }
    }

    pub(crate) fn get(&self) -> &[T] {
        // SAFETY: `new` wrote so many values there, and the map lives as long as `self`.
        unsafe { NonNull::slice_from_raw_parts(self.first, self.len).as_ref() }
    }

    pub(crate) fn get_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `get`; `self` is borrowed mutably.
        unsafe { NonNull::slice_from_raw_parts(self.first, self.len).as_mut() }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: the map is that of `new`, and no slice of it outlives `self`.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.map_len) };
    }
}

/// A shape, and elements between lines that belong to no row: with an odd sum rows begin at odd addresses.
#[derive(Clone, Copy, Debug)]
struct Shape {
    m: usize,
    k: usize,
    n: usize,
    gap: usize,
}

/// One edge at a time, of rows (1 to 33), inner elements (1 to 129) and columns (1 to 65).
fn shapes() -> Vec<Shape> {
    let mut shapes = vec![];
    for m in [1, 2, 3, 4, 6, 7, 15, 16, 17, 31, 32, 33] {
        shapes.push(Shape { m, k: 64, n: 33, gap: m % 4 });
    }
    for k in [1, 2, 3, 4, 5, 7, 8, 60, 63, 64, 65, 68, 127, 128, 129, 640] {
        shapes.extend([Shape { m: 5, k, n: 17, gap: 0 }, Shape { m: 18, k, n: 3, gap: 1 }]);
    }
    for n in [1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65] {
        shapes.extend([Shape { m: 3, k: 64, n, gap: 0 }, Shape { m: 17, k: 20, n, gap: 3 }]);
    }
    shapes
}

/// Elements from line to line, and in all.
fn extent(order: Order, rows: usize, cols: usize, gap: usize) -> (usize, usize) {
    let (lines, line) = if order == Order::RowMajor { (rows, cols) } else { (cols, rows) };
    (line + gap, (lines - 1) * (line + gap) + line)
}

/// Three calls with every slice against its guards; an access outside ends the process.
fn check<O: Element + PartialEq + std::fmt::Debug>(
    gemm: Gemm,
    shape: Shape,
    (order, order_out): (Order, Order),
    against: Against,
    stages: &[Stage<'_>],
) {
    let Shape { m, k, n, gap } = shape;
    let ((lhs_stride, lhs_len), (rhs_stride, rhs_len)) = (extent(order, m, k, gap), extent(order, k, n, gap));
    let (out_stride, out_len) = extent(order_out, m, n, gap);
    let lhs = Guarded::new(&bytes(5).take(lhs_len).collect::<Vec<u8>>(), against);
    let rhs: Vec<i8> = bytes(6).take(rhs_len).map(u8::cast_signed).collect();
    let rhs = Guarded::new(&rhs, against);
    let lhs = Quantized::new(MatRef::strided(lhs.get(), m, k, order, lhs_stride).unwrap(), 131);
    let rhs = Quantized::new(MatRef::strided(rhs.get(), k, n, order, rhs_stride).unwrap(), -4);
    let (packed_lhs, packed_rhs) = (PackedLhs::new(lhs), PackedRhs::new(rhs));
    let mut expected = vec![O::default(); out_len];
    let place = MatMut::strided(&mut expected, m, n, order_out, out_stride).unwrap();
    nnc_gemmlowp::reference_gemm(lhs, rhs, stages, place).unwrap();
    for call in 0..3 {
        let mut out = Guarded::new(&vec![O::default(); out_len], against);
        let place = MatMut::strided(out.get_mut(), m, n, order_out, out_stride).unwrap();
        match call {
            0 => gemm.gemm(lhs, rhs, stages, place),
            1 => gemm.gemm_packed(lhs, &packed_rhs, stages, place),
            _ => gemm.gemm_packed_lhs(&packed_lhs, rhs, stages, place),
        }
        .unwrap();
        // The gaps too: they keep their zeros.
        assert_eq!(out.get(), expected, "{} {shape:?} call {call}", gemm.isa().name());
    }
}

#[test]
fn products_stay_within_their_slices() {
    let multiplier = Per::Tensor(Multiplier::from_real(0.002).unwrap());
    let scale = [Stage::Scale { multiplier, offset: 100 }];
    let real = [Stage::Dequantize { scale: Per::Tensor(0.5), bias: Per::Tensor(0.0) }];
    for gemm in every_gemm() {
        for (i, shape) in shapes().into_iter().enumerate() {
            for against in [Against::Start, Against::End] {
                let orders = [(Order::RowMajor, Order::RowMajor), (Order::ColMajor, Order::ColMajor)];
                let orders = if i % 3 == 0 { (Order::RowMajor, Order::ColMajor) } else { orders[i % 2] };
                let orders = if i % 2 == 0 { (Order::RowMajor, Order::RowMajor) } else { orders };
                check::<i32>(gemm, shape, orders, against, &[]);
                check::<u8>(gemm, shape, orders, against, &scale);
                check::<i8>(gemm, shape, orders, against, &scale);
                if nnc_testing::slow_tests() || i % 8 == 0 {
                    check::<i16>(gemm, shape, orders, against, &scale);
                    check::<f32>(gemm, shape, orders, against, &real);
                }
            }
        }
    }
}

#[test]
fn a_guarded_slice_touches_its_guard() {
    // SAFETY: asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
    let end = Guarded::new(&[1_u8, 2, 3], Against::End);
    assert_eq!((end.get(), end.get().as_ptr_range().end.addr() % page), (&[1, 2, 3][..], 0));
    let start = Guarded::new(&vec![7_i32; 3 * page], Against::Start);
    assert_eq!((start.get().len(), start.get().as_ptr().addr() % page), (3 * page, 0));
}

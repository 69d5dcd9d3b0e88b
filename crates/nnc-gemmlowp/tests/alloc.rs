//! Products and convolutions with packed weights allocate nothing once a thread has the memory that they need.
//!
//! In a binary of its own, because the allocator is the whole binary's.

use nnc_gemmlowp::{
    Conv2dConfig, Element, Gemm, Image, ImageLayout, ImageMut, Isa, MatMut, MatRef, Multiplier, Order,
    PackedConv2d, PackedLhs, PackedRhs, Per, Quantized, Result, Stage,
};
use nnc_testing::allocator::allocations;

#[global_allocator]
static ALLOCATOR: nnc_testing::allocator::Counting = nnc_testing::allocator::Counting;

/// Allocations of the second of two runs of `work`.
fn when_warm(mut work: impl FnMut() -> Result<()>) -> usize {
    work().expect("a valid product");
    allocations(|| work().expect("a valid product"))
}

/// Bytes of every value.
fn data(len: usize) -> Vec<u8> {
    (0..=255).cycle().take(len).collect()
}

#[test]
fn products_with_a_packed_factor_allocate_nothing_once_warm() {
    // One thread, so that nothing is allocated to wake others.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread starts");
    pool.install(|| {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            // In place and copied, one row and many; the last two would be split over threads if there were some.
            let large = if isa == Isa::Scalar { (1, 400, 120) } else { (1, 2048, 1300) };
            let square = if isa == Isa::Scalar { (65, 70, 65) } else { (400, 300, 400) };
            for shape in [(1, 64, 10), (7, 30, 65), (33, 65, 17), large, square] {
                check_types(Gemm::on(isa).expect("it is available"), shape);
            }
        }
    });
}

/// Checks every path from sums to results.
fn check_types(gemm: Gemm, shape: (usize, usize, usize)) {
    let half = Multiplier::from_real(0.5).unwrap();
    let (biases, multipliers) = (vec![3; shape.2], vec![half; shape.0]);
    let one_by_one = [
        Stage::Bias(Per::Col(&biases)),
        Stage::Scale { multiplier: Per::Row(&multipliers), offset: 3 },
        Stage::Clamp { min: 0, max: 200 },
    ];
    let in_the_kernel = [Stage::Scale { multiplier: Per::Tensor(half), offset: 3 }];
    let real = [Stage::Dequantize { scale: Per::Tensor(0.1), bias: Per::Tensor(0.0) }];
    for order in [Order::RowMajor, Order::ColMajor] {
        check::<i32>(gemm, shape, order, &[]);
        check::<u8>(gemm, shape, order, &in_the_kernel);
        check::<i8>(gemm, shape, order, &one_by_one);
        check::<f32>(gemm, shape, order, &real);
    }
}

fn check<O: Element>(gemm: Gemm, (m, k, n): (usize, usize, usize), order: Order, stages: &[Stage<'_>]) {
    let (lhs, rhs) = (data(m * k), data(k * n));
    let signed: Vec<i8> = lhs.iter().map(|byte| byte.cast_signed()).collect();
    let lhs = Quantized::new(MatRef::row_major(&lhs, m, k).unwrap(), 5);
    let signed = Quantized::new(MatRef::col_major(&signed, m, k).unwrap(), 5);
    let rhs = Quantized::new(MatRef::row_major(&rhs, k, n).unwrap(), 7);
    let (packed_lhs, packed_rhs) = (PackedLhs::new(lhs), PackedRhs::new(rhs));
    let mut out = vec![O::default(); m * n];
    let line = if order == Order::RowMajor { n } else { m };
    for call in ["packed rhs", "packed rhs, signed lhs", "packed lhs"] {
        let count = when_warm(|| {
            let place = MatMut::strided(&mut out, m, n, order, line)?;
            match call {
                "packed rhs" => gemm.gemm_packed(lhs, &packed_rhs, stages, place),
                "packed lhs" => gemm.gemm_packed_lhs(&packed_lhs, rhs, stages, place),
                _ => gemm.gemm_packed(signed, &packed_rhs, stages, place),
            }
        });
        assert_eq!(count, 0, "{} {m} x {k} x {n} to {order:?}, {call}, {stages:?}", gemm.isa().name());
    }
}

#[test]
fn convolutions_allocate_nothing_once_warm() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread starts");
    let padded = |groups| Conv2dConfig { groups, padding: (1, 1).into(), ..Conv2dConfig::new((3, 3)) };
    pool.install(|| {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let gemm = Gemm::on(isa).expect("it is available");
            for (config, kernel_shape) in [
                (padded(1), (70, 6, 3, 3)),
                (padded(2), (70, 3, 3, 3)),
                (padded(6), (12, 1, 3, 3)),
                (Conv2dConfig::new((1, 1)), (5, 6, 1, 1)),
            ] {
                check_convolutions(gemm, config, kernel_shape);
            }
        }
    });
}

/// Checks every path from images to results.
fn check_convolutions(gemm: Gemm, config: Conv2dConfig, kernel_shape: (usize, usize, usize, usize)) {
    let (n, c, h, w) = (2, 6, 11, 9);
    let (outputs, inputs, kh, kw) = kernel_shape;
    let (bytes, weights) = (data(n * c * h * w), data(outputs * inputs * kh * kw));
    let packed = PackedConv2d::new(&weights, kernel_shape, 120, config).unwrap();
    let (biases, multipliers) = (vec![3; outputs], vec![Multiplier::from_real(0.01).unwrap(); outputs]);
    let stages = [
        Stage::Bias(Per::Col(&biases)),
        Stage::Scale { multiplier: Per::Col(&multipliers), offset: 3 },
        Stage::Clamp { min: 0, max: 200 },
    ];
    let size = config.output_size((h, w)).unwrap();
    let shape = (n, outputs, size.0, size.1);
    let layouts = [ImageLayout::Nhwc, ImageLayout::Nchw];
    for (from, to) in layouts.into_iter().flat_map(|from| layouts.map(|to| (from, to))) {
        let mut out = vec![0_u8; n * outputs * size.0 * size.1];
        let count = when_warm(|| {
            let image = Image::new(&bytes, (n, c, h, w), from, 7)?;
            packed.run_on(gemm, image, &stages, ImageMut::new(&mut out, shape, to)?)
        });
        assert_eq!(count, 0, "{} {config:?} {from:?} to {to:?}", gemm.isa().name());
    }
}

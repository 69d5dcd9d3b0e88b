//! Granularity and shape → axes, or what does not fit.

use nnc_core::{Error, Result};

use super::Granularity;
use super::axis::Axis;

/// The axes of a partition, outermost first; long ones are put last, so that loops over the last are long.
pub(super) fn axes(granularity: Granularity, shape: &[usize]) -> Result<[Axis; 4]> {
    if shape.contains(&0) {
        return Err(misfit("at least one entry", shape));
    }
    let (group, member) = (Axis::group, Axis::member);
    Ok(match granularity {
        Granularity::Element => numbered(&[group(shape.iter().product())]),
        Granularity::Row => {
            let [o, i, r, s] = convolution(granularity, shape)?;
            numbered(&[group(o * i * r), member(s)])
        }
        Granularity::Column => {
            let [o, i, r, s] = convolution(granularity, shape)?;
            numbered(&[group(o * i), member(r), group(s)])
        }
        Granularity::Kernel => {
            let [o, i, r, s] = convolution(granularity, shape)?;
            numbered(&[group(o * i), member(r * s)])
        }
        Granularity::Filter => {
            let (rows, cols) = matrix(granularity, shape)?;
            numbered(&[group(rows), member(cols)])
        }
        Granularity::Channel => {
            let (rows, cols) = matrix(granularity, shape)?;
            let taps = cols / shape[1];
            numbered(&[member(rows), group(shape[1]), member(taps)])
        }
        Granularity::Block { rows, cols } => {
            let (n_rows, n_cols) = matrix(granularity, shape)?;
            divides("block rows", rows, "rows", n_rows)?;
            divides("block cols", cols, "columns", n_cols)?;
            numbered(&[Axis::blocks(n_rows, rows), Axis::blocks(n_cols, cols)])
        }
        Granularity::NofM { n, m, axis } => n_of_m(n, m, axis, shape)?,
        Granularity::Strided { stride } => {
            let [o, i, r, s] = convolution(granularity, shape)?;
            if !(1..=r * s).contains(&stride) {
                return Err(Error::invalid("stride", format!("1..={} for kernels {r}x{s}", r * s), stride));
            }
            numbered(&[member(o), group(i), Axis::strided(r * s, stride)])
        }
    })
}

fn n_of_m(n: usize, m: usize, axis: usize, shape: &[usize]) -> Result<[Axis; 4]> {
    if !(1..m).contains(&n) {
        return Err(Error::invalid("n of N:M", format!("1..{m}, below m"), n));
    }
    let Some(&len) = shape.get(axis) else {
        return Err(Error::invalid("axis of N:M", format!("below {}, as in {shape:?}", shape.len()), axis));
    };
    divides("m of N:M", m, &format!("entries along axis {axis} of {shape:?}"), len)?;
    let product = |axes: &[usize]| axes.iter().product::<usize>();
    let (outer, inner) = (product(&shape[..axis]), product(&shape[axis + 1..]));
    let mut axes = numbered(&[Axis::group(outer), Axis::group(len), Axis::group(inner)]);
    // The axis varies fastest, so that rivals are consecutive.
    (axes[2].stride, axes[3].stride) = (1, len);
    Ok(axes)
}

/// Puts at most four axes in place and numbers the groups in row-major order.
fn numbered(axes: &[Axis]) -> [Axis; 4] {
    let mut placed = [Axis::member(1); 4];
    placed[4 - axes.len()..].copy_from_slice(axes);
    let mut stride = 1;
    for axis in placed.iter_mut().rev() {
        axis.stride = stride;
        stride *= axis.n_coords;
    }
    placed
}

fn convolution(granularity: Granularity, shape: &[usize]) -> Result<[usize; 4]> {
    shape.try_into().map_err(|_| misfit(&format!("4 axes (O, I, R, S) for granularity {granularity}"), shape))
}

/// The weight as a matrix: outputs, and all that one output reads.
fn matrix(granularity: Granularity, shape: &[usize]) -> Result<(usize, usize)> {
    match shape {
        [rows, cols @ ..] if matches!(cols.len(), 1 | 3) => Ok((*rows, cols.iter().product())),
        _ => {
            let expected = format!("2 axes (O, I) or 4 (O, I, R, S) for granularity {granularity}");
            Err(misfit(&expected, shape))
        }
    }
}

fn divides(what: &str, part: usize, of: &str, whole: usize) -> Result<()> {
    if part > 0 && whole.is_multiple_of(part) {
        return Ok(());
    }
    Err(Error::invalid(what, format!("a divisor of the {whole} {of}"), part))
}

fn misfit(expected: &str, shape: &[usize]) -> Error {
    Error::invalid("shape of the weight", expected, format!("{shape:?}"))
}

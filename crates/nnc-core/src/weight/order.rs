//! The order in which the entries of a weight are walked.

use crate::{Error, Result};

/// The order in which stored positions walk a weight, on its view as a matrix of `shape[0]` rows by the rest.
///
/// A weight of rank 0 or 1 has one column, so both orders agree on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// Row after row: the flat order of a dense tensor.
    #[default]
    RowMajor,
    /// Column after column, as the EIE engine reads a matrix (Han et al., ISCA 2016, §III-B).
    ColumnMajor,
}

/// The matrix view of a shape with its order: turns steps of the walk into flat row-major positions and back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    n_rows: usize,
    n_cols: usize,
    order: Order,
}

impl Walk {
    pub(crate) fn new(shape: &[usize], order: Order) -> Self {
        let n_rows = shape.first().copied().unwrap_or(1);
        let n_cols = shape.get(1..).unwrap_or_default().iter().product();
        Self { n_rows, n_cols, order }
    }

    /// The flat row-major position of step `step`.
    pub(crate) fn flat(&self, step: usize) -> usize {
        match self.order {
            Order::RowMajor => step,
            Order::ColumnMajor => (step % self.n_rows) * self.n_cols + step / self.n_rows,
        }
    }

    /// The step that visits the flat row-major position `flat`.
    pub(crate) fn step(&self, flat: usize) -> usize {
        match self.order {
            Order::RowMajor => flat,
            Order::ColumnMajor => (flat % self.n_cols) * self.n_rows + flat / self.n_cols,
        }
    }
}

/// How many entries `shape` has, or an error where a dense tensor of it could not be addressed.
///
/// Zero dimensions are left out of the product, so that strides cannot overflow either.
pub(crate) fn checked_count(what: &str, shape: &[usize]) -> Result<usize> {
    let limit = isize::MAX.unsigned_abs() / size_of::<f64>();
    let product = shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim.max(1)));
    match product {
        Some(n) if n <= limit => Ok(if shape.contains(&0) { 0 } else { n }),
        _ => Err(Error::invalid(
            format!("shape of {what}"),
            format!("at most {limit} entries"),
            format!("{shape:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_major_walks_columns_and_steps_invert_it() {
        let walk = Walk::new(&[2, 3], Order::ColumnMajor);
        let flats: Vec<usize> = (0..6).map(|step| walk.flat(step)).collect();
        assert_eq!(flats, [0, 3, 1, 4, 2, 5]);
        for shape in [&[][..], &[5], &[1, 4], &[4, 1], &[2, 3, 2, 2]] {
            for order in [Order::RowMajor, Order::ColumnMajor] {
                let walk = Walk::new(shape, order);
                let n = shape.iter().product::<usize>();
                assert!((0..n).all(|step| walk.step(walk.flat(step)) == step), "{shape:?} {order:?}");
            }
        }
        assert_eq!(Walk::new(&[5], Order::ColumnMajor).flat(3), 3);
    }

    #[test]
    fn counts_that_cannot_be_addressed_are_refused() {
        assert_eq!(checked_count("w", &[]).unwrap(), 1);
        assert_eq!(checked_count("w", &[3, 0, 2]).unwrap(), 0);
        assert!(checked_count("w", &[usize::MAX]).is_err());
        assert!(checked_count("w", &[0, 1 << 40, 1 << 40]).is_err());
    }
}

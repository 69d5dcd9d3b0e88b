//! Wanda: a weight matters as much as what it multiplies.

use nnc_core::candle::Tensor;
use nnc_core::{Error, Result};

use super::inputs::InputNorms;
use crate::read::with_values;

/// `|W_ij| · ‖X_j‖₂` for every entry of `weight`, in row-major order; select with [`per_row`](crate::select::per_row) or
/// [`quota_of_groups`](crate::select::quota_of_groups).
///
/// A convolution's `X_j` are the rows of its im2col matrix, so the norm runs over images and positions.
///
/// # Errors
/// [`Error::ShapeMismatch`] when `weight` is not that of the layer that was observed, and those of reading a tensor.
///
/// # Source
/// Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", ICLR 2024, eq. 1. The norm of a sum and of a
/// mean rank alike.
pub fn wanda(weight: &Tensor, inputs: &InputNorms) -> Result<Vec<f32>> {
    let norms = inputs.norms();
    let n = norms[0].len();
    let n_outputs = weight.dims().first().copied().unwrap_or(0);
    if weight.elem_count() != n_outputs * n || !n_outputs.is_multiple_of(norms.len()) {
        return Err(Error::shape("weight", &[n_outputs, n], weight.dims()));
    }
    with_values(weight, |values| {
        let rows_per_group = n_outputs / norms.len();
        let score = |(w, norm): (&f32, &f64)| {
            #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
            let score = (f64::from(w.abs()) * norm) as f32;
            score
        };
        let rows = values.chunks(n).enumerate();
        rows.flat_map(|(row_idx, row)| row.iter().zip(&norms[row_idx / rows_per_group]).map(score)).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nnc_core::candle::Device;
    use nnc_core::forward;
    use nnc_core::network::{Conv, Network};
    use nnc_core::rng::Rng;
    use nnc_core::source::{Step, VarSource};
    use nnc_core::tap::{Observe, Site, Taps};

    use super::*;
    use crate::importance::inputs::LayerInput;
    use crate::select;

    fn draw(shape: &[usize]) -> Tensor {
        let mut rng = Rng::keyed(1, "wanda", &[]);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn the_worked_example_of_the_paper_comes_out() {
        // Figure 1: W, ‖X‖ and the scores; the lower half of each row goes.
        let (network, spec) =
            Network::builder().input("x", &[4]).linear("fc", 3).output("y").build().unwrap();
        let mut params = spec.init(1, &Device::Cpu).unwrap();
        let weight = Tensor::new(
            &[[4_f32, 0.0, 1.0, -1.0], [3.0, -2.0, -1.0, -3.0], [-3.0, 1.0, 0.0, 2.0]],
            &Device::Cpu,
        );
        params.replace("fc.weight", weight.unwrap()).unwrap();
        let weight = params.tensor("fc.weight").unwrap();
        let node = network.node("fc").unwrap();
        let norms = Arc::new(InputNorms::new(LayerInput::new(node, weight.dims()).unwrap()));
        let mut taps = Taps::new();
        taps.observe(Site::input("fc", 0), norms.clone());
        let source = VarSource::new(&params).unwrap();
        // Two batches whose columns have the norms 1, 2, 8, 3.
        for batch in [[[1_f32, 0.0, 8.0, 0.0]], [[0.0, 2.0, 0.0, 3.0]]] {
            let batch = Tensor::new(&batch, &Device::Cpu).unwrap();
            forward::run(&network, &source, &taps, &batch, &["y"], &Step::eval()).unwrap();
        }
        let scores = wanda(weight, &norms).unwrap();
        assert_eq!(scores, [4.0, 0.0, 8.0, 3.0, 3.0, 4.0, 8.0, 9.0, 3.0, 2.0, 0.0, 6.0]);
        let mask = select::per_row(&scores, weight.dims(), 0.5).unwrap();
        let kept: Vec<usize> = (0..12).filter(|&i| mask.keeps(i)).collect();
        assert_eq!(kept, [0, 2, 6, 7, 8, 11]);
    }

    #[test]
    fn a_convolution_norms_its_inputs_over_positions_and_groups_apart() {
        let (weight, x) = (draw(&[4, 2, 3, 3]), draw(&[2, 4, 5, 5]));
        let (network, _) = Network::builder()
            .input("x", &[4, 5, 5])
            .conv2d("conv", Conv::new(4, 3).groups(2).padding(1))
            .output("y")
            .build()
            .unwrap();
        let norms = InputNorms::new(LayerInput::new(network.node("conv").unwrap(), weight.dims()).unwrap());
        norms.observe(&x, &Step::eval()).unwrap();
        let scores = wanda(&weight, &norms).unwrap();
        let values = weight.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
        for (o, filter) in values.iter().enumerate() {
            for (t, w) in filter.iter().enumerate() {
                let (i, r, s) = (t / 9, t / 3 % 3, t % 3);
                // The inputs that this weight meets: a shifted window of its map, with the padding cut off.
                let map = x.narrow(1, o / 2 * 2 + i, 1).unwrap();
                let (rows, cols) = ((r.max(1) - 1, 5 - r.abs_diff(1)), (s.max(1) - 1, 5 - s.abs_diff(1)));
                let seen = map.narrow(2, rows.0, rows.1).unwrap().narrow(3, cols.0, cols.1).unwrap();
                let norm = seen.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
                assert!((scores[o * 18 + t] - w.abs() * norm).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn other_weights_and_nodes_are_refused() {
        let (network, _) =
            Network::builder().input("x", &[4]).linear("fc", 3).relu("relu").output("y").build().unwrap();
        assert!(
            LayerInput::new(network.node("relu").unwrap(), &[3, 4]).unwrap_err().to_string().contains("relu")
        );
        assert!(
            LayerInput::new(network.node("fc").unwrap(), &[3]).unwrap_err().to_string().contains("fc.weight")
        );
        let norms = InputNorms::new(LayerInput::new(network.node("fc").unwrap(), &[3, 4]).unwrap());
        assert!(wanda(&draw(&[3, 5]), &norms).unwrap_err().to_string().contains("weight"));
        assert!(norms.observe(&draw(&[3]), &Step::eval()).unwrap_err().to_string().contains("layer input"));
    }
}

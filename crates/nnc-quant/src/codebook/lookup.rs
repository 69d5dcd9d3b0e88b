//! The operator of shared weights: a table lookup whose gradient is a sum per table entry.

use std::sync::Arc;

use nnc_core::candle::{self, CpuStorage, CustomOp1, Layout, Shape, Tensor};

/// Which entry holds which shared value; entries not listed are zero.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assignment {
    pub(super) shape: Vec<usize>,
    /// Flat indices of the entries that hold a value, ascending.
    pub(super) positions: Vec<u32>,
    /// For each of them, its index into the centroids.
    pub(super) codes: Vec<u16>,
}

/// Centroids `(k,)` → weight: `w[positions[i]] = centroids[codes[i]]`, 0 elsewhere.
///
/// Backward (Deep Compression, eq. 3): `∂L/∂c_k = Σ_i ∂L/∂w_i · [code_i = k]`; the assignment is frozen.
#[derive(Debug, Clone)]
pub(super) struct Lookup(pub(super) Arc<Assignment>);

impl Lookup {
    fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle::Result<&'a [f32]> {
        let (start, end) =
            layout.contiguous_offsets().ok_or_else(|| candle::Error::Msg("lookup: not contiguous".into()))?;
        Ok(&storage.as_slice::<f32>()?[start..end])
    }
}

impl CustomOp1 for Lookup {
    fn name(&self) -> &'static str {
        "codebook-lookup"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle::Result<(CpuStorage, Shape)> {
        let centroids = Self::values(storage, layout)?;
        let shape = Shape::from(self.0.shape.as_slice());
        let mut weight = vec![0.0; shape.elem_count()];
        for (&position, &code) in self.0.positions.iter().zip(&self.0.codes) {
            weight[position as usize] = centroids[usize::from(code)];
        }
        Ok((CpuStorage::F32(weight), shape))
    }

    fn bwd(&self, centroids: &Tensor, _weight: &Tensor, gradient: &Tensor) -> candle::Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let (storage, layout) = gradient.storage_and_layout();
        let candle::Storage::Cpu(storage) = &*storage else {
            candle::bail!("codebook-lookup has a CPU kernel only")
        };
        let gradient = Self::values(storage, layout)?;
        let mut sums = vec![0.0_f64; centroids.elem_count()];
        for (&position, &code) in self.0.positions.iter().zip(&self.0.codes) {
            sums[usize::from(code)] += f64::from(gradient[position as usize]);
        }
        #[allow(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
        let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
        Tensor::from_vec(sums, centroids.dims(), centroids.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use nnc_core::candle::{Device, Var};

    use super::*;

    /// The numbers of Deep Compression's figure 3.
    #[test]
    fn figure_3_moves_the_centroids_by_the_sum_of_their_gradients() {
        let codes = vec![0, 3, 1, 2, 2, 2, 3, 0, 3, 0, 2, 3, 0, 2, 1, 1];
        let assignment = Assignment { shape: vec![4, 4], positions: (0..16).collect(), codes };
        let centroids = Var::new(&[2.0_f32, 1.5, 0.0, -1.0], &Device::Cpu).unwrap();
        let gradient = [
            [-0.03_f32, -0.01, 0.03, 0.02],
            [-0.01, 0.01, -0.02, 0.12],
            [-0.01, 0.02, 0.04, 0.01],
            [-0.07, -0.02, 0.01, -0.02],
        ];
        let gradient = Tensor::new(&gradient, &Device::Cpu).unwrap();
        let weight = centroids.apply_op1(Lookup(Arc::new(assignment))).unwrap();
        assert_eq!(weight.to_vec2::<f32>().unwrap()[0], [2.0, -1.0, 1.5, 0.0]);
        let loss = (weight * gradient).unwrap().sum_all().unwrap();
        let moved = (centroids.as_tensor() - loss.backward().unwrap().get(&centroids).unwrap()).unwrap();
        for (got, expected) in moved.to_vec1::<f32>().unwrap().iter().zip([1.96, 1.48, -0.04, -0.97]) {
            assert!((got - expected).abs() < 1e-6, "expected {expected}, got {got}");
        }
    }

    #[test]
    fn entries_without_a_code_are_zero_and_get_no_gradient() {
        let assignment = Assignment { shape: vec![2, 3], positions: vec![1, 5], codes: vec![1, 1] };
        let centroids = Var::new(&[7.0_f32, 2.0], &Device::Cpu).unwrap();
        let weight = centroids.apply_op1(Lookup(Arc::new(assignment))).unwrap();
        assert_eq!(weight.to_vec2::<f32>().unwrap(), [[0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]);
        let gradients = weight.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&centroids).unwrap().to_vec1::<f32>().unwrap(), [0.0, 2.0]);
    }
}

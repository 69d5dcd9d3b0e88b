//! A source whose weights are looked up in trained codebooks.

use std::sync::Arc;

use nnc_core::candle::{Device, Tensor, Var};
use nnc_core::params::{ParamKind, Params};
use nnc_core::rng::Rng;
use nnc_core::source::{ParamSource, Step, Trainable};
use nnc_core::weight::{Codebook, MaskBits, Order, PackedSymbols, Positions, StoredWeight, Values};
use nnc_core::{Error, Result};

use super::lookup::{Assignment, Lookup};
use super::{ClusterConfig, cluster};

/// A weight as codes into shared values; its zeros are kept as zeros and have no code.
#[derive(Debug, Clone)]
pub struct SharedWeight {
    assignment: Arc<Assignment>,
    centroids: Var,
}

impl SharedWeight {
    /// Shares the values of `weight`, leaving its zeros alone.
    ///
    /// `n_shared` is lowered to the number of non-zero entries, and centroids that no weight takes are dropped.
    ///
    /// # Errors
    /// Those of [`cluster`]: a weight that is not finite, or no entry that is not zero.
    pub fn cluster(weight: &Tensor, config: &ClusterConfig, rng: &mut Rng) -> Result<Self> {
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        let mut positions = Vec::new();
        let mut survivors = Vec::new();
        for (i, &value) in values.iter().enumerate() {
            if value != 0.0 {
                let position = u32::try_from(i)
                    .map_err(|_| Error::invalid("weight", "fewer than 2^32 entries", values.len()))?;
                positions.push(position);
                survivors.push(value);
            }
        }
        let config = ClusterConfig { n_shared: config.n_shared.min(survivors.len()), ..*config };
        let clustering = cluster(&survivors, &config, rng)?.without_empty();
        let assignment =
            Assignment { shape: weight.dims().to_vec(), positions, codes: clustering.assignments };
        let n_shared = clustering.centroids.len();
        let centroids = Var::from_vec(clustering.centroids, n_shared, weight.device())?;
        Ok(Self { assignment: Arc::new(assignment), centroids })
    }

    /// Number of shared values.
    pub fn n_shared(&self) -> usize {
        self.centroids.elem_count()
    }

    /// The weight's values, connected to its centroids.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn value(&self) -> Result<Tensor> {
        Ok(self.centroids.apply_op1(Lookup(self.assignment.clone()))?)
    }

    /// The weight in its stored form: a mask of the entries that have a code, and a codebook whose entry 0 is the zero of
    /// all others (and of gap-coded fillers later).
    ///
    /// # Errors
    /// Those of reading the centroids.
    pub fn stored(&self) -> Result<StoredWeight> {
        let Assignment { shape, positions, codes } = &*self.assignment;
        let mut mask = MaskBits::repeat(false, shape.iter().product());
        for &position in positions {
            mask.set(position as usize, true);
        }
        let mut table = vec![0.0];
        table.extend(self.centroids.to_vec1::<f32>()?);
        let indices: Vec<u16> = codes.iter().map(|&code| code + 1).collect();
        let codebook = Codebook::new(table, Arc::new(PackedSymbols::narrowest(&indices)))?;
        StoredWeight::new(shape.clone(), Positions::Mask(mask), Values::Codebook(codebook), Order::RowMajor)
    }

    fn save(&self, name: &str, state: &mut Params) -> Result<()> {
        let Assignment { positions, codes, .. } = &*self.assignment;
        let codes: Vec<u32> = codes.iter().map(|&code| code.into()).collect();
        let vector = |values: &[u32]| Tensor::from_slice(values, values.len(), &Device::Cpu);
        state.insert(format!("positions/{name}"), ParamKind::Buffer, vector(positions)?);
        state.insert(format!("codes/{name}"), ParamKind::Buffer, vector(&codes)?);
        state.insert(format!("centroids/{name}"), ParamKind::Buffer, self.centroids.detach().copy()?);
        Ok(())
    }

    fn load(&mut self, name: &str, state: &Params) -> Result<()> {
        let positions = state.tensor(&format!("positions/{name}"))?.to_vec1::<u32>()?;
        let codes = state.tensor(&format!("codes/{name}"))?.to_vec1::<u32>()?;
        let centroids = state.tensor(&format!("centroids/{name}"))?.to_vec1::<f32>()?;
        let shape = self.assignment.shape.clone();
        let n: usize = shape.iter().product();
        let fits = positions.len() == codes.len()
            && (1..=usize::from(u16::MAX)).contains(&centroids.len())
            && positions.is_sorted_by(|a, b| a < b)
            && positions.last().is_none_or(|&last| (last as usize) < n)
            && codes.iter().all(|&code| (code as usize) < centroids.len());
        if !fits {
            return Err(Error::corrupt(
                "saved codebook",
                format!("positions, codes and centroids of `{name}` do not fit its shape {shape:?}"),
            ));
        }
        let codes = codes
            .into_iter()
            .map(|code| u16::try_from(code).expect("below the number of centroids"))
            .collect();
        self.assignment = Arc::new(Assignment { shape, positions, codes });
        let n_shared = centroids.len();
        self.centroids = Var::from_vec(centroids, n_shared, self.centroids.device())?;
        Ok(())
    }
}

/// Serves shared weights by lookup and everything else from the source below.
///
/// The optimizer sees the centroids in place of the weights they replace; the assignment of weights to centroids does not
/// change (Deep Compression, §3.3).
#[derive(Debug)]
pub struct CodebookSource<S> {
    inner: S,
    shared: Vec<(String, SharedWeight)>,
    centroid_lr_scale: f64,
}

impl<S: ParamSource> CodebookSource<S> {
    /// Wraps `inner`; `shared` replaces the parameters that it names.
    ///
    /// # Errors
    /// [`Error::NotFound`] when `inner` does not serve a name.
    pub fn new(inner: S, shared: Vec<(String, SharedWeight)>) -> Result<Self> {
        for (name, _) in &shared {
            if !inner.contains(name) {
                return Err(Error::not_found(
                    "parameter",
                    name,
                    inner.names().into_iter().map(|(name, _)| name),
                ));
            }
        }
        Ok(Self { inner, shared, centroid_lr_scale: 1.0 })
    }

    /// Sets the factor on the learning rate of centroids, whose gradients are sums over all their weights.
    #[must_use]
    pub fn with_centroid_lr_scale(mut self, scale: f64) -> Self {
        self.centroid_lr_scale = scale;
        self
    }

    /// The shared weight behind `name`, if it is shared.
    pub fn shared(&self, name: &str) -> Option<&SharedWeight> {
        self.shared.iter().find(|(known, _)| known == name).map(|(_, weight)| weight)
    }
}

impl<S: ParamSource> ParamSource for CodebookSource<S> {
    fn get(&self, name: &str, step: &Step) -> Result<Tensor> {
        match self.shared(name) {
            Some(weight) => weight.value(),
            None => self.inner.get(name, step),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.inner.contains(name)
    }

    fn names(&self) -> Vec<(String, ParamKind)> {
        self.inner.names()
    }

    fn trainables(&self) -> Vec<Trainable> {
        let mut trainables = self.inner.trainables();
        for trainable in &mut trainables {
            if let Some(weight) = self.shared(&trainable.name) {
                let name = format!("{}/centroids", trainable.name);
                *trainable = Trainable {
                    lr_scale: self.centroid_lr_scale,
                    ..Trainable::new(name, weight.centroids.clone(), ParamKind::Bias)
                };
            }
        }
        trainables
    }

    fn set_buffer(&self, name: &str, value: &Tensor) -> Result<()> {
        self.inner.set_buffer(name, value)
    }

    fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        state.extend_prefixed("inner/", &self.inner.state()?);
        for (name, weight) in &self.shared {
            weight.save(name, &mut state)?;
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        self.inner.load_state(&state.strip_prefix("inner/"))?;
        self.shared.iter_mut().try_for_each(|(name, weight)| weight.load(name, state))
    }

    fn freeze(&self, name: &str) -> Result<StoredWeight> {
        match self.shared(name) {
            Some(weight) => weight.stored(),
            None => self.inner.freeze(name),
        }
    }
}

//! A source whose weights are seen through masks.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use nnc_core::candle::{self, CpuStorage, CustomOp1, Device, Layout, Shape, Tensor};
use nnc_core::params::{ParamKind, Params};
use nnc_core::source::{ParamSource, Step, Trainable};
use nnc_core::weight::{StoredWeight, Values, WeightTensor};
use nnc_core::{Error, Result};

use crate::mask::Mask;

/// What gradient reaches the weight behind a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradient {
    /// None where pruned: the loss leaves a pruned weight as it is (Han 2015).
    ///
    /// Weight decay still shrinks the value behind the mask, and momentum from before it was pruned still moves it; the
    /// network sees 0 all the same, and a value that is 0 stays exactly 0.
    Masked,
    /// All of it: a pruned weight goes on learning and may come back (Guo, Yao, Chen, "Dynamic Network Surgery", NIPS 2016).
    StraightThrough,
}

/// The masks of a [`MaskedSource`], shared with whoever changes them: clones are handles to the same masks.
///
/// Once a source has been wrapped with them, only names that it serves may have masks; with several, those of the last.
#[derive(Debug, Clone, Default)]
pub struct Masks(Arc<RwLock<Table>>);

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Entry>,
    /// The source wrapped last; none before the first.
    wrapped: Option<Wrapped>,
}

#[derive(Debug)]
struct Wrapped {
    served: Vec<String>,
    gradient: Gradient,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    mask: Arc<Mask>,
    tensor: Tensor,
}

impl Masks {
    /// No masks: everything is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the mask of the parameter `name`, from the next step on.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a source has been wrapped that does not serve `name`, and those of making a tensor.
    pub fn set(&self, name: &str, mask: Mask) -> Result<()> {
        let entry =
            Entry { name: name.to_owned(), tensor: mask.to_tensor(&Device::Cpu)?, mask: Arc::new(mask) };
        let Table { entries, wrapped } = &mut *self.write();
        if let Some(wrapped) = wrapped {
            check_name(name, &wrapped.served)?;
        }
        match entries.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        }
        Ok(())
    }

    /// The mask of `name`, if it has one.
    pub fn get(&self, name: &str) -> Option<Arc<Mask>> {
        self.entry(name).map(|entry| entry.mask)
    }

    /// The names that have masks, in the order in which they got them.
    pub fn names(&self) -> Vec<String> {
        self.read().entries.iter().map(|entry| entry.name.clone()).collect()
    }

    /// Takes the mask of `name` off and returns it, if it has one.
    pub fn remove(&self, name: &str) -> Option<Arc<Mask>> {
        let entries = &mut self.write().entries;
        let i = entries.iter().position(|entry| entry.name == name)?;
        Some(entries.remove(i).mask)
    }

    /// The gradient that the source wrapped last lets through; none before these masks are in use.
    pub fn gradient(&self) -> Option<Gradient> {
        self.read().wrapped.as_ref().map(|wrapped| wrapped.gradient)
    }

    /// Takes all masks off.
    pub fn clear(&self) {
        self.write().entries.clear();
    }

    /// From now on only names in `served` may have masks; refused when one that is not there has one already.
    fn wrap(&self, served: Vec<String>, gradient: Gradient) -> Result<()> {
        let Table { entries, wrapped } = &mut *self.write();
        entries.iter().try_for_each(|entry| check_name(&entry.name, &served))?;
        *wrapped = Some(Wrapped { served, gradient });
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        // Entries are replaced whole, so a panic elsewhere leaves them whole.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, name: &str) -> Option<Entry> {
        self.read().entries.iter().find(|entry| entry.name == name).cloned()
    }
}

/// Serves each masked parameter as `mask ⊙ w` and everything else from the source below.
#[derive(Debug)]
pub struct MaskedSource<S> {
    inner: S,
    masks: Masks,
    gradient: Gradient,
}

impl<S: ParamSource> MaskedSource<S> {
    /// Wraps `inner`; `masks` may be changed at any time through its other handles.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a mask is there for a name that `inner` does not serve; one that is set later for such a name
    /// is refused by [`Masks::set`].
    pub fn new(inner: S, masks: Masks, gradient: Gradient) -> Result<Self> {
        masks.wrap(inner.names().into_iter().map(|(name, _)| name).collect(), gradient)?;
        Ok(Self { inner, masks, gradient })
    }

    /// The source below.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: ParamSource> ParamSource for MaskedSource<S> {
    fn get(&self, name: &str, step: &Step) -> Result<Tensor> {
        let weight = self.inner.get(name, step)?;
        let Some(entry) = self.masks.entry(name) else { return Ok(weight) };
        check_shape(name, weight.dims(), &entry.mask)?;
        Ok(weight.contiguous()?.apply_op1(Masked { mask: entry.tensor, gradient: self.gradient })?)
    }

    fn contains(&self, name: &str) -> bool {
        self.inner.contains(name)
    }

    fn names(&self) -> Vec<(String, ParamKind)> {
        self.inner.names()
    }

    fn trainables(&self) -> Vec<Trainable> {
        self.inner.trainables()
    }

    fn set_buffer(&self, name: &str, value: &Tensor) -> Result<()> {
        self.inner.set_buffer(name, value)
    }

    fn state(&self) -> Result<Params> {
        let mut state = Params::new();
        state.extend_prefixed("inner/", &self.inner.state()?);
        for name in self.masks.names() {
            let entry = self.masks.entry(&name).expect("just listed");
            state.insert(format!("mask/{name}"), ParamKind::Buffer, entry.tensor);
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &Params) -> Result<()> {
        self.inner.load_state(&state.strip_prefix("inner/"))?;
        self.masks.clear();
        for param in state.strip_prefix("mask/").iter() {
            self.masks.set(&param.name, Mask::from_tensor(&param.tensor)?)?;
        }
        Ok(())
    }

    fn freeze(&self, name: &str) -> Result<StoredWeight> {
        let stored = self.inner.freeze(name)?;
        let Some(mask) = self.masks.get(name) else { return Ok(stored) };
        check_shape(name, stored.shape(), &mask)?;
        if matches!(stored.values(), Values::F32(_)) {
            return narrowed(&stored, &mask);
        }
        // Another method has chosen the stored form; it must already hold zeros wherever this mask prunes.
        for entry in stored.entries() {
            let (flat_idx, value) = entry?;
            if value != 0.0 && !mask.keeps(flat_idx) {
                let got = format!("{value} at flat index {flat_idx}, which is pruned");
                return Err(Error::invalid(
                    format!("stored form of `{name}`"),
                    "zeros where the mask prunes",
                    got,
                ));
            }
        }
        Ok(stored)
    }
}

/// Floats, placed in whatever way, without those that the mask prunes.
fn narrowed(stored: &StoredWeight, mask: &Mask) -> Result<StoredWeight> {
    let mut values = vec![0.0; mask.len()];
    let mut listed = vec![false; mask.len()];
    for entry in stored.entries() {
        let (flat_idx, value) = entry?;
        (values[flat_idx], listed[flat_idx]) = (value, true);
    }
    Mask::from_fn(mask.shape(), |i| listed[i] && mask.keeps(i)).stored(&values)
}

fn check_name(name: &str, served: &[String]) -> Result<()> {
    if served.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(Error::not_found("parameter", name, served))
}

fn check_shape(name: &str, shape: &[usize], mask: &Mask) -> Result<()> {
    if shape == mask.shape() {
        return Ok(());
    }
    Err(Error::shape(format!("mask of `{name}`"), shape, mask.shape()))
}

/// `mask ⊙ w` as one operator.
struct Masked {
    mask: Tensor,
    gradient: Gradient,
}

/// Two equally shaped contiguous tensors on the CPU, entry by entry.
fn product(values: &[f32], mask: &Tensor) -> candle::Result<Vec<f32>> {
    let (storage, layout) = mask.storage_and_layout();
    let candle::Storage::Cpu(storage) = &*storage else { candle::bail!("masks have a CPU kernel only") };
    let (start, end) = layout.contiguous_offsets().expect("masks are made contiguous");
    let mask = &storage.as_slice::<f32>()?[start..end];
    // Selected, not multiplied: a pruned infinity is zero too.
    Ok(values.iter().zip(mask).map(|(&w, &m)| if m == 0.0 { 0.0 } else { w }).collect())
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle::Result<&'a [f32]> {
    let (start, end) =
        layout.contiguous_offsets().ok_or_else(|| candle::Error::Msg("mask: not contiguous".into()))?;
    Ok(&storage.as_slice::<f32>()?[start..end])
}

impl CustomOp1 for Masked {
    fn name(&self) -> &'static str {
        "mask"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle::Result<(CpuStorage, Shape)> {
        let masked = product(contiguous(storage, layout)?, &self.mask)?;
        Ok((CpuStorage::F32(masked), layout.shape().clone()))
    }

    fn bwd(&self, weight: &Tensor, _result: &Tensor, gradient: &Tensor) -> candle::Result<Option<Tensor>> {
        if self.gradient == Gradient::StraightThrough {
            return Ok(Some(gradient.clone()));
        }
        let gradient = gradient.contiguous()?;
        let masked = {
            let (storage, layout) = gradient.storage_and_layout();
            let candle::Storage::Cpu(storage) = &*storage else {
                candle::bail!("masks have a CPU kernel only")
            };
            product(contiguous(storage, layout)?, &self.mask)?
        };
        Tensor::from_vec(masked, weight.dims(), weight.device()).map(Some)
    }
}

#[cfg(test)]
mod tests;

//! What a parameter is before it has values: name, shape, kind and first values.

use std::collections::HashMap;

use crate::rng::Rng;
use crate::weight::checked_count;
use crate::{Error, Result};

/// What a parameter is for, which decides how methods treat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// Multiplies activations: pruned, shared and coded.
    Weight,
    /// Trained, but added or per channel: kept as it is by the methods that compress weights.
    Bias,
    /// Not trained: running statistics and other state.
    Buffer,
}

impl ParamKind {
    /// Whether an optimizer moves it.
    pub fn is_trained(self) -> bool {
        self != Self::Buffer
    }

    /// The kind's one-word name: `weight`, `bias` or `buffer`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::Buffer => "buffer",
        }
    }

    /// The likely kind of a parameter that nobody declared, from its name and shape.
    ///
    /// Running statistics and counters by their usual names are buffers, other tensors of rank 2 and more are weights,
    /// the rest are biases.
    pub fn guess(name: &str, shape: &[usize]) -> Self {
        let last = name.rsplit('.').next().unwrap_or(name);
        if ["running_mean", "running_var", "num_batches_tracked"].contains(&last) {
            Self::Buffer
        } else if shape.len() >= 2 {
            Self::Weight
        } else {
            Self::Bias
        }
    }

    /// The kind of that [`as_str`](Self::as_str), if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Weight, Self::Bias, Self::Buffer].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// How a parameter gets its first values.
///
/// # Source
/// Kaiming: He, Zhang, Ren, Sun, "Delving Deep into Rectifiers", ICCV 2015, eq. 10 (gain √2, for relu).
/// Xavier: Glorot, Bengio, "Understanding the difficulty of training deep feedforward networks", AISTATS 2010, eq. 16.
/// PyTorch's default for linear and convolution is `Uniform(1 / √fan_in)`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// All the same value.
    Constant(f32),
    /// Uniform in ±√(6 / `fan_in`).
    KaimingUniform {
        /// Inputs that reach one output.
        fan_in: usize,
    },
    /// Normal with standard deviation √(2 / `fan_in`).
    KaimingNormal {
        /// Inputs that reach one output.
        fan_in: usize,
    },
    /// Uniform in ±√(6 / (`fan_in` + `fan_out`)).
    XavierUniform {
        /// Inputs that reach one output.
        fan_in: usize,
        /// Outputs that one input reaches.
        fan_out: usize,
    },
    /// Uniform in ±bound.
    Uniform(f32),
}

impl Init {
    /// `n` first values in row-major order, drawn from `rng` in that order.
    pub fn draw(&self, n: usize, rng: &mut Rng) -> Vec<f32> {
        let mut uniform = |bound: f32| (0..n).map(|_| rng.uniform_in(-bound, bound)).collect();
        match *self {
            Self::Zeros => vec![0.0; n],
            Self::Ones => vec![1.0; n],
            Self::Constant(value) => vec![value; n],
            Self::KaimingUniform { fan_in } => uniform((6.0 / fan_in as f32).sqrt()),
            Self::KaimingNormal { fan_in } => {
                let std = (2.0 / fan_in as f32).sqrt();
                (0..n).map(|_| std * rng.normal()).collect()
            }
            Self::XavierUniform { fan_in, fan_out } => uniform((6.0 / (fan_in + fan_out) as f32).sqrt()),
            Self::Uniform(bound) => uniform(bound),
        }
    }

    /// Refuses fans of 0 and bounds that are negative or not finite.
    fn check(&self, name: &str) -> Result<()> {
        let (valid, expected) = match *self {
            Self::KaimingUniform { fan_in } | Self::KaimingNormal { fan_in } => {
                (fan_in > 0, "a fan-in of at least 1")
            }
            Self::XavierUniform { fan_in, fan_out } => (fan_in > 0 && fan_out > 0, "fans of at least 1"),
            Self::Uniform(bound) => (bound >= 0.0 && bound.is_finite(), "a finite bound of at least 0"),
            Self::Constant(value) => (value.is_finite(), "a finite constant"),
            Self::Zeros | Self::Ones => (true, ""),
        };
        if valid {
            Ok(())
        } else {
            Err(Error::invalid(format!("init of {name}"), expected, format!("{self:?}")))
        }
    }
}

/// One declared parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamSpec {
    /// Its name, unique in the network (`"conv1.weight"`).
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What it is for.
    pub kind: ParamKind,
    /// How it gets its first values.
    pub init: Init,
}

impl ParamSpec {
    /// How many numbers it holds.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Answers the shape of a parameter by name: declared ([`ParamSpecs`]) or loaded ([`Params`](super::Params)).
pub trait ParamShapes {
    /// The shape of the parameter `name`, if there is one.
    fn shape_of(&self, name: &str) -> Option<Vec<usize>>;
}

/// Declared parameters in the order of their declaration.
///
/// # Example
/// ```
/// use nnc_core::params::{Init, ParamKind, ParamSpec, ParamSpecs};
/// let mut specs = ParamSpecs::new();
/// let weight = ParamSpec {
///     name: "ip1.weight".into(),
///     shape: vec![300, 784],
///     kind: ParamKind::Weight,
///     init: Init::KaimingUniform { fan_in: 784 },
/// };
/// specs.push(weight.clone())?;
/// assert_eq!(specs.count(), 235_200);
/// assert!(specs.push(weight).is_err());
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ParamSpecs {
    specs: Vec<ParamSpec>,
    index: HashMap<String, usize>,
}

impl ParamSpecs {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares one more.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when the name is taken or empty, when the shape has more numbers than
    /// can be addressed, or when the first values cannot be drawn (a fan of 0, a bound that is negative or not finite).
    pub fn push(&mut self, spec: ParamSpec) -> Result<()> {
        if spec.name.is_empty() {
            return Err(Error::invalid("parameter name", "a name that is not empty", "\"\""));
        }
        if self.index.contains_key(&spec.name) {
            return Err(Error::invalid(
                "parameter name",
                "a name that is not taken",
                format!("`{}`", spec.name),
            ));
        }
        checked_count(&spec.name, &spec.shape)?;
        spec.init.check(&spec.name)?;
        self.index.insert(spec.name.clone(), self.specs.len());
        self.specs.push(spec);
        Ok(())
    }

    /// In the order of declaration.
    pub fn iter(&self) -> std::slice::Iter<'_, ParamSpec> {
        self.specs.iter()
    }

    /// The parameter `name`, if it was declared.
    pub fn get(&self, name: &str) -> Option<&ParamSpec> {
        self.index.get(name).map(|&i| &self.specs[i])
    }

    /// How many parameters there are (tensors, not numbers).
    pub fn len(&self) -> usize {
        self.specs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }

    /// How many numbers all of them hold, buffers included.
    pub fn count(&self) -> usize {
        self.specs.iter().map(ParamSpec::count).sum()
    }

    /// How many numbers the parameters of one kind hold.
    pub fn count_kind(&self, kind: ParamKind) -> usize {
        self.specs.iter().filter(|spec| spec.kind == kind).map(ParamSpec::count).sum()
    }
}

impl<'a> IntoIterator for &'a ParamSpecs {
    type Item = &'a ParamSpec;
    type IntoIter = std::slice::Iter<'a, ParamSpec>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl ParamShapes for ParamSpecs {
    fn shape_of(&self, name: &str) -> Option<Vec<usize>> {
        self.get(name).map(|spec| spec.shape.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, shape: &[usize], init: Init) -> ParamSpec {
        ParamSpec { name: name.into(), shape: shape.to_vec(), kind: ParamKind::Weight, init }
    }

    #[test]
    fn specs_keep_their_order_and_refuse_a_second_of_a_name() {
        let mut specs = ParamSpecs::new();
        for name in ["z", "a", "m"] {
            specs.push(spec(name, &[2, 3], Init::Zeros)).unwrap();
        }
        assert_eq!(specs.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["z", "a", "m"]);
        assert!(specs.push(spec("a", &[1], Init::Zeros)).unwrap_err().to_string().contains("`a`"));
        assert_eq!((specs.len(), specs.count(), specs.count_kind(ParamKind::Bias)), (3, 18, 0));
        assert_eq!(specs.shape_of("m"), Some(vec![2, 3]));
        assert_eq!(specs.shape_of("b"), None);
    }

    #[test]
    fn impossible_declarations_are_refused() {
        let mut specs = ParamSpecs::new();
        assert!(specs.push(spec("", &[1], Init::Zeros)).is_err());
        assert!(specs.push(spec("w", &[usize::MAX, 2], Init::Zeros)).is_err());
        assert!(specs.push(spec("w", &[0, 1 << 40, 1 << 40], Init::Zeros)).is_err());
        assert!(specs.push(spec("w", &[1], Init::KaimingUniform { fan_in: 0 })).is_err());
        assert!(specs.push(spec("w", &[1], Init::XavierUniform { fan_in: 1, fan_out: 0 })).is_err());
        assert!(specs.push(spec("w", &[1], Init::Uniform(f32::NAN))).is_err());
        assert!(specs.is_empty());
    }

    #[test]
    fn draws_have_the_variance_of_their_papers() {
        let n = 100_000;
        let variance = |init: Init| {
            let draws = init.draw(n, &mut Rng::keyed(1, "init/w", &[]));
            draws.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / n as f64
        };
        for (init, expected) in [
            (Init::KaimingUniform { fan_in: 50 }, 2.0 / 50.0),
            (Init::KaimingNormal { fan_in: 50 }, 2.0 / 50.0),
            (Init::XavierUniform { fan_in: 30, fan_out: 20 }, 2.0 / 50.0),
            (Init::Uniform(0.3), 0.03),
            (Init::Constant(0.5), 0.25),
            (Init::Ones, 1.0),
        ] {
            let got = variance(init);
            assert!((got / expected - 1.0).abs() < 0.03, "{init:?}: {got} against {expected}");
        }
        assert_eq!(Init::Zeros.draw(3, &mut Rng::keyed(1, "init/w", &[])), [0.0; 3]);
    }
}

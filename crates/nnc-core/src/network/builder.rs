//! A builder that reads like the model: each call follows the last, and shapes are tracked on the way.

use std::collections::HashMap;

use super::{Conv, InitScheme, Input, Linear, Network, Node, Op, Output, Shape, shape};
use crate::ops::Pool2dConfig;
use crate::params::{Init, ParamKind, ParamSpec, ParamSpecs};
use crate::{Error, Result};

/// Builds a [`Network`] and declares the parameters it needs.
///
/// Each node reads the node before it; [`from`](Self::from) picks other values for the next one, which makes
/// branches and residuals. The first error is kept and returned by [`build`](Self::build); calls behind it
/// change nothing.
///
/// # Example
/// A residual block:
/// ```
/// use nnc_core::network::{Conv, Network};
/// let (network, specs) = Network::builder()
///     .input("image", &[16, 32, 32])
///     .conv2d("a", Conv::new(16, 3).padding(1))
///     .relu("a_relu")
///     .conv2d("b", Conv::new(16, 3).padding(1))
///     .from(&["b", "image"])
///     .add("sum")
///     .relu("sum_relu")
///     .output("features")
///     .build()?;
/// assert_eq!(network.node("sum")?.inputs, ["b", "image"]);
/// assert_eq!(specs.get("b.weight").map(|spec| spec.shape.clone()), Some(vec![16, 16, 3, 3]));
/// # Ok::<(), nnc_core::Error>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "nothing is built before `build`"]
pub struct Builder {
    inputs: Vec<Input>,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
    specs: ParamSpecs,
    shapes: HashMap<String, Shape>,
    /// What the next node reads.
    current: Vec<String>,
    init: InitScheme,
    error: Option<Error>,
}

impl Builder {
    /// An input of shape `(C, H, W)` or `(F,)`, without the batch; the next node reads it.
    pub fn input(self, name: &str, shape: &[usize]) -> Self {
        self.attempt(|b| {
            shape::check_size(&format!("input `{name}`"), shape)?;
            b.yield_value(name, shape.to_vec())?;
            b.inputs.push(Input { name: name.into(), shape: shape.to_vec() });
            Ok(())
        })
    }

    /// Makes the next node read these values.
    pub fn from(self, names: &[&str]) -> Self {
        self.attempt(|b| {
            for name in names {
                b.known_shape(name)?;
            }
            b.current = names.iter().map(|&name| name.to_owned()).collect();
            Ok(())
        })
    }

    /// How the convolutions and linear nodes that follow get their first values.
    pub fn init(mut self, scheme: InitScheme) -> Self {
        self.init = scheme;
        self
    }

    /// Names the last value as an output; the next node still reads it.
    pub fn output(self, name: &str) -> Self {
        self.attempt(|b| {
            let [value] = b.current.as_slice() else {
                let got = format!("{:?}", b.current);
                return Err(Error::invalid(format!("output `{name}`"), "one value before it", got));
            };
            b.outputs.push(Output { name: name.into(), value: value.clone() });
            Ok(())
        })
    }

    /// A node with any operator that needs no parameters of its own.
    pub fn op(self, name: &str, op: Op) -> Self {
        self.attempt(|b| {
            if !op.params().is_empty() {
                let got = op.name();
                return Err(Error::invalid(
                    format!("operator of node `{name}`"),
                    "one without parameters",
                    got,
                ));
            }
            b.push(name, op)
        })
    }

    /// A convolution.
    pub fn conv2d(self, name: &str, conv: Conv) -> Self {
        self.attempt(|b| {
            let op = Op::Conv2d { config: conv.config, bias: conv.bias };
            op.check(name)?;
            let (n_out, (kernel_h, kernel_w)) = (conv.channels, conv.kernel);
            let per_group = b.read_shape(name)?[0] / conv.config.groups;
            let area = kernel_h.saturating_mul(kernel_w);
            // With a remainder, shape inference refuses the weight and says what would be right.
            let fan_in = per_group.saturating_mul(area);
            let fan_out = (n_out / conv.config.groups).saturating_mul(area);
            b.declare_weight(name, &[n_out, per_group, kernel_h, kernel_w], (fan_in, fan_out), conv.bias)?;
            b.push(name, op)
        })
    }

    /// A linear node: `.linear("ip1", 500)`.
    pub fn linear(self, name: &str, linear: impl Into<Linear>) -> Self {
        let Linear { width, bias } = linear.into();
        self.attempt(|b| {
            let n_in = b.read_shape(name)?[0];
            b.declare_weight(name, &[width, n_in], (n_in, width), bias)?;
            b.push(name, Op::Linear { bias })
        })
    }

    /// A batch norm with PyTorch's settings: eps 1e-5, momentum 0.1; it starts as the identity.
    pub fn batch_norm(self, name: &str) -> Self {
        self.attempt(|b| {
            let channels = [b.read_shape(name)?[0]];
            b.declare(name, "weight", &channels, ParamKind::Bias, Init::Ones)?;
            b.declare(name, "bias", &channels, ParamKind::Bias, Init::Zeros)?;
            b.declare(name, "running_mean", &channels, ParamKind::Buffer, Init::Zeros)?;
            b.declare(name, "running_var", &channels, ParamKind::Buffer, Init::Ones)?;
            b.push(name, Op::BatchNorm { eps: 1e-5, momentum: 0.1 })
        })
    }

    /// A parametric relu with one slope per channel, which starts at 0.25 (He et al., ICCV 2015, §2.1).
    pub fn prelu(self, name: &str) -> Self {
        self.attempt(|b| {
            let channels = [b.read_shape(name)?[0]];
            b.declare(name, "weight", &channels, ParamKind::Bias, Init::Constant(0.25))?;
            b.push(name, Op::Prelu)
        })
    }

    /// `max(x, 0)`.
    pub fn relu(self, name: &str) -> Self {
        self.op(name, Op::Relu)
    }

    /// Maximum pooling.
    pub fn max_pool2d(self, name: &str, config: Pool2dConfig) -> Self {
        self.op(name, Op::MaxPool2d { config })
    }

    /// Average pooling.
    pub fn avg_pool2d(self, name: &str, config: Pool2dConfig) -> Self {
        self.op(name, Op::AvgPool2d { config })
    }

    /// `(C, H, W)` → `(C·H·W,)`.
    pub fn flatten(self, name: &str) -> Self {
        self.op(name, Op::Flatten)
    }

    /// Dropout with this ratio, in `[0, 1)`.
    pub fn dropout(self, name: &str, ratio: f32) -> Self {
        self.op(name, Op::Dropout { ratio })
    }

    /// The sum of the values that [`from`](Self::from) named.
    #[allow(clippy::should_implement_trait, reason = "the operator's name; a builder is nothing to sum")]
    pub fn add(self, name: &str) -> Self {
        self.op(name, Op::Add)
    }

    /// The values that [`from`](Self::from) named, one after the other along the channels.
    pub fn concat(self, name: &str) -> Self {
        self.op(name, Op::Concat)
    }

    /// The network and its parameters, in the order of the calls.
    ///
    /// # Errors
    /// The first error of any call: a name that is taken, a value that is not known, a shape that does not fit
    /// (naming the node, what was expected and what was found), or no input or output at all.
    pub fn build(self) -> Result<(Network, ParamSpecs)> {
        match self.error {
            Some(error) => Err(error),
            None => Ok((Network::new(self.inputs, self.nodes, self.outputs)?, self.specs)),
        }
    }

    /// Runs one step unless an earlier one failed.
    fn attempt(mut self, step: impl FnOnce(&mut Self) -> Result<()>) -> Self {
        if self.error.is_none() {
            self.error = step(&mut self).err();
        }
        self
    }

    /// Adds a node that reads the current values; its parameters are declared already.
    fn push(&mut self, name: &str, op: Op) -> Result<()> {
        op.check(name)?;
        if !op.takes(self.current.len()) {
            let what = format!("number of inputs of node `{name}`");
            return Err(Error::invalid(what, format!("what {} takes", op.name()), self.current.len()));
        }
        let reads: Vec<&[usize]> =
            self.current.iter().map(|value| self.known_shape(value)).collect::<Result<_>>()?;
        let shape = shape::infer(name, &op, &reads, &self.specs)?;
        let inputs = self.current.clone();
        self.yield_value(name, shape)?;
        self.nodes.push(Node { name: name.into(), op, inputs });
        Ok(())
    }

    /// Registers a new value and makes the next node read it.
    fn yield_value(&mut self, name: &str, shape: Shape) -> Result<()> {
        self.check_free(name)?;
        self.shapes.insert(name.into(), shape);
        self.current = vec![name.into()];
        Ok(())
    }

    fn check_free(&self, name: &str) -> Result<()> {
        if name.is_empty() || self.shapes.contains_key(name) {
            let expected = "a name that is not empty and not taken";
            return Err(Error::invalid("name of a node or input", expected, format!("`{name}`")));
        }
        Ok(())
    }

    fn known_shape(&self, value: &str) -> Result<&[usize]> {
        let known =
            || self.inputs.iter().map(|input| &input.name).chain(self.nodes.iter().map(|node| &node.name));
        let shape = self.shapes.get(value).map(Vec::as_slice);
        shape.ok_or_else(|| Error::not_found("value", value, known()))
    }

    /// The shape of the one value that the new node `name` is going to read.
    fn read_shape(&self, name: &str) -> Result<&[usize]> {
        self.check_free(name)?;
        match self.current.as_slice() {
            [value] => self.known_shape(value),
            values => Err(Error::invalid(format!("number of inputs of node `{name}`"), "1", values.len())),
        }
    }

    /// Declares the weight of a convolution or linear node, and its bias of as many numbers as the weight has rows.
    fn declare_weight(
        &mut self,
        name: &str,
        shape: &[usize],
        fans: (usize, usize),
        bias: bool,
    ) -> Result<()> {
        if shape.contains(&0) {
            let what = format!("weight of node `{name}`");
            return Err(Error::invalid(what, "dimensions of at least 1", format!("{shape:?}")));
        }
        let (weight_init, bias_init) = self.init.inits(fans.0, fans.1);
        self.declare(name, "weight", shape, ParamKind::Weight, weight_init)?;
        if bias {
            self.declare(name, "bias", &shape[..1], ParamKind::Bias, bias_init)?;
        }
        Ok(())
    }

    fn declare(
        &mut self,
        node: &str,
        suffix: &str,
        shape: &[usize],
        kind: ParamKind,
        init: Init,
    ) -> Result<()> {
        self.specs.push(ParamSpec { name: format!("{node}.{suffix}"), shape: shape.to_vec(), kind, init })
    }
}

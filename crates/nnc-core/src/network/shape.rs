//! Shape inference: which shape each value has, given the shapes of the inputs and of the parameters.

use super::{Network, Op};
use crate::ops::{Conv2dConfig, Pool2dConfig};
use crate::params::ParamShapes;
use crate::{Error, Result};

/// The shape of one sample of a value, without the batch: `(C, H, W)` for images, `(F,)` for vectors.
pub type Shape = Vec<usize>;

impl Network {
    /// The shape of each value for the declared input shapes, by number: inputs first, then nodes.
    ///
    /// # Errors
    /// [`ShapeMismatch`](Error::ShapeMismatch) or [`InvalidArgument`](Error::InvalidArgument), naming the node,
    /// when a shape does not fit its operator or parameters, or when a parameter is missing.
    pub fn infer_shapes(&self, params: &dyn ParamShapes) -> Result<Vec<Shape>> {
        let inputs: Vec<Shape> = self.inputs().iter().map(|input| input.shape.clone()).collect();
        self.infer_shapes_for(params, &inputs)
    }

    /// As [`infer_shapes`](Self::infer_shapes), but for other input shapes, in the order of the inputs.
    ///
    /// # Errors
    /// As [`infer_shapes`](Self::infer_shapes), and when the number of shapes is not that of the inputs.
    pub fn infer_shapes_for(&self, params: &dyn ParamShapes, inputs: &[Shape]) -> Result<Vec<Shape>> {
        if inputs.len() != self.inputs().len() {
            return Err(Error::invalid(
                "number of input shapes",
                self.inputs().len().to_string(),
                inputs.len(),
            ));
        }
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.n_values());
        for (input, shape) in self.inputs().iter().zip(inputs) {
            check_size(&format!("input `{}`", input.name), shape)?;
            shapes.push(shape.clone());
        }
        for (node_idx, node) in self.nodes().iter().enumerate() {
            let read: Vec<&[usize]> =
                self.reads(node_idx).iter().map(|&value| shapes[value].as_slice()).collect();
            let shape = infer(&node.name, &node.op, &read, params)?;
            shapes.push(shape);
        }
        Ok(shapes)
    }
}

/// Refuses a shape with a dimension of 0, no dimension, or more numbers than can be addressed.
pub(super) fn check_size(what: &str, shape: &[usize]) -> Result<()> {
    let size = shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim));
    // Four bytes a number must fit, too.
    if shape.is_empty() || size.is_none_or(|n| n == 0 || n > usize::MAX / 8) {
        let expected = "dimensions of at least 1 whose product can be addressed";
        return Err(Error::invalid(format!("shape of {what}"), expected, format!("{shape:?}")));
    }
    Ok(())
}

/// The shape that the node `name` yields; `inputs` has the number of entries that `op` takes.
pub(super) fn infer(name: &str, op: &Op, inputs: &[&[usize]], params: &dyn ParamShapes) -> Result<Shape> {
    let at = Place { name, params };
    let first = inputs[0];
    let shape = match op {
        Op::Conv2d { config, bias } => at.conv2d(first, config, *bias)?,
        Op::Linear { bias } => at.linear(first, *bias)?,
        Op::BatchNorm { .. } => {
            for (suffix, _) in op.params() {
                at.expect_param(suffix, &first[..1])?;
            }
            first.to_vec()
        }
        Op::Prelu => {
            let weight = at.param("weight")?;
            if weight != [1] {
                at.expect_param("weight", &first[..1])?;
            }
            first.to_vec()
        }
        Op::Lrn { .. } => at.image(first)?.to_vec(),
        Op::Relu | Op::Relu6 | Op::Clip { .. } | Op::Abs | Op::Tanh | Op::Sigmoid | Op::HardSwish => {
            first.to_vec()
        }
        Op::Dropout { .. } | Op::Softmax => first.to_vec(),
        Op::MaxPool2d { config } | Op::AvgPool2d { config } => at.pool2d(first, config)?,
        Op::GlobalAvgPool2d => vec![at.image(first)?[0], 1, 1],
        Op::Add => at.add(inputs)?,
        Op::Mul => at.mul(first, inputs[1])?,
        Op::Concat => at.concat(inputs)?,
        Op::Flatten => vec![first.iter().product()],
        Op::Reshape { shape } => at.reshape(first, shape)?,
        Op::Pad { channels, height, width } => at.pad(first, [*channels, *height, *width])?,
        Op::SliceChannels { start, len } => at.slice_channels(first, *start, *len)?,
    };
    check_size(&format!("node `{name}`"), &shape)?;
    Ok(shape)
}

/// Where a rule is applied: the node's name and the shapes of its parameters.
struct Place<'a> {
    name: &'a str,
    params: &'a dyn ParamShapes,
}

impl Place<'_> {
    fn conv2d(&self, input: &[usize], config: &Conv2dConfig, bias: bool) -> Result<Shape> {
        let [n_in, height, width] = self.image(input)?;
        let weight = self.param("weight")?;
        let &[n_out, in_per_group, kernel_h, kernel_w] = weight.as_slice() else {
            return self.wrong("weight", "a shape of (O, C / groups, kH, kW)", &weight);
        };
        if in_per_group.checked_mul(config.groups) != Some(n_in) {
            let per_group = n_in / config.groups;
            return Err(Error::shape(self.what("weight"), &[n_out, per_group, kernel_h, kernel_w], &weight));
        }
        if n_out % config.groups != 0 {
            return self.wrong(
                "weight",
                &format!("output channels in {} equal groups", config.groups),
                &weight,
            );
        }
        if bias {
            self.expect_param("bias", &[n_out])?;
        }
        let window = (kernel_h, kernel_w);
        let (out_h, out_w) = self.windows(input, window, config.output_size((height, width), window))?;
        Ok(vec![n_out, out_h, out_w])
    }

    fn linear(&self, input: &[usize], bias: bool) -> Result<Shape> {
        let &[n_in] = input else {
            return self.wrong("input", "a vector (F,): flatten first", input);
        };
        let weight = self.param("weight")?;
        let &[n_out, columns] = weight.as_slice() else {
            return self.wrong("weight", "a shape of (O, F)", &weight);
        };
        if columns != n_in {
            return Err(Error::shape(self.what("weight"), &[n_out, n_in], &weight));
        }
        if bias {
            self.expect_param("bias", &[n_out])?;
        }
        Ok(vec![n_out])
    }

    fn pool2d(&self, input: &[usize], config: &Pool2dConfig) -> Result<Shape> {
        let [channels, height, width] = self.image(input)?;
        let (out_h, out_w) = self.windows(input, config.kernel, config.output_size((height, width)))?;
        Ok(vec![channels, out_h, out_w])
    }

    fn add(&self, inputs: &[&[usize]]) -> Result<Shape> {
        match inputs.iter().find(|&&shape| shape != inputs[0]) {
            Some(other) => Err(Error::shape(self.what("input"), inputs[0], other)),
            None => Ok(inputs[0].to_vec()),
        }
    }

    fn mul(&self, lhs: &[usize], rhs: &[usize]) -> Result<Shape> {
        let fits = lhs.len() == rhs.len() && lhs.iter().zip(rhs).all(|(&l, &r)| l == r || l == 1 || r == 1);
        if !fits {
            return Err(Error::shape(self.what("input"), lhs, rhs));
        }
        Ok(lhs.iter().zip(rhs).map(|(&l, &r)| l.max(r)).collect())
    }

    fn concat(&self, inputs: &[&[usize]]) -> Result<Shape> {
        let mut shape = inputs[0].to_vec();
        for other in &inputs[1..] {
            if other.len() != shape.len() || other[1..] != shape[1..] {
                return Err(Error::shape(self.what("input"), inputs[0], other));
            }
            // Both are sizes of something addressable, so the sum cannot wrap a usize more than once;
            // `check_size` sees it.
            shape[0] = shape[0].saturating_add(other[0]);
        }
        Ok(shape)
    }

    fn reshape(&self, input: &[usize], shape: &[usize]) -> Result<Shape> {
        check_size(&self.what("new shape"), shape)?;
        if input.iter().product::<usize>() != shape.iter().product::<usize>() {
            return Err(Error::shape(self.what("input"), shape, input));
        }
        Ok(shape.to_vec())
    }

    fn pad(&self, input: &[usize], padding: [(usize, usize); 3]) -> Result<Shape> {
        let image = self.image(input)?;
        let padded = image.iter().zip(padding);
        Ok(padded.map(|(dim, (before, after))| dim.saturating_add(before).saturating_add(after)).collect())
    }

    fn slice_channels(&self, input: &[usize], start: usize, len: usize) -> Result<Shape> {
        if len == 0 || start.checked_add(len).is_none_or(|end| end > input[0]) {
            return self.wrong("input", &format!("at least {start} + {len} channels and {len} > 0"), input);
        }
        let mut shape = input.to_vec();
        shape[0] = len;
        Ok(shape)
    }

    /// The three dimensions of an image.
    fn image(&self, input: &[usize]) -> Result<[usize; 3]> {
        input.try_into().or_else(|_| self.wrong("input", "an image (C, H, W)", input))
    }

    fn param(&self, suffix: &str) -> Result<Shape> {
        let name = format!("{}.{suffix}", self.name);
        self.params
            .shape_of(&name)
            .ok_or_else(|| Error::invalid("parameters", format!("one named `{name}`"), "none of that name"))
    }

    fn expect_param(&self, suffix: &str, expected: &[usize]) -> Result<()> {
        let got = self.param(suffix)?;
        if got == expected { Ok(()) } else { Err(Error::shape(self.what(suffix), expected, &got)) }
    }

    fn what(&self, part: &str) -> String {
        format!("{part} of node `{}`", self.name)
    }

    fn wrong<T>(&self, part: &str, expected: &str, got: &[usize]) -> Result<T> {
        Err(Error::invalid(self.what(part), expected, format!("{got:?}")))
    }

    /// The number of windows, or an error that names the node, the image and the window.
    fn windows(
        &self,
        input: &[usize],
        window: (usize, usize),
        size: Result<(usize, usize)>,
    ) -> Result<(usize, usize)> {
        size.map_err(|error| {
            let expected = format!("an image that holds a window of {window:?} ({error})");
            Error::invalid(self.what("input"), expected, format!("{input:?}"))
        })
    }
}

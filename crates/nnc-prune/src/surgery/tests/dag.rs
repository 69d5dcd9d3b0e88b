//! Random networks over every topology that surgery follows.

use nnc_core::candle::{Device, Tensor};
use nnc_core::network::{Builder, Conv, Network, Op};
use nnc_core::ops::Pool2dConfig;
use nnc_core::params::{ParamSpecs, Params};
use nnc_core::rng::Rng;

/// How many kinds of steps there are.
pub(super) const N_KINDS: u8 = 20;

/// The network that grows by a step for each (kind, size); a step that does not fit does nothing.
pub(super) fn network(steps: &[(u8, usize)], end: u8) -> (Network, ParamSpecs) {
    let mut dag = Dag::new();
    for &(kind, size) in steps {
        dag.step(kind, size);
    }
    dag.finish(end)
}

/// Random values for every parameter, batch statistics included.
pub(super) fn params(specs: &ParamSpecs, seed: u64) -> Params {
    let mut params = Params::new();
    for spec in specs {
        let mut rng = Rng::keyed(seed, &spec.name, &[]);
        let fan_in = spec.shape[1..].iter().product::<usize>().max(1) as f32;
        let values: Vec<f32> = (0..spec.count())
            .map(|_| match spec.name.rsplit('.').next() {
                Some("running_var") => rng.uniform_in(0.5, 2.0),
                Some("bias" | "running_mean") => rng.normal(),
                _ => 1.2 * rng.normal() / fan_in.sqrt(),
            })
            .collect();
        let tensor = Tensor::from_vec(values, spec.shape.as_slice(), &Device::Cpu).unwrap();
        params.insert(&spec.name, spec.kind, tensor);
    }
    params
}

struct Dag {
    b: Builder,
    at: String,
    shape: [usize; 3],
    n_nodes: usize,
}

impl Dag {
    fn new() -> Self {
        let b = Network::builder().input("x", &[3, 8, 8]).conv2d("stem", Conv::new(4, 3).padding(1));
        Self { b, at: "stem".into(), shape: [4, 8, 8], n_nodes: 0 }
    }

    fn finish(mut self, end: u8) -> (Network, ParamSpecs) {
        match end % 4 {
            0 => drop(self.put(|b, name| b.flatten(name))),
            1 => {
                self.put(|b, name| b.op(name, Op::GlobalAvgPool2d));
                self.put(|b, name| b.flatten(name));
            }
            2 => {
                let shape = vec![self.shape.iter().product()];
                self.put(|b, name| b.op(name, Op::Reshape { shape: shape.clone() }));
            }
            _ => return self.b.from(&[&self.at]).output("y").build().unwrap(),
        }
        self.put(|b, name| b.linear(name, 7));
        self.put(Builder::batch_norm);
        self.put(Builder::relu);
        self.b.linear("head", 3).output("y").build().unwrap()
    }

    /// A node that reads the current value and becomes it; returns its name.
    fn put(&mut self, node: impl Fn(Builder, &str) -> Builder) -> String {
        let at = self.at.clone();
        self.put_from(&[&at], node)
    }

    fn put_from(&mut self, from: &[&str], node: impl Fn(Builder, &str) -> Builder) -> String {
        self.n_nodes += 1;
        let name = format!("n{}", self.n_nodes);
        self.b = node(std::mem::take(&mut self.b).from(from), &name);
        self.at.clone_from(&name);
        name
    }

    fn conv(&mut self, conv: Conv) -> String {
        self.put(|b, name| b.conv2d(name, conv))
    }

    fn conv3x3(&mut self, channels: usize) -> String {
        self.conv(Conv::new(channels, 3).padding(1))
    }

    fn op(&mut self, op: &Op) -> String {
        self.put(|b, name| b.op(name, op.clone()))
    }

    /// Three layers that read `from`, the first at a stride, the last with `channels`.
    fn branch(&mut self, from: &str, stride: usize, channels: usize) -> String {
        self.at = from.into();
        self.conv(Conv::new(3, 3).padding(1).stride(stride).without_bias());
        self.put(Builder::batch_norm);
        self.put(Builder::relu);
        self.conv3x3(channels);
        self.put(Builder::batch_norm)
    }

    fn join(&mut self, a: &str, b: &str) {
        self.put_from(&[a, b], Builder::add);
        self.put(Builder::relu);
    }

    fn step(&mut self, kind: u8, size: usize) {
        let [channels, height, width] = self.shape;
        let from = self.at.clone();
        let roomy = height >= 2 && width >= 2;
        match kind {
            0 => {
                self.shape[0] = 2 + size % 5;
                let conv = Conv::new(self.shape[0], 3).padding(1);
                self.conv(if size.is_multiple_of(2) { conv } else { conv.without_bias() });
            }
            1 if roomy => {
                self.shape = [2 + size % 5, height.div_ceil(2), width.div_ceil(2)];
                self.conv(Conv::new(self.shape[0], 3).padding(1).stride(2));
            }
            2 => drop(self.put(Builder::batch_norm)),
            3 => {
                let clip = Op::Clip { min: -0.5, max: 1.5 };
                let all = [Op::Relu, Op::Relu6, clip, Op::Abs, Op::Tanh, Op::Sigmoid, Op::HardSwish];
                self.op(&all[size % all.len()]);
            }
            4 => drop(self.put(Builder::prelu)),
            5 => self.pool(size),
            6 => {
                let end = self.branch(&from, 1, channels);
                self.join(&end, &from);
            }
            7 if roomy => {
                self.shape = [2 + size % 4, height.div_ceil(2), width.div_ceil(2)];
                let end = self.branch(&from, 2, self.shape[0]);
                self.at.clone_from(&from);
                let projection = self.conv(Conv::new(self.shape[0], 1).stride(2));
                self.join(&end, &projection);
            }
            8 if channels < 8 => {
                let a = self.conv3x3(2 + size % 2);
                self.at.clone_from(&from);
                let b = self.conv3x3(2);
                self.put_from(&[&a, &from, &b], Builder::concat);
                self.shape[0] = channels + 4 + size % 2;
            }
            9 if channels > 1 && channels < 9 => {
                self.shape[0] = channels * (1 + size % 2);
                self.conv(Conv::new(self.shape[0], 3).padding(1).groups(channels));
            }
            10 if channels >= 4 && channels.is_multiple_of(2) => {
                self.shape[0] = 4 + 2 * (size % 2);
                self.conv(Conv::new(self.shape[0], 3).padding(1).groups(2));
            }
            11 => self.squeeze_and_excite(size),
            12 if roomy && channels < 9 => self.free_shortcut(),
            13 if channels >= 3 => {
                self.shape[0] = channels - 1 - size % 2;
                self.op(&Op::SliceChannels { start: size % 2, len: self.shape[0] });
            }
            14 if height < 10 && channels < 9 => {
                self.shape = [channels + 3, height + 1, width + 1];
                self.op(&Op::Pad { channels: (1, 2), height: (1, 0), width: (0, 1) });
            }
            15 => drop(self.put(|b, name| b.dropout(name, 0.5))),
            16 => {
                self.shape = [channels, height * width, 1];
                self.op(&Op::Reshape { shape: self.shape.to_vec() });
            }
            17 => {
                self.op(&Op::GlobalAvgPool2d);
                self.put(|b, name| b.flatten(name));
                let exit = self.put(|b, name| b.linear(name, 2));
                self.b = std::mem::take(&mut self.b).output(&format!("exit_{exit}"));
                self.at = from;
            }
            18 => {
                self.shape[0] = 3;
                let a = self.conv3x3(3);
                self.at = from;
                let b = self.conv3x3(3);
                self.put_from(&[&a, &b], |b, name| b.op(name, Op::Mul));
            }
            19 => drop(self.op(&Op::Lrn { size: 3, alpha: 0.1, beta: 0.75, k: 1.0 })),
            _ => {}
        }
    }

    fn pool(&mut self, size: usize) {
        let [_, height, width] = self.shape;
        let same = Pool2dConfig { padding: (1, 1), ..Pool2dConfig::new((3, 3), (1, 1)) };
        let config = match size % 4 {
            0 | 1 if height >= 2 && width >= 2 => {
                self.shape = [self.shape[0], height.div_ceil(2), width.div_ceil(2)];
                Pool2dConfig { ceil_mode: true, ..Pool2dConfig::square(2) }
            }
            2 => Pool2dConfig { count_include_pad: false, ..same },
            _ => same,
        };
        self.op(&if size.is_multiple_of(2) { Op::MaxPool2d { config } } else { Op::AvgPool2d { config } });
    }

    fn squeeze_and_excite(&mut self, size: usize) {
        let from = self.at.clone();
        self.op(&Op::GlobalAvgPool2d);
        self.conv(Conv::new(2 + size % 2, 1));
        self.put(Builder::relu);
        self.conv(Conv::new(self.shape[0], 1));
        let gate = self.op(&Op::Sigmoid);
        self.put_from(&[&from, &gate], |b, name| b.op(name, Op::Mul));
    }

    /// A block with option A: pixels left out, zero maps added.
    fn free_shortcut(&mut self) {
        let (from, [channels, height, width]) = (self.at.clone(), self.shape);
        self.shape = [channels + 2, height.div_ceil(2), width.div_ceil(2)];
        let end = self.branch(&from, 2, channels + 2);
        self.at = from;
        self.op(&Op::MaxPool2d { config: Pool2dConfig::new((1, 1), (2, 2)) });
        let shortcut = self.op(&Op::Pad { channels: (1, 1), height: (0, 0), width: (0, 0) });
        self.join(&end, &shortcut);
    }
}

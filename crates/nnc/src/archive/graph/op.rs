//! An operator as bytes: its number, then its settings.
//!
//! Each operator's settings are listed once, in [`settings`]; writing and reading walk the same list.

use nnc_core::network::Op;
use nnc_core::ops::{Conv2dConfig, Pool2dConfig};
use nnc_core::{Error, Result};

use crate::archive::bytes::{Cursor, put_dims, put_f32s, put_varint};

/// The bit of an operator's byte that says that it has a bias.
const BIAS: u8 = 0x40;

/// Every operator with settings still to be read, at its number. Numbers never change their meaning within a version.
fn blanks() -> [Op; 24] {
    let conv = Conv2dConfig { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 };
    let pool = Pool2dConfig {
        kernel: (1, 1),
        stride: (1, 1),
        padding: (0, 0),
        ceil_mode: false,
        count_include_pad: false,
    };
    [
        Op::Conv2d { config: conv, bias: false },
        Op::Linear { bias: false },
        Op::BatchNorm { eps: 0.0, momentum: 0.0 },
        Op::Lrn { size: 0, alpha: 0.0, beta: 0.0, k: 0.0 },
        Op::Relu,
        Op::Relu6,
        Op::Clip { min: 0.0, max: 0.0 },
        Op::Prelu,
        Op::Abs,
        Op::Tanh,
        Op::Sigmoid,
        Op::HardSwish,
        Op::MaxPool2d { config: pool },
        Op::AvgPool2d { config: pool },
        Op::GlobalAvgPool2d,
        Op::Add,
        Op::Mul,
        Op::Concat,
        Op::Flatten,
        Op::Reshape { shape: Vec::new() },
        Op::Dropout { ratio: 0.0 },
        Op::Softmax,
        Op::Pad { channels: (0, 0), height: (0, 0), width: (0, 0) },
        Op::SliceChannels { start: 0, len: 0 },
    ]
}

/// The settings of `op` in the order of the file.
fn settings(op: &mut Op, visit: &mut impl Visit) -> Result<()> {
    match op {
        Op::Conv2d { config, bias } => {
            visit.bias(bias);
            for (height, width) in [&mut config.stride, &mut config.padding, &mut config.dilation]
                .map(|(height, width)| (height, width))
            {
                visit.integer(height)?;
                visit.integer(width)?;
            }
            visit.integer(&mut config.groups)
        }
        Op::Linear { bias } => {
            visit.bias(bias);
            Ok(())
        }
        Op::BatchNorm { eps, momentum } => visit.floats(&mut [eps, momentum]),
        Op::Lrn { size, alpha, beta, k } => {
            visit.integer(size)?;
            visit.floats(&mut [alpha, beta, k])
        }
        Op::Clip { min, max } => visit.floats(&mut [min, max]),
        Op::MaxPool2d { config } | Op::AvgPool2d { config } => {
            for (height, width) in [&mut config.kernel, &mut config.stride, &mut config.padding]
                .map(|(height, width)| (height, width))
            {
                visit.integer(height)?;
                visit.integer(width)?;
            }
            visit.flags(&mut config.ceil_mode, &mut config.count_include_pad)
        }
        Op::Reshape { shape } => visit.dims(shape),
        Op::Dropout { ratio } => visit.floats(&mut [ratio]),
        Op::Pad { channels, height, width } => {
            for (before, after) in [channels, height, width].map(|(before, after)| (before, after)) {
                visit.integer(before)?;
                visit.integer(after)?;
            }
            Ok(())
        }
        Op::SliceChannels { start, len } => {
            visit.integer(start)?;
            visit.integer(len)
        }
        // The rest have none; an operator that this version does not know has no number and never comes here.
        _ => Ok(()),
    }
}

/// What happens to each setting on the walk.
trait Visit {
    fn bias(&mut self, bias: &mut bool);
    fn integer(&mut self, value: &mut usize) -> Result<()>;
    fn floats(&mut self, values: &mut [&mut f32]) -> Result<()>;
    fn flags(&mut self, low: &mut bool, high: &mut bool) -> Result<()>;
    fn dims(&mut self, dims: &mut Vec<usize>) -> Result<()>;
}

/// The byte of `op` (its top bit is free) and the bytes of its settings.
pub(super) fn encode(op: &Op) -> Result<(u8, Vec<u8>)> {
    let number = (0_u8..).zip(blanks()).find(|(_, blank)| blank.name() == op.name());
    let Some((number, _)) = number else {
        return Err(Error::invalid("operator", "one that archives of this version can hold", op.name()));
    };
    let mut writer = Writer { byte: number, settings: Vec::new() };
    settings(&mut op.clone(), &mut writer)?;
    Ok((writer.byte, writer.settings))
}

/// Reads the settings of the operator with this byte.
pub(super) fn decode(byte: u8, cursor: &mut Cursor<'_>) -> Result<Op> {
    let number = usize::from(byte & !BIAS);
    let op = blanks().into_iter().nth(number);
    let mut op = op.ok_or_else(|| cursor.corrupt(format!("operator number {number} is not known")))?;
    let mut reader = Reader { bias: byte & BIAS != 0, cursor };
    settings(&mut op, &mut reader)?;
    if reader.bias {
        return Err(reader.cursor.corrupt(format!("a bias where {} has none", op.name())));
    }
    Ok(op)
}

struct Writer {
    byte: u8,
    settings: Vec<u8>,
}

impl Visit for Writer {
    fn bias(&mut self, bias: &mut bool) {
        self.byte |= if *bias { BIAS } else { 0 };
    }

    fn integer(&mut self, value: &mut usize) -> Result<()> {
        put_varint(&mut self.settings, *value);
        Ok(())
    }

    fn floats(&mut self, values: &mut [&mut f32]) -> Result<()> {
        values.iter().for_each(|value| put_f32s(&mut self.settings, &[**value]));
        Ok(())
    }

    fn flags(&mut self, low: &mut bool, high: &mut bool) -> Result<()> {
        self.settings.push(u8::from(*low) | u8::from(*high) << 1);
        Ok(())
    }

    fn dims(&mut self, dims: &mut Vec<usize>) -> Result<()> {
        put_dims(&mut self.settings, dims)
    }
}

struct Reader<'c, 'a> {
    /// The bias bit, until the operator takes it.
    bias: bool,
    cursor: &'c mut Cursor<'a>,
}

impl Visit for Reader<'_, '_> {
    fn bias(&mut self, bias: &mut bool) {
        *bias = std::mem::take(&mut self.bias);
    }

    fn integer(&mut self, value: &mut usize) -> Result<()> {
        *value = self.cursor.varint()?;
        Ok(())
    }

    fn floats(&mut self, values: &mut [&mut f32]) -> Result<()> {
        for value in values {
            **value = self.cursor.f32()?;
        }
        Ok(())
    }

    fn flags(&mut self, low: &mut bool, high: &mut bool) -> Result<()> {
        let byte = self.cursor.byte()?;
        if byte > 3 {
            return Err(self.cursor.corrupt(format!("flags {byte:#04x} of a pooling operator")));
        }
        (*low, *high) = (byte & 1 != 0, byte & 2 != 0);
        Ok(())
    }

    fn dims(&mut self, dims: &mut Vec<usize>) -> Result<()> {
        *dims = self.cursor.dims()?;
        Ok(())
    }
}

//! Parameters in safetensors files, with their order and kinds.
//!
//! The safetensors format sorts tensors by type and name. We write the order and the kinds into its metadata, under
//! [`ORDER_KEY`], as a JSON list of `[name, kind]`; it is one key because several would be written in random order.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo, serialize};

use super::{ParamKind, Params};
use crate::weight::checked_count;
use crate::{Error, Result};

/// The metadata key of the order list.
const ORDER_KEY: &str = "nnc.params";

/// What errors call the bytes.
const WHAT: &str = "safetensors file";

impl Params {
    /// Reads the bytes of a safetensors file.
    ///
    /// Order and kinds are those of the file's order list; without one, tensors come in the order of their data and
    /// kinds by [`ParamKind::guess`]. Element types are kept.
    ///
    /// # Errors
    /// [`UnexpectedEnd`](Error::UnexpectedEnd) when bytes are missing, [`Corrupt`](Error::Corrupt) when they contradict
    /// the format, [`InvalidArgument`](Error::InvalidArgument) when a tensor has an element type or a shape that candle
    /// cannot hold.
    pub fn from_safetensors(bytes: &[u8], device: &Device) -> Result<Self> {
        let (metadata, data) = split(bytes)?;
        let mut params = Self::new();
        for (name, info, kind) in order(&metadata)? {
            let (start, end) = info.data_offsets;
            // The metadata was validated: offsets join up from 0 to the length of the data.
            let tensor = tensor(&name, info, &data[start..end], device)?;
            let kind = kind.unwrap_or_else(|| ParamKind::guess(&name, &info.shape));
            params.insert(name, kind, tensor);
        }
        Ok(params)
    }

    /// Reads a safetensors file.
    ///
    /// # Errors
    /// [`Io`](Error::Io), and those of [`from_safetensors`](Self::from_safetensors).
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let bytes = fs::read(&path).map_err(|error| Error::io(&path, error))?;
        Self::from_safetensors(&bytes, device)
    }

    /// The bytes of a safetensors file; the same parameters give the same bytes.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when an element type has no plain form in the format or when a
    /// parameter is called `__metadata__`; what candle says of copies from a device.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        let mut tensors = Vec::with_capacity(self.len());
        for param in self {
            if param.name == "__metadata__" {
                return Err(Error::invalid(
                    "parameter name",
                    "one that the format does not use",
                    &param.name,
                ));
            }
            let dtype = param.tensor.dtype();
            if plain(dtype.into()).is_none() {
                return Err(Error::invalid(format!("element type of {}", param.name), PLAIN, dtype.as_str()));
            }
            tensors.push((param.name.as_str(), param.tensor.to_device(&Device::Cpu)?));
        }
        let order: Vec<_> = self.iter().map(|param| (param.name.as_str(), param.kind.as_str())).collect();
        // A list of strings is JSON: this does not fail.
        let order =
            serde_json::to_string(&order).map_err(|error| Error::invalid("names", "strings", error))?;
        serialize(tensors, Some(HashMap::from([(ORDER_KEY.into(), order)])))
            .map_err(|error| Error::invalid("parameters", "what safetensors can hold", error))
    }

    /// Writes a safetensors file: beside it first, then renamed, so that no half a file is ever seen under its name.
    ///
    /// # Errors
    /// [`Io`](Error::Io), and those of [`to_safetensors`](Self::to_safetensors).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let bytes = self.to_safetensors()?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".partial");
        fs::write(&beside, bytes)
            .and_then(|()| fs::rename(&beside, path))
            .map_err(|error| Error::io(path, error))
    }
}

/// Takes the header off and checks that the data behind it is what the header describes.
fn split(bytes: &[u8]) -> Result<(Metadata, &[u8])> {
    let short = |expected: u64| Error::UnexpectedEnd { what: WHAT.into(), expected, got: bytes.len() as u64 };
    let (len, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| short(8))?;
    let len = u64::from_le_bytes(*len);
    let header_len = usize::try_from(len).ok().filter(|&len| len <= rest.len());
    let (header, data) = rest.split_at(header_len.ok_or_else(|| short(len.saturating_add(8)))?);
    let metadata: Metadata =
        serde_json::from_slice(header).map_err(|error| Error::corrupt(WHAT, format!("header: {error}")))?;
    let data_len = metadata.data_len();
    if data.len() < data_len {
        return Err(short((bytes.len() - data.len()) as u64 + data_len as u64));
    }
    if data.len() > data_len {
        let n_spare = data.len() - data_len;
        return Err(Error::corrupt(WHAT, format!("{n_spare} bytes after the last tensor")));
    }
    Ok((metadata, data))
}

/// Every tensor once, in the order to read them, with its kind where the file tells.
fn order(metadata: &Metadata) -> Result<Vec<(String, &TensorInfo, Option<ParamKind>)>> {
    let mut tensors = metadata.tensors();
    let Some(list) = metadata.metadata().as_ref().and_then(|map| map.get(ORDER_KEY)) else {
        let mut tensors: Vec<_> = tensors.into_iter().collect();
        // By name where offsets agree, as they do for empty tensors.
        tensors.sort_unstable_by(|(a, x), (b, y)| (x.data_offsets, a).cmp(&(y.data_offsets, b)));
        return Ok(tensors.into_iter().map(|(name, info)| (name, info, None)).collect());
    };
    let wrong = |why: String| Error::corrupt(WHAT, format!("order list: {why}"));
    let list: Vec<(String, String)> = serde_json::from_str(list).map_err(|error| wrong(error.to_string()))?;
    if list.len() != tensors.len() {
        return Err(wrong(format!("{} names for {} tensors", list.len(), tensors.len())));
    }
    list.into_iter()
        .map(|(name, kind)| {
            let Some(info) = tensors.remove(&name) else {
                return Err(wrong(format!("`{name}` is no tensor of the file, or listed twice")));
            };
            let kind = ParamKind::from_name(&kind).ok_or_else(|| wrong(format!("no kind `{kind}`")))?;
            Ok((name, info, Some(kind)))
        })
        .collect()
}

fn tensor(name: &str, info: &TensorInfo, data: &[u8], device: &Device) -> Result<Tensor> {
    let dtype = plain(info.dtype)
        .ok_or_else(|| Error::invalid(format!("element type of {name}"), PLAIN, info.dtype.to_string()))?;
    checked_count(name, &info.shape)?;
    Ok(Tensor::from_raw_buffer(data, dtype, &info.shape, device)?)
}

/// The element types of [`plain`], for messages.
const PLAIN: &str = "one of U8, U32, I16, I32, I64, BF16, F16, F32, F64";

/// candle's type for those element types that it computes with.
fn plain(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::U8 => DType::U8,
        Dtype::U32 => DType::U32,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::BF16 => DType::BF16,
        Dtype::F16 => DType::F16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        _ => return None,
    })
}

//! An archive → bytes.

use nnc_core::Result;
use nnc_core::network::Network;
use nnc_core::params::ParamKind;

use super::bytes::{put_count, put_f32s, put_name, put_varint};
use super::checksum::crc32;
use super::{Archive, MAGIC, VERSION, graph, record, validate};

/// The bits of the byte behind the version.
pub(super) mod flags {
    /// There is a network.
    pub(in super::super) const NETWORK: u8 = 1;
    /// There is a normalisation.
    pub(in super::super) const NORMALIZATION: u8 = 1 << 1;
    /// Names and kinds of the weights are the network's parameters, in its order.
    pub(in super::super) const DERIVED_NAMES: u8 = 1 << 2;
}

/// The kinds of weights by their number.
pub(super) const KINDS: [ParamKind; 3] = [ParamKind::Weight, ParamKind::Bias, ParamKind::Buffer];

/// Every parameter of `network` with its kind, in its order.
pub(super) fn derived_names(network: &Network) -> impl Iterator<Item = (String, ParamKind)> {
    let params = |node: &nnc_core::network::Node| {
        node.op.params().iter().map(|&(suffix, kind)| (node.param(suffix), kind)).collect::<Vec<_>>()
    };
    network.nodes().iter().flat_map(params)
}

pub(super) fn write(archive: &Archive) -> Result<Vec<u8>> {
    validate::check(archive)?;
    let names = || archive.weights.iter().map(|(name, kind, _)| (name.clone(), *kind));
    let derived = archive.network.as_ref().is_some_and(|network| derived_names(network).eq(names()));
    let mut out = MAGIC.to_vec();
    out.push(VERSION);
    out.push(
        if archive.network.is_some() { flags::NETWORK } else { 0 }
            | if archive.meta.normalization.is_some() { flags::NORMALIZATION } else { 0 }
            | if derived { flags::DERIVED_NAMES } else { 0 },
    );
    if let Some(network) = &archive.network {
        graph::put_network(&mut out, network)?;
    }
    if let Some(normalization) = &archive.meta.normalization {
        put_count(&mut out, "channels of the normalization", normalization.mean().len())?;
        put_f32s(&mut out, normalization.mean());
        put_f32s(&mut out, normalization.std());
    }
    let records = archive.weights.iter().map(|(_, _, weight)| record::encode(weight));
    let records = records.collect::<Result<Vec<_>>>()?;
    if !derived {
        put_varint(&mut out, records.len());
    }
    for ((name, kind, _), record) in archive.weights.iter().zip(&records) {
        if !derived {
            put_name(&mut out, name)?;
            let kind = KINDS.iter().position(|known| known == kind).expect("all kinds are listed");
            put_varint(&mut out, kind);
        }
        put_varint(&mut out, record.len());
    }
    records.iter().for_each(|record| out.extend_from_slice(record));
    let crc = crc32(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(out)
}

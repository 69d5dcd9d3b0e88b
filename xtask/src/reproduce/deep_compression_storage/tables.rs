//! Tables 1 to 5 of "Deep Compression" as printed, with the layer shapes of the four networks.

use serde::Serialize;

/// A network's row of Table 1 and its own table.
#[derive(Debug, Serialize)]
pub(in crate::reproduce) struct Network {
    /// The name in metrics.
    pub name: &'static str,
    /// Its layers, in order.
    pub layers: &'static [Layer],
    /// The printed total of pruning and quantization.
    pub pruned_shared: Total,
    /// The printed total of all three stages.
    pub coded: Total,
    /// Table 1: size before and after, and the unit of both in bytes.
    pub size_before: f64,
    /// Table 1: size after all three stages.
    pub size_after: f64,
    /// Table 1: the unit of both sizes, with its bytes.
    pub size_unit: (&'static str, f64),
}

/// A printed total.
#[derive(Debug, Clone, Copy, Serialize)]
pub(in crate::reproduce) struct Total {
    /// Compressed over dense size in per cent.
    pub rate: f64,
    /// The last printed digit of `rate`.
    pub digit: f64,
    /// Dense over compressed size.
    pub ratio: f64,
}

/// A printed row.
#[derive(Debug, Clone, Copy, Serialize)]
pub(in crate::reproduce) struct Layer {
    /// The paper's name.
    pub name: &'static str,
    /// Weights, from the layer's shape; the paper rounds them.
    pub n_weights: u64,
    /// Biases, from the layer's shape.
    pub n_biases: u64,
    /// Kept weights in per cent.
    pub density: f64,
    /// Bits of a weight after sharing.
    pub code_bits: u32,
    /// Bits of a weight after coding.
    pub mean_code_bits: f64,
    /// Bits of an index.
    pub gap_bits: u32,
    /// Bits of an index after coding.
    pub mean_gap_bits: f64,
    /// Compressed over dense size after sharing, in per cent.
    pub pruned_shared_rate: f64,
    /// The same after coding.
    pub coded_rate: f64,
}

/// What a table prints for each weight: density %, code bits, coded; index bits, coded; rate % P+Q, P+Q+H.
type Printed = (f64, u32, f64, u32, f64, f64, f64);

const fn fc(name: &'static str, inputs: u64, outputs: u64, printed: Printed) -> Layer {
    conv(name, inputs, 1, outputs, printed)
}

const fn conv(name: &'static str, inputs: u64, side: u64, outputs: u64, printed: Printed) -> Layer {
    let (density, code_bits, mean_code_bits, gap_bits, mean_gap_bits, pruned_shared_rate, coded_rate) =
        printed;
    Layer {
        name,
        n_weights: inputs * side * side * outputs,
        n_biases: outputs,
        density,
        code_bits,
        mean_code_bits,
        gap_bits,
        mean_gap_bits,
        pruned_shared_rate,
        coded_rate,
    }
}

const KB: (&str, f64) = ("kB", 1e3);
const MB: (&str, f64) = ("MB", 1e6);

/// The four networks, in the paper's order.
pub(in crate::reproduce) const NETWORKS: [Network; 4] = [
    Network {
        name: "lenet-300-100",
        layers: &[
            fc("ip1", 784, 300, (8.0, 6, 4.4, 5, 3.7, 3.1, 2.32)),
            fc("ip2", 300, 100, (9.0, 6, 4.4, 5, 4.3, 3.8, 3.04)),
            fc("ip3", 100, 10, (26.0, 6, 4.3, 5, 3.2, 15.7, 12.70)),
        ],
        pruned_shared: Total { rate: 3.1, digit: 0.1, ratio: 32.0 },
        coded: Total { rate: 2.49, digit: 0.01, ratio: 40.0 },
        size_before: 1070.0,
        size_after: 27.0,
        size_unit: KB,
    },
    Network {
        name: "lenet-5",
        layers: &[
            conv("conv1", 1, 5, 20, (66.0, 8, 7.2, 5, 1.5, 78.5, 67.45)),
            conv("conv2", 20, 5, 50, (12.0, 8, 7.2, 5, 3.9, 6.0, 5.28)),
            fc("ip1", 800, 500, (8.0, 5, 4.5, 5, 4.5, 2.7, 2.45)),
            fc("ip2", 500, 10, (19.0, 5, 5.2, 5, 3.7, 6.9, 6.13)),
        ],
        pruned_shared: Total { rate: 3.05, digit: 0.01, ratio: 33.0 },
        coded: Total { rate: 2.55, digit: 0.01, ratio: 39.0 },
        size_before: 1720.0,
        size_after: 44.0,
        size_unit: KB,
    },
    Network {
        name: "alexnet",
        // Convolutions 2, 4 and 5 are in two groups: each output sees half of the inputs.
        layers: &[
            conv("conv1", 3, 11, 96, (84.0, 8, 6.3, 4, 1.2, 32.6, 20.53)),
            conv("conv2", 48, 5, 256, (38.0, 8, 5.5, 4, 2.3, 14.5, 9.43)),
            conv("conv3", 256, 3, 384, (35.0, 8, 5.1, 4, 2.6, 13.1, 8.44)),
            conv("conv4", 192, 3, 384, (37.0, 8, 5.2, 4, 2.5, 14.1, 9.11)),
            conv("conv5", 192, 3, 256, (37.0, 8, 5.6, 4, 2.5, 14.0, 9.43)),
            fc("fc6", 9216, 4096, (9.0, 5, 3.9, 4, 3.2, 3.0, 2.39)),
            fc("fc7", 4096, 4096, (9.0, 5, 3.6, 4, 3.7, 3.0, 2.46)),
            fc("fc8", 4096, 1000, (25.0, 5, 4.0, 4, 3.2, 7.3, 5.85)),
        ],
        pruned_shared: Total { rate: 3.7, digit: 0.1, ratio: 27.0 },
        coded: Total { rate: 2.88, digit: 0.01, ratio: 35.0 },
        size_before: 240.0,
        size_after: 6.9,
        size_unit: MB,
    },
    Network {
        name: "vgg-16",
        layers: &[
            conv("conv1-1", 3, 3, 64, (58.0, 8, 6.8, 5, 1.7, 40.0, 29.97)),
            conv("conv1-2", 64, 3, 64, (22.0, 8, 6.5, 5, 2.6, 9.8, 6.99)),
            conv("conv2-1", 64, 3, 128, (34.0, 8, 5.6, 5, 2.4, 14.3, 8.91)),
            conv("conv2-2", 128, 3, 128, (36.0, 8, 5.9, 5, 2.3, 14.7, 9.31)),
            conv("conv3-1", 128, 3, 256, (53.0, 8, 4.8, 5, 1.8, 21.7, 11.15)),
            conv("conv3-2", 256, 3, 256, (24.0, 8, 4.6, 5, 2.9, 9.7, 5.67)),
            conv("conv3-3", 256, 3, 256, (42.0, 8, 4.6, 5, 2.2, 17.0, 8.96)),
            conv("conv4-1", 256, 3, 512, (32.0, 8, 4.6, 5, 2.6, 13.1, 7.29)),
            conv("conv4-2", 512, 3, 512, (27.0, 8, 4.2, 5, 2.9, 10.9, 5.93)),
            conv("conv4-3", 512, 3, 512, (34.0, 8, 4.4, 5, 2.5, 14.0, 7.47)),
            conv("conv5-1", 512, 3, 512, (35.0, 8, 4.7, 5, 2.5, 14.3, 8.00)),
            conv("conv5-2", 512, 3, 512, (29.0, 8, 4.6, 5, 2.7, 11.7, 6.52)),
            conv("conv5-3", 512, 3, 512, (36.0, 8, 4.6, 5, 2.3, 14.8, 7.79)),
            fc("fc6", 25088, 4096, (4.0, 5, 3.6, 5, 3.5, 1.6, 1.10)),
            fc("fc7", 4096, 4096, (4.0, 5, 4.0, 5, 4.3, 1.5, 1.25)),
            fc("fc8", 4096, 1000, (23.0, 5, 4.0, 5, 3.4, 7.1, 5.24)),
        ],
        pruned_shared: Total { rate: 3.2, digit: 0.1, ratio: 31.0 },
        coded: Total { rate: 2.05, digit: 0.01, ratio: 49.0 },
        size_before: 552.0,
        size_after: 11.3,
        size_unit: MB,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_give_the_papers_rounded_weight_counts() {
        // The totals of the tables: 266K, 431K, 61M, 138M.
        let totals = NETWORKS.map(|network| network.layers.iter().map(|layer| layer.n_weights).sum::<u64>());
        assert_eq!(totals, [266_200, 430_500, 60_954_656, 138_344_128]);
    }
}

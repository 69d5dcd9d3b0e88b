//! The paper's ImageNet rows: its storage model, recomputed from its densities.
//!
//! The figures are as remembered, not checked against the paper; that the model gives one column from the other is what makes
//! them believable. Where all kernels are 3×3 the size of a group is known (1, 3, 9). Elsewhere a network's 1×1 kernels (or
//! AlexNet's larger ones) make vectors and kernels of other sizes, and the row is the mean size that the two figures imply.

use nnc_prune::granularity::storage::storage_share;

use super::plan::{INDEX_BITS, VALUE_BITS};
use crate::experiment::{Better, Row, Rule};

/// Density and storage of one granularity, in per cent.
type Figures = (f64, f64);

struct Model {
    name: &'static str,
    /// Whether all kernels that matter are 3×3.
    is_3x3: bool,
    kernel: Figures,
    vector: Figures,
    fine: Figures,
}

const MODELS: [Model; 5] = [
    Model { name: "alexnet", is_3x3: false, kernel: (37.8, 39.7), vector: (29.9, 34.5), fine: (22.1, 33.0) },
    Model { name: "vgg-16", is_3x3: true, kernel: (44.4, 46.9), vector: (30.7, 35.8), fine: (27.0, 40.6) },
    Model {
        name: "googlenet",
        is_3x3: false,
        kernel: (43.7, 51.6),
        vector: (36.9, 47.4),
        fine: (32.3, 48.5),
    },
    Model {
        name: "resnet-50",
        is_3x3: false,
        kernel: (61.3, 77.0),
        vector: (40.0, 52.7),
        fine: (37.1, 55.7),
    },
    Model {
        name: "densenet-121",
        is_3x3: false,
        kernel: (35.5, 48.9),
        vector: (31.1, 43.8),
        fine: (26.6, 39.8),
    },
];

const NOTE: &str = "paper (unverified)";

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    MODELS.iter().flat_map(rows_of).collect()
}

fn rows_of(model: &Model) -> Vec<Row> {
    let (value_bits, index_bits) = (f64::from(VALUE_BITS), f64::from(INDEX_BITS));
    let storage = |what: &str, (density, storage): Figures, group_size: f64| {
        let ours = 100.0 * storage_share(density / 100.0, group_size, value_bits, index_bits);
        // Both figures are rounded to a tenth, which explains up to 0.125; the largest distance is 0.15.
        let rule = Rule::Equals { value: storage, tolerance: 0.15 };
        Row::new(format!("{}/{what}-storage", model.name), ours, "%", Better::Lower, rule)
            .paper(storage)
            .note(&format!("of 8-bit weights, at a density of {density} %; {NOTE}"))
            .on_any_data()
    };
    // storage = density · (1 + i / (v g)), solved for g.
    let implied = |what: &str, (density, storage): Figures| {
        let size = index_bits / value_bits / (storage / density - 1.0);
        Row::new(
            format!("{}/{what}-weights-per-index", model.name),
            size,
            "weights",
            Better::Equal,
            Rule::AtLeast(1.0),
        )
        .note(&format!("implied by density {density} % and storage {storage} %; {NOTE}"))
        .on_any_data()
    };
    let mut rows = vec![storage("fine", model.fine, 1.0)];
    if model.is_3x3 {
        rows.extend([storage("vector", model.vector, 3.0), storage("kernel", model.kernel, 9.0)]);
    } else {
        rows.extend([implied("vector", model.vector), implied("kernel", model.kernel)]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::row::{Verdict, check_rows};

    #[test]
    fn the_model_gives_one_column_from_the_other() {
        let rows = rows();
        check_rows(&rows).unwrap();
        assert_eq!(rows.len(), 15);
        for row in &rows {
            assert_eq!(row.verdict(), Verdict::Holds, "{row:?}");
        }
        let size = |metric: &str| rows.iter().find(|row| row.metric() == metric).unwrap().ours();
        // Between a 1x1 network's and a 3x3 network's, or above where kernels are larger.
        assert!((1.0..9.0).contains(&size("resnet-50/kernel-weights-per-index")));
        assert!(size("alexnet/kernel-weights-per-index") > 9.0);
    }
}

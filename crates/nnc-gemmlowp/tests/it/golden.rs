//! Values from outside: what gemmlowp itself returned. See `tests/golden/README.md`.

use serde_json::Value;

/// The whole file.
pub(crate) fn file() -> Value {
    serde_json::from_str(include_str!("../golden/gemmlowp_golden.json")).expect("the golden file is JSON")
}

/// The rows of `N` numbers under `key`, of which there must be `n_rows`.
pub(crate) fn rows<const N: usize>(key: &str, n_rows: usize) -> Vec<[i32; N]> {
    let rows: Vec<[i32; N]> = file()[key]
        .as_array()
        .expect("the key holds a list")
        .iter()
        .map(|row| {
            let row = row.as_array().expect("a row is a list");
            assert_eq!(row.len(), N, "{key}");
            std::array::from_fn(|i| i32::try_from(row[i].as_i64().expect("an integer")).expect("of 32 bits"))
        })
        .collect();
    assert_eq!(rows.len(), n_rows, "{key}");
    rows
}

//! Many independent evaluations as resumable shards.
//!
//! A sweep (a layer's sensitivity, a bit width's accuracy) is a pure function from a point to a row. Each finished row is
//! one small file named by its point's key, so an interrupted sweep goes on where it stopped, and shards computed on
//! several machines merge by copying files together.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Evaluates `row` at every point, in order, and returns the rows in that order.
///
/// With a `folder`, rows that it already holds are read instead of computed, and new ones are written to it. A file is
/// named by the hash of its point's JSON, so a changed point is computed anew. `progress` is called after each point with
/// the number done.
///
/// # Errors
/// The first that `row` or `progress` returns, [`Error::Io`] for the folder, and [`Error::Corrupt`] for a row file that
/// is not what this sweep wrote.
pub fn sweep<P, R>(
    points: &[P],
    folder: Option<&Path>,
    mut row: impl FnMut(&P) -> Result<R>,
    mut progress: impl FnMut(usize) -> Result<()>,
) -> Result<Vec<R>>
where
    P: Serialize,
    R: Serialize + DeserializeOwned,
{
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    let mut rows = Vec::with_capacity(points.len());
    for (i, point) in points.iter().enumerate() {
        let computed = match folder {
            None => row(point)?,
            Some(folder) => {
                let path = folder.join(format!("{}.json", key(point)?));
                match read(&path)? {
                    Some(known) => known,
                    None => {
                        write(&path, &row(point)?)?;
                        // Read back, since JSON may round a number: a resumed sweep must give what this one gives.
                        let written = read(&path)?;
                        written.ok_or_else(|| Error::corrupt("sweep row", "it is gone as soon as written"))?
                    }
                }
            }
        };
        rows.push(computed);
        progress(i + 1)?;
    }
    Ok(rows)
}

fn key(point: &impl Serialize) -> Result<String> {
    let json = serde_json::to_vec(point).map_err(|e| Error::invalid("points", "serializable points", e))?;
    Ok(Sha256::digest(&json).iter().take(12).map(|byte| format!("{byte:02x}")).collect())
}

fn read<R: DeserializeOwned>(path: &Path) -> Result<Option<R>> {
    match std::fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(row) => Ok(Some(row)),
            Err(e) => Err(Error::corrupt(format!("sweep row {}", path.display()), e.to_string())),
        },
    }
}

fn write(path: &Path, row: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(row).map_err(|e| Error::invalid("row", "a serializable row", e))?;
    // Beside and renamed, so that a kill leaves no half row.
    let partial = path.with_extension("partial");
    std::fs::write(&partial, json).map_err(|e| Error::io(&partial, e))?;
    std::fs::rename(&partial, path).map_err(|e| Error::io(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_sweep_computes_only_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let square = |x: &u32| Ok(x * x);
        let stop_after_two = |done| if done == 2 { Err(Error::Cancelled) } else { Ok(()) };
        assert!(sweep(&[1, 2, 3], Some(folder.path()), square, stop_after_two).is_err());
        let mut computed = Vec::new();
        let count = |x: &u32| {
            computed.push(*x);
            Ok(x * x)
        };
        assert_eq!(sweep(&[1, 2, 3], Some(folder.path()), count, |_| Ok(())).unwrap(), [1, 4, 9]);
        assert_eq!(computed, [3]);
    }

    #[test]
    fn rows_are_the_same_bits_whether_computed_or_read() {
        let folder = tempfile::tempdir().unwrap();
        let points: Vec<u32> = (0..2000).collect();
        // Numbers with all their digits, some of which JSON's reader rounds to a neighbour.
        let row = |x: &u32| Ok((f64::from(*x) + 0.1).sqrt() / 3.0);
        let run = || sweep(&points, Some(folder.path()), row, |_| Ok(())).unwrap();
        let bits = |rows: Vec<f64>| rows.into_iter().map(f64::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(run()), bits(run()));
    }

    #[test]
    fn a_damaged_row_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        sweep(&[5], Some(folder.path()), |x: &u32| Ok(*x), |_| Ok(())).unwrap();
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&file, b"{").unwrap();
        let error = sweep(&[5], Some(folder.path()), |x: &u32| Ok(*x), |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    }
}

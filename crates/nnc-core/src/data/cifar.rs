//! CIFAR-10 in its binary form: records of one label byte and 3 × 32 × 32 pixel bytes.

use std::io::Read;

use super::folder::{MAX_BYTES, content};
use crate::{Error, Result};

/// The shape of an image, `(C, H, W)`, red first.
pub(super) const SHAPE: [usize; 3] = [3, 32, 32];
/// The training set, in order.
pub(super) const TRAIN_FILES: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
/// The test set.
pub(super) const TEST_FILES: [&str; 1] = ["test_batch.bin"];
/// How many classes there are.
pub(super) const N_CLASSES: usize = 10;
/// A label and an image.
const RECORD_BYTES: usize = 1 + 3 * 32 * 32;

/// Reads a CIFAR-10 batch, plain or gzip, into (images, labels); `what` names it in messages.
///
/// Images are `(3, 32, 32)` row-major, red plane first, one after the other; labels are below 10.
///
/// # Errors
/// [`Corrupt`](Error::Corrupt) for no record at all, a label of 10 or more, broken gzip or more than 1 GiB;
/// [`UnexpectedEnd`](Error::UnexpectedEnd) when the last record is cut off.
///
/// # Source
/// Krizhevsky, "The CIFAR-10 dataset", section "Binary version".
pub fn parse_cifar10(bytes: &[u8], what: &str) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    let outcome = content(bytes).take(MAX_BYTES + 1).read_to_end(&mut records);
    outcome.map_err(|error| Error::corrupt(what, error.to_string()))?;
    if records.is_empty() || records.len() as u64 > MAX_BYTES {
        return Err(Error::corrupt(what, format!("expected 1 to {MAX_BYTES} bytes, got {}", records.len())));
    }
    if records.len() % RECORD_BYTES != 0 {
        let expected = records.len().next_multiple_of(RECORD_BYTES) as u64;
        return Err(Error::UnexpectedEnd { what: what.into(), expected, got: records.len() as u64 });
    }
    let n_records = records.len() / RECORD_BYTES;
    let (mut images, mut labels) = (Vec::with_capacity(records.len()), Vec::with_capacity(n_records));
    for (i, record) in records.chunks_exact(RECORD_BYTES).enumerate() {
        if usize::from(record[0]) >= N_CLASSES {
            return Err(Error::corrupt(
                what,
                format!("label of record {i} is {}, expected 0 to 9", record[0]),
            ));
        }
        labels.push(record[0]);
        images.extend_from_slice(&record[1..]);
    }
    Ok((images, labels))
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "small numbers of the test's own making")]
mod tests {
    use super::*;

    fn records(labels: &[u8]) -> Vec<u8> {
        let pixels = |label: u8| (0..3072_u32).map(move |i| (i / 32) as u8 ^ label);
        labels.iter().flat_map(|&label| [label].into_iter().chain(pixels(label))).collect()
    }

    #[test]
    fn labels_and_planes_are_separated() {
        let (images, labels) = parse_cifar10(&records(&[3, 9]), "two").unwrap();
        assert_eq!(labels, [3, 9]);
        // Row 1 of the red plane is bytes 32 to 63, and the blue plane begins at 2048.
        assert_eq!((images.len(), images[32], images[2048], images[3072]), (6144, 1 ^ 3, 64 ^ 3, 9));
    }

    #[test]
    fn cut_records_and_foreign_labels_are_errors() {
        let bytes = records(&[1, 2]);
        assert!(parse_cifar10(&[], "none").is_err());
        for len in [1, 3072, 3074, 6145] {
            let error = parse_cifar10(&bytes[..len], "cut").unwrap_err();
            assert!(matches!(error, Error::UnexpectedEnd { got, .. } if got == len as u64), "{error}");
        }
        let error = parse_cifar10(&records(&[1, 10]), "foreign").unwrap_err().to_string();
        assert_eq!(error, "corrupt foreign: label of record 1 is 10, expected 0 to 9");
    }
}

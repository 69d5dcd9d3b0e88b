//! The repository's MNIST, small sets under the same names, and directories that contradict themselves.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;
use crate::data::{MANIFEST, Normalization};

const MNIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/mnist");

fn histogram(data: &Dataset) -> Vec<usize> {
    (0..10).map(|class| data.labels().iter().filter(|&&label| label == class).count()).collect()
}

#[test]
fn the_repository_carries_mnist() {
    let splits = Splits::open(MNIST).unwrap();
    assert_eq!(splits.fingerprint(), MNIST_FINGERPRINT);
    assert!(splits.is_mnist());
    let (train, validation) = (splits.train(), splits.validation());
    assert_eq!((train.len(), validation.len()), (55_000, 5_000));
    assert_eq!((train.shape(), train.n_classes()), ([1, 28, 28], 10));
    // The first labels, and how often each digit occurs in the 60,000 (Wikipedia and others print these counts).
    assert_eq!(train.labels()[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    let both: Vec<usize> = histogram(train)
        .iter()
        .zip(histogram(validation))
        .map(|(train, validation)| train + validation)
        .collect();
    assert_eq!(both, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    // The usual constants, 0.1307 and 0.3081, are those of all 60,000.
    let normalization = Normalization::of(train);
    assert!((normalization.mean()[0] - 0.1307).abs() < 5e-4, "{normalization:?}");
    assert!((normalization.std()[0] - 0.3081).abs() < 5e-4, "{normalization:?}");

    let test = splits.into_test().unwrap();
    assert_eq!((test.len(), test.shape(), test.n_classes()), (10_000, [1, 28, 28], 10));
    assert_eq!(histogram(&test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
}

fn idx(shape: &[u32], data: &[u8]) -> Vec<u8> {
    let rank = u8::try_from(shape.len()).unwrap();
    let dims = shape.iter().flat_map(|dim| dim.to_be_bytes());
    [0, 0, 8, rank].into_iter().chain(dims).chain(data.iter().copied()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// 5,003 training and 2 test images of 1 × 2 pixels in three classes.
fn small_set() -> Vec<(&'static str, Vec<u8>)> {
    let labels: Vec<u8> = (0..3).cycle().take(5003).collect();
    let images: Vec<u8> = labels.iter().flat_map(|&label| [label, 10 * label]).collect();
    vec![
        ("train-images-idx3-ubyte", idx(&[5003, 1, 2], &images)),
        ("train-labels-idx1-ubyte", idx(&[5003], &labels)),
        ("t10k-images-idx3-ubyte", idx(&[2, 1, 2], &[7, 8, 9, 10])),
        ("t10k-labels-idx1-ubyte", idx(&[2], &[2, 0])),
    ]
}

fn write(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// The small set with one file changed by `change`.
fn changed(name: &str, change: impl Fn(&mut Vec<u8>)) -> TempDir {
    let mut files = small_set();
    change(&mut files.iter_mut().find(|(file, _)| *file == name).unwrap().1);
    write(&files)
}

#[test]
fn any_set_under_the_same_names_opens_plain_or_packed() {
    let plain = write(&small_set());
    let packed = tempfile::tempdir().unwrap();
    for (name, bytes) in small_set() {
        fs::write(packed.path().join(format!("{name}.gz")), gzip(&bytes)).unwrap();
    }
    let (plain, packed) = (Splits::open(plain.path()).unwrap(), Splits::open(packed.path()).unwrap());
    assert_eq!(plain.fingerprint(), packed.fingerprint());
    assert!(!plain.is_mnist());
    assert_eq!((plain.train().len(), plain.validation().len(), plain.train().n_classes()), (3, 5000, 3));
    // The validation set is the end of the training file.
    assert_eq!((plain.train().image(2), plain.validation().image(0)), (&[2, 20][..], &[0, 0][..]));
    assert_eq!(plain.validation().labels()[4999], 1);
}

#[test]
fn the_test_set_comes_in_exchange_for_the_others() {
    let dir = write(&small_set());
    let mut splits = Splits::open(dir.path()).unwrap();
    splits.truncate_train(2).unwrap();
    assert_eq!((splits.train().len(), splits.train().labels()), (2, &[0, 1][..]));
    splits.truncate_train(100).unwrap();
    assert_eq!(splits.train().len(), 2);
    assert!(splits.truncate_train(0).is_err());
    let test = splits.into_test().unwrap();
    assert_eq!((test.len(), test.image(1), test.labels()), (2, &[9, 10][..], &[2, 0][..]));
}

#[test]
fn the_manifest_is_checked_where_there_is_one() {
    let dir = write(&small_set());
    let manifest = |skip: usize| {
        let lines = small_set().into_iter().skip(skip).map(|(name, bytes)| {
            let sum = super::super::folder::hex(&<sha2::Sha256 as sha2::Digest>::digest(&bytes));
            format!("{sum}  {name}\n")
        });
        lines.collect::<String>()
    };
    let open_with = |text: &str| {
        fs::write(dir.path().join(MANIFEST), text).unwrap();
        Splits::open(dir.path())
    };
    assert!(open_with(&manifest(0)).is_ok());
    assert!(open_with(&format!("# comment\n\n{}", manifest(0).to_uppercase().to_lowercase())).is_ok());
    let unlisted = open_with(&manifest(1)).unwrap_err().to_string();
    assert!(unlisted.contains("no line for train-images-idx3-ubyte"), "{unlisted}");
    for broken in ["xyz  file\n", "00\n", &format!("{}{}", manifest(0), manifest(3))] {
        assert!(matches!(open_with(broken), Err(Error::Corrupt { .. })), "{broken}");
    }

    fs::write(dir.path().join(MANIFEST), manifest(0)).unwrap();
    let mut labels = small_set()[1].1.clone();
    *labels.last_mut().unwrap() ^= 1;
    fs::write(dir.path().join("train-labels-idx1-ubyte"), labels).unwrap();
    let changed = Splits::open(dir.path()).unwrap_err().to_string();
    assert!(changed.contains("train-labels-idx1-ubyte: SHA-256 is"), "{changed}");
}

#[test]
fn a_changed_test_file_is_noticed_when_it_is_read() {
    for (name, change) in [
        ("t10k-labels-idx1-ubyte", (|bytes| *bytes.last_mut().unwrap() = 3) as fn(&mut Vec<u8>)),
        ("t10k-labels-idx1-ubyte", |bytes| *bytes = idx(&[3], &[0, 1, 2])),
        ("t10k-images-idx3-ubyte", |bytes| *bytes = idx(&[2, 2, 1], &[7, 8, 9, 10])),
        ("t10k-images-idx3-ubyte", |bytes| *bytes = idx(&[4], &[7, 8, 9, 10])),
    ] {
        let dir = changed(name, change);
        assert!(Splits::open(dir.path()).unwrap().into_test().is_err(), "{name}");
    }
}

#[test]
fn directories_that_hold_no_whole_set_are_refused() {
    let empty = Splits::open(write(&[]).path()).unwrap_err().to_string();
    assert!(empty.contains("train-images-idx3-ubyte[.gz] or data_batch_1.bin[.gz]"), "{empty}");
    for missing in 1..4 {
        let mut files = small_set();
        let (name, _) = files.remove(missing);
        let error = Splits::open(write(&files).path()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    let fewer = changed("train-labels-idx1-ubyte", |bytes| *bytes = idx(&[1], &[0]));
    let error = Splits::open(fewer.path()).unwrap_err().to_string();
    assert!(error.contains("expected 5003 labels"), "{error}");
    let mut files = small_set();
    files[0].1 = idx(&[2, 1, 2], &[0; 4]);
    files[1].1 = idx(&[2], &[0; 2]);
    let error = Splits::open(write(&files).path()).unwrap_err().to_string();
    assert!(error.contains("more than the 5000 images"), "{error}");
}

#[test]
fn cifar_10_opens_from_its_six_files() {
    let batch = |n: usize, first: u8| {
        let labels = (0..10_u8).cycle().skip(usize::from(first)).take(n);
        labels.flat_map(|label| std::iter::once(label).chain([label; 3072])).collect::<Vec<u8>>()
    };
    let mut files: Vec<(&str, Vec<u8>)> =
        cifar::TRAIN_FILES.iter().zip(0..).map(|(&name, first)| (name, batch(1001, first))).collect();
    files.push((cifar::TEST_FILES[0], batch(2, 7)));
    let splits = Splits::open(write(&files).path());
    // The directory is gone when the test set is asked for, so that is opened on its own below.
    let splits = splits.unwrap();
    assert_eq!(
        (splits.train().len(), splits.train().shape(), splits.train().n_classes()),
        (5, [3, 32, 32], 10)
    );
    assert_eq!(splits.validation().labels()[4999], 4);
    assert!(matches!(splits.into_test(), Err(Error::Io { .. })));
    let dir = write(&files);
    assert_eq!(Splits::open(dir.path()).unwrap().into_test().unwrap().labels(), [7, 8]);
}

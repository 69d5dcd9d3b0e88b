//! Training, validation and test set, and the rule for who may see which.

#[cfg(test)]
mod tests;

use std::path::Path;

use super::cifar::{self, parse_cifar10};
use super::folder::Folder;
use super::{Dataset, parse_idx};
use crate::{Error, Result};

/// The last so many training images are the validation set.
pub const N_VALIDATION: usize = 5_000;

/// The [`Splits::fingerprint`] of MNIST.
pub const MNIST_FINGERPRINT: &str = "a6aae8a67093d939308bb89de398d9d4ebc89dcfbb66a728eac7f9c46af1279d";

/// The [`Splits::fingerprint`] of CIFAR-10.
pub const CIFAR10_FINGERPRINT: &str = "7628585b455fc40e31058592a34ad671ef8534de907c6921c55d881375cb6078";

/// How a directory holds its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Four IDX files under the names of MNIST.
    Idx,
    /// Six files of CIFAR-10's records.
    Cifar10,
}

/// A training and a validation set, and a test set that is still on disk.
///
/// Every choice (thresholds, checkpoints, early stopping, curves) is made on the validation set. The test set
/// costs the other two: [`into_test`](Self::into_test) consumes them, so code that still borrows a training or
/// validation image when the test set is read does not compile. Opening the directory a second time would get
/// round that; only a final report has reason to call `into_test`, and its callers are easy to find.
///
/// # Example
/// ```compile_fail,E0505
/// # fn example() -> nnc_core::Result<()> {
/// let splits = nnc_core::data::Splits::open("data/mnist")?;
/// let train = splits.train();
/// let test = splits.into_test()?;
/// println!("still training on {} images", train.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Splits {
    train: Dataset,
    validation: Dataset,
    fingerprint: String,
    folder: Folder,
    layout: Layout,
}

impl Splits {
    /// Opens a directory of MNIST's IDX files (`train-images-idx3-ubyte`, …) or of CIFAR-10's binary files
    /// (`data_batch_1.bin`, …), each plain or with `.gz`.
    ///
    /// Any IDX set under the same names will do (Fashion-MNIST); its classes are those up to the largest
    /// training label. A file `SHA256SUMS` in the directory is checked, and must then list each file that is
    /// read. The last [`N_VALIDATION`] training images become the validation set. Of the test set it is only
    /// seen that the files are there.
    ///
    /// # Errors
    /// [`Io`](Error::Io) for a missing file, [`Corrupt`](Error::Corrupt) and
    /// [`UnexpectedEnd`](Error::UnexpectedEnd) for files that contradict their format, the manifest or each
    /// other, [`InvalidArgument`](Error::InvalidArgument) for a directory with neither set or too few images.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let folder = Folder::open(dir.as_ref())?;
        let layout = Layout::of(&folder)?;
        for file in layout.test_files() {
            folder.locate(file)?;
        }
        let mut train = match layout {
            Layout::Idx => read_idx(&folder, "train", None)?,
            Layout::Cifar10 => read_cifar10(&folder, &cifar::TRAIN_FILES)?,
        };
        let fingerprint = train.fingerprint();
        let validation = train.split_last(N_VALIDATION)?;
        Ok(Self { train, validation, fingerprint, folder, layout })
    }

    /// All training images but the last [`N_VALIDATION`].
    pub fn train(&self) -> &Dataset {
        &self.train
    }

    /// The last [`N_VALIDATION`] training images.
    pub fn validation(&self) -> &Dataset {
        &self.validation
    }

    /// SHA-256, in hexadecimal, of the training and validation images and labels, however they are packed.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether this is MNIST, whatever the directory is called.
    pub fn is_mnist(&self) -> bool {
        self.fingerprint == MNIST_FINGERPRINT
    }

    /// Whether this is CIFAR-10, whatever the directory is called.
    pub fn is_cifar10(&self) -> bool {
        self.fingerprint == CIFAR10_FINGERPRINT
    }

    /// Keeps only the first `n` training images (all, when there are no more), for quick runs.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when `n` is 0.
    pub fn truncate_train(&mut self, n: usize) -> Result<()> {
        if n == 0 {
            return Err(Error::invalid("number of training images", "at least 1", n));
        }
        self.train.truncate(n.min(self.train.len()));
        Ok(())
    }

    /// Gives up the training and validation set and reads the test set.
    ///
    /// This is the final report's: nothing can be trained or chosen any more when it returns.
    ///
    /// # Errors
    /// As [`open`](Self::open), for the test files; also when they hold images of another shape or labels
    /// beyond the training set's classes.
    pub fn into_test(self) -> Result<Dataset> {
        let n_classes = self.train.n_classes();
        let test = match self.layout {
            Layout::Idx => read_idx(&self.folder, "t10k", Some(n_classes))?,
            Layout::Cifar10 => read_cifar10(&self.folder, &cifar::TEST_FILES)?,
        };
        if test.shape() != self.train.shape() {
            return Err(Error::shape("test image", &self.train.shape(), &test.shape()));
        }
        Ok(test)
    }
}

impl Layout {
    fn of(folder: &Folder) -> Result<Self> {
        let first_files = [(Self::Idx, "train-images-idx3-ubyte"), (Self::Cifar10, cifar::TRAIN_FILES[0])];
        let found = first_files.into_iter().find(|(_, file)| folder.has(file)).map(|(layout, _)| layout);
        found.ok_or_else(|| {
            let expected = first_files.map(|(_, file)| format!("{file}[.gz]")).join(" or ");
            Error::invalid("data directory", format!("a directory with {expected}"), folder.dir().display())
        })
    }

    fn test_files(self) -> &'static [&'static str] {
        match self {
            Self::Idx => &["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
            Self::Cifar10 => &cifar::TEST_FILES,
        }
    }
}

/// Reads the images and labels whose names begin with `prefix`; without `n_classes`, the labels say how many
/// there are.
fn read_idx(folder: &Folder, prefix: &str, n_classes: Option<usize>) -> Result<Dataset> {
    let (bytes, images_path) = folder.read(&format!("{prefix}-images-idx3-ubyte"))?;
    let images = parse_idx(&bytes, &images_path)?;
    let (bytes, labels_path) = folder.read(&format!("{prefix}-labels-idx1-ubyte"))?;
    let labels = parse_idx(&bytes, &labels_path)?;
    let &[n_images, height, width] = images.shape.as_slice() else {
        return Err(Error::corrupt(images_path, format!("expected (N, H, W), got {:?}", images.shape)));
    };
    if labels.shape != [n_images] {
        let why = format!("expected {n_images} labels, as many as images, got {:?}", labels.shape);
        return Err(Error::corrupt(labels_path, why));
    }
    let largest = labels.data.iter().max().map_or(0, |&label| usize::from(label));
    let n_classes = n_classes.unwrap_or(largest + 1);
    Dataset::new(images.data, labels.data, [1, height, width], n_classes)
        .map_err(|error| Error::corrupt(images_path, error.to_string()))
}

fn read_cifar10(folder: &Folder, files: &[&str]) -> Result<Dataset> {
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for file in files {
        let (bytes, path) = folder.read(file)?;
        let (more_images, more_labels) = parse_cifar10(&bytes, &path)?;
        images.extend(more_images);
        labels.extend(more_labels);
    }
    Dataset::new(images, labels, cifar::SHAPE, cifar::N_CLASSES)
}

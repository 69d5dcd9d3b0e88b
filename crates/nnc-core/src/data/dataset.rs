//! A labelled set of images, kept as the bytes they came in.

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Images of 8 bits a channel and their labels.
///
/// Images become `f32` tensors only in [`Batches`](super::Batches). A set cannot be cloned: who holds one holds
/// the only one.
#[derive(Debug)]
pub struct Dataset {
    /// Image after image, each `(C, H, W)` row-major.
    images: Vec<u8>,
    labels: Vec<u8>,
    shape: [usize; 3],
    n_classes: usize,
}

impl Dataset {
    /// A set of `labels.len()` images of shape `(C, H, W)`, one after the other in `images`.
    ///
    /// # Errors
    /// [`InvalidArgument`](Error::InvalidArgument) when there are no images or an image has no pixels, when the
    /// lengths do not agree, or when a label is not below `n_classes`.
    pub fn new(images: Vec<u8>, labels: Vec<u8>, shape: [usize; 3], n_classes: usize) -> Result<Self> {
        let size = shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim));
        let expected_bytes = size.and_then(|size| size.checked_mul(labels.len()));
        if expected_bytes.is_none_or(|n| n == 0 || n != images.len()) {
            let expected = format!("{} images of {shape:?}, at least one, none empty", labels.len());
            return Err(Error::invalid("images", expected, format!("{} bytes", images.len())));
        }
        if let Some(label) = labels.iter().find(|&&label| usize::from(label) >= n_classes) {
            return Err(Error::invalid("label", format!("a class below {n_classes}"), label));
        }
        Ok(Self { images, labels, shape, n_classes })
    }

    /// How many images there are; at least 1.
    #[allow(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The shape of an image, `(C, H, W)`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// How many classes the labels are drawn from.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// One image, `(C, H, W)` row-major, 0 to 255.
    ///
    /// # Panics
    /// When there are not that many images.
    pub fn image(&self, idx: usize) -> &[u8] {
        let size = self.image_len();
        &self.images[idx * size..][..size]
    }

    /// All labels, in order.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Numbers in an image.
    pub(super) fn image_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// All images, one after the other.
    pub(super) fn images(&self) -> &[u8] {
        &self.images
    }

    /// Moves the last `n` images into a set of their own; both keep at least one.
    pub(super) fn split_last(&mut self, n: usize) -> Result<Self> {
        let kept = self.len().checked_sub(n).filter(|&kept| kept > 0 && n > 0);
        let kept = kept.ok_or_else(|| {
            Error::invalid(
                "training set",
                format!("more than the {n} images of the validation set"),
                self.len(),
            )
        })?;
        let images = self.images.split_off(kept * self.image_len());
        let labels = self.labels.split_off(kept);
        Ok(Self { images, labels, shape: self.shape, n_classes: self.n_classes })
    }

    /// Keeps the first `n` images.
    pub(super) fn truncate(&mut self, n: usize) {
        self.images.truncate(n * self.image_len());
        self.labels.truncate(n);
    }

    /// SHA-256 of the shape, the labels and the images.
    pub(super) fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for n in [self.len(), self.shape[0], self.shape[1], self.shape[2]] {
            hash.update((n as u64).to_le_bytes());
        }
        hash.update(&self.labels);
        hash.update(&self.images);
        super::folder::hex(&hash.finalize())
    }
}

//! Data sets and batches, readers, augmentation, seeded shuffling.
//!
//! [`Splits::open`] reads a directory of IDX files (MNIST, Fashion-MNIST) or of CIFAR-10's binary files into a
//! training and a validation set; [`Batches`] turns a [`Dataset`] into tensors. A batch is a pure function of
//! (seed, epoch, batch index): a resumed run needs nothing else to see the batches that an uninterrupted one sees.
//!
//! The **test set** is not among them. [`Splits::into_test`] gives it in exchange for the other two, so the borrow
//! checker proves that nothing can still be trained or chosen by anything that reads it.

mod augment;
mod batch;
mod cifar;
mod dataset;
mod folder;
mod idx;
mod normalization;
mod splits;

pub use augment::Augment;
pub use batch::{Batch, BatchConfig, Batches, Epoch};
pub use cifar::parse_cifar10;
pub use dataset::Dataset;
pub use folder::MANIFEST;
pub use idx::{Idx, parse_idx};
pub use normalization::Normalization;
pub use splits::{CIFAR10_FINGERPRINT, MNIST_FINGERPRINT, N_VALIDATION, Splits};

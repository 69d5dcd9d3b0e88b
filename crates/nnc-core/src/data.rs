//! Data sets and batches, readers, augmentation, seeded shuffling.

//! Accuracy and error counts.

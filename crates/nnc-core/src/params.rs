//! Named parameters and buffers in insertion order.

//! How much an entry, a group or an output matters; the higher the score, the longer it stays.
//!
//! | criterion | module | scores |
//! |---|---|---|
//! | magnitude, L1 and L2 norm | [`magnitude`] | entries; groups through [`Groups::reduce`](crate::granularity::Groups::reduce) |
//! | random, largest (controls) | [`control`] | entries or groups |
//! | mean activation, APoZ | [`activation`] | outputs |
//! | first-order Taylor | [`gradient`] | entries |
//! | batch-norm scale | [`batch_norm`] | outputs |
//! | Wanda | [`wanda`] | entries |
//! | OBS, SparseGPT | [`second_order`] | prune and update in one |

pub mod activation;
pub mod batch_norm;
pub mod control;
pub mod gradient;
pub mod inputs;
pub mod magnitude;
pub mod second_order;
pub mod wanda;

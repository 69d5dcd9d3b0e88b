//! Where activations are looked at or changed.

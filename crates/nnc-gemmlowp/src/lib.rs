//! Integer matrix products, bit-exact with gemmlowp.

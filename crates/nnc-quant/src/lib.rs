//! Quantization: trained weight sharing with codebooks.

//! Bits by part, counted from what would be written.

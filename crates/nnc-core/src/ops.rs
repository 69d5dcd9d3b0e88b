//! candle operators with right gradients and fast CPU kernels.

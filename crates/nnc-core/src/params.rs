//! Named parameters and buffers in insertion order.

mod spec;

pub use spec::{Init, ParamKind, ParamShapes, ParamSpec, ParamSpecs};

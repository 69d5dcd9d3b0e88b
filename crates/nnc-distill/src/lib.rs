//! Knowledge distillation.

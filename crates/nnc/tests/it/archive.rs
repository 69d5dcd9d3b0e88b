//! The archive: what comes back, what it costs, what damage and hostile bytes do.

mod corruption;
mod golden;
mod hostile;
mod large;
mod ledger;
mod round_trip;

pub(crate) use hostile::huge_weight_of_zeros;

//! The archive: what comes back, what it costs, what damage and hostile bytes do.

mod corruption;
mod golden;
mod hostile;
mod ledger;
mod round_trip;

//! The runtime that executes compressed networks as stored.

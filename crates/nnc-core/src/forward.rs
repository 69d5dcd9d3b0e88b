//! Runs a network on candle with a source and taps.

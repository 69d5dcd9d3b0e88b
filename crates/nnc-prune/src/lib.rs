//! Pruning: magnitude masks, iterative prune and retrain, dropout adjustment.

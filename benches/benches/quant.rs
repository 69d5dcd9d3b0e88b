//! Quantization, a topic a module: `kmeans` (shared values by k-means).
//!
//! With `NNC_PEER_WEIGHTS` set (a file of little-endian `f32`) the bench runs once on those weights, for `peers/kmeans.py`.

use criterion::{Criterion, criterion_group};
use mimalloc::MiMalloc;

#[path = "quant/kmeans.rs"]
mod kmeans;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

criterion_group!(benches, kmeans::lloyd, kmeans::optimal);

fn main() {
    if kmeans::for_peers() {
        return;
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

//! Work cut into tasks. No element is summed by two of them, so how it is cut changes no bit.

use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::kernel::{Kernel, PANEL};

/// Tasks into which a product is cut at least, where it is large enough.
pub(crate) const TASKS: usize = 16;

/// Rows of a task at least, where there are as many: fewer would read the right factor too often.
const MIN_ROWS: usize = 64;

/// Tiles of rows in a task at least, where there are as many: what a kernel does once for each panel has to pay.
const MIN_TILES: usize = 8;

/// Bytes of rows in a task at most: they stay in the second cache and are read from there for each panel.
const MAX_BYTES: usize = 512 << 10;

/// Nanoseconds of work for which waking another thread pays.
const WORTH_NS: usize = 40_000;

/// Nanoseconds of work for which a thread pays that is still awake.
const WORTH_AWAKE_NS: usize = 10_000;

/// Nanoseconds for which rayon's threads look for work before they sleep, at least.
const AWAKE_NS: u64 = 5_000;

/// Nanoseconds of work in a task at least.
const TASK_NS: usize = 2_500;

/// Bytes of the right factor that a nanosecond brings from memory, about.
const BYTES_PER_NS: usize = 64;

/// A product cut into tasks: blocks of rows × ranges of panels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    n_rows: usize,
    rows_per_task: usize,
    n_panels: usize,
    panels_per_task: usize,
    /// Nanoseconds of work, about.
    ns: usize,
    parallel: bool,
}

impl Grid {
    /// For `n_rows` × `depth` times `n_panels` panels.
    pub(crate) fn new(n_rows: usize, n_panels: usize, depth: usize, kernel: Kernel) -> Self {
        let (products_per_ns, tile_rows) = (kernel.products_per_ns(), kernel.tile_rows());
        let rhs_bytes = n_panels.saturating_mul(PANEL).saturating_mul(depth);
        let ns = n_rows.saturating_mul(rhs_bytes) / products_per_ns + rhs_bytes / BYTES_PER_NS;
        let parallel = (ns >= WORTH_NS || ns >= WORTH_AWAKE_NS && is_awake()) && has_threads();
        let max_rows = (MAX_BYTES / depth).next_multiple_of(tile_rows).max(MIN_ROWS);
        let tasks = if parallel { TASKS.min(ns / TASK_NS) } else { 1 };
        let blocks = tasks.min(n_rows / MIN_ROWS.max(MIN_TILES * tile_rows));
        let blocks = blocks.max(n_rows.div_ceil(max_rows)).max(1);
        // Few blocks are cut more finely, so that the last one is not much smaller than the others.
        let unit = if blocks < TASKS / 2 { tile_rows.div_ceil(2) } else { tile_rows };
        let rows_per_task = n_rows.div_ceil(blocks).next_multiple_of(unit).max(unit);
        let blocks = n_rows.div_ceil(rows_per_task).max(1);
        let ranges = (tasks / blocks).clamp(1, n_panels.max(1));
        let panels_per_task = n_panels.div_ceil(ranges).max(1);
        Self { n_rows, rows_per_task, n_panels, panels_per_task, ns, parallel }
    }

    /// Runs `run` for the rows and panels of each task, in the caller's rayon pool where that pays.
    pub(crate) fn for_each(&self, run: impl Fn(Range<usize>, Range<usize>) + Send + Sync) {
        for_each(self.n_tasks(), self.parallel, |idx| {
            let (rows, panels) = self.task(idx);
            run(rows, panels);
        });
        if self.ns >= WORTH_AWAKE_NS && has_threads() {
            LAST_END.store(now(), Ordering::Relaxed);
        }
    }

    fn ranges(&self) -> usize {
        self.n_panels.div_ceil(self.panels_per_task)
    }

    /// Tasks.
    fn n_tasks(&self) -> usize {
        self.n_rows.div_ceil(self.rows_per_task) * self.ranges()
    }

    /// Rows and panels of a task.
    fn task(&self, idx: usize) -> (Range<usize>, Range<usize>) {
        let (row, panel) =
            (idx / self.ranges() * self.rows_per_task, idx % self.ranges() * self.panels_per_task);
        (
            row..(row + self.rows_per_task).min(self.n_rows),
            panel..(panel + self.panels_per_task).min(self.n_panels),
        )
    }
}

/// When the last product ended that an awake thread would have paid for, by [`now`].
static LAST_END: AtomicU64 = AtomicU64::new(0);

/// Nanoseconds since the first call.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Whether products follow one another so closely that a thread that shares one is awake for the next.
fn is_awake() -> bool {
    now().saturating_sub(LAST_END.load(Ordering::Relaxed)) < AWAKE_NS
}

/// Whether the caller's pool has more than one thread.
fn has_threads() -> bool {
    #[cfg(feature = "parallel")]
    return rayon::current_num_threads() > 1;
    #[cfg(not(feature = "parallel"))]
    false
}

/// Runs `run` for 0 to `n` − 1, in the caller's rayon pool where `parallel` says that it pays.
fn for_each(n: usize, parallel: bool, run: impl Fn(usize) + Send + Sync) {
    #[cfg(feature = "parallel")]
    if parallel && n > 1 {
        use rayon::iter::{IntoParallelIterator, ParallelIterator};
        return (0..n).into_par_iter().for_each(run);
    }
    let _ = parallel;
    (0..n).for_each(run);
}

/// Runs `run` for each `len` elements of `data` and their number, in the caller's rayon pool where `ns` of work pay for it.
pub(crate) fn for_each_chunk<T: Send>(
    data: &mut [T],
    len: usize,
    ns: usize,
    run: impl Fn(usize, &mut [T]) + Send + Sync,
) {
    #[cfg(feature = "parallel")]
    if ns >= WORTH_NS && data.len() > len && has_threads() {
        use rayon::iter::{IndexedParallelIterator, ParallelIterator};
        use rayon::slice::ParallelSliceMut;
        return data.par_chunks_mut(len).enumerate().for_each(|(i, chunk)| run(i, chunk));
    }
    let _ = ns;
    data.chunks_mut(len).enumerate().for_each(|(i, chunk)| run(i, chunk));
}

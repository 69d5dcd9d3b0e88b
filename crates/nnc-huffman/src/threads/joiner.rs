//! Parts that threads make in any order and that must stand in one.
//!
//! Q: Why not map and concatenate? A: That copies each part twice, out of its thread and into its place, and ends with one
//! thread waiting for the other. Here threads take the items in turn, so that a part is copied once, as a rule by the thread
//! that has it in its cache, and no thread waits for a copy: what is not next, or comes while another part is being copied,
//! is left to the thread that copies.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers that a thread keeps: the one that it writes to, and one for when that waits for its turn.
const N_KEPT: usize = 2;

thread_local! {
    /// What a thread writes its parts to, kept so that their room is asked of the system once.
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Where parts come together.
struct Joiner<'a> {
    /// Held by the thread that copies, for as long as the next part is there.
    out: Mutex<&'a mut Vec<u8>>,
    queue: Mutex<Queue>,
}

/// Which parts wait for their turn.
#[derive(Default)]
struct Queue {
    /// The part that is to be copied next, or is being copied.
    next: usize,
    is_copying: bool,
    /// Parts that are ready.
    ready: BTreeMap<usize, Vec<u8>>,
    /// Buffers of parts that were copied by another thread than theirs.
    free: Vec<Vec<u8>>,
}

impl Joiner<'_> {
    /// Takes over part `index`; gives a buffer back if there is one, this one or another.
    fn add(&self, index: usize, mut part: Vec<u8>) -> Option<Vec<u8>> {
        let mut queue = lock(&self.queue);
        if queue.is_copying || queue.next != index {
            queue.ready.insert(index, part);
            return queue.free.pop();
        }
        queue.is_copying = true;
        drop(queue);
        let mut out = lock(&self.out);
        loop {
            out.extend_from_slice(&part);
            let mut queue = lock(&self.queue);
            queue.next += 1;
            let next = queue.next;
            let Some(ready) = queue.ready.remove(&next) else {
                queue.is_copying = false;
                return Some(part);
            };
            queue.free.push(std::mem::replace(&mut part, ready));
        }
    }
}

/// Where a thread panicked, the scope ends with its panic, and nobody sees what it left.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Appends to `out` what `f` appends for each of `items`, in their order, on the threads of the caller's pool.
pub(super) fn append_in_parallel<T: Copy + Sync>(
    items: &[T],
    out: &mut Vec<u8>,
    f: impl Fn(T, &mut Vec<u8>) + Sync + Send,
) {
    let taken = AtomicUsize::new(0);
    let joiner = Joiner { out: Mutex::new(out), queue: Mutex::default() };
    let work = || {
        let mut buffers = BUFFERS.take();
        loop {
            let index = taken.fetch_add(1, Ordering::Relaxed);
            let Some(&item) = items.get(index) else { break };
            let mut part = buffers.pop().unwrap_or_default();
            part.clear();
            f(item, &mut part);
            buffers.extend(joiner.add(index, part));
        }
        buffers.append(&mut lock(&joiner.queue).free);
        buffers.truncate(N_KEPT);
        BUFFERS.set(buffers);
    };
    let n_workers = rayon::current_num_threads().min(items.len());
    rayon::scope(|scope| (0..n_workers).for_each(|_| scope.spawn(|_| work())));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_in_the_order_of_their_items() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let items: Vec<u32> = (0..2000).collect();
        let expected: Vec<u8> = items.iter().flat_map(|item| item.to_le_bytes()).collect();
        let mut out = vec![7];
        pool.install(|| {
            append_in_parallel(&items, &mut out, |item, part| {
                // Uneven work, so that parts come early and late.
                let n_turns = if item % 16 == 0 { 20_000 } else { item % 7 };
                std::hint::black_box((0..n_turns).fold(item, |sum, turn| sum.rotate_left(3) ^ turn));
                part.extend(item.to_le_bytes());
            });
        });
        assert_eq!(out[0], 7);
        assert_eq!(out[1..], expected);
    }

    #[test]
    fn a_later_part_waits_and_is_copied_with_the_one_before_it() {
        let mut out = Vec::new();
        let joiner = Joiner { out: Mutex::new(&mut out), queue: Mutex::default() };
        assert_eq!(joiner.add(1, vec![1]), None);
        assert_eq!(joiner.add(2, vec![2]), None);
        assert_eq!(joiner.add(0, vec![0]), Some(vec![2]));
        assert_eq!(joiner.add(3, vec![3]), Some(vec![3]));
        assert_eq!(lock(&joiner.queue).free.len(), 2);
        drop(joiner);
        assert_eq!(out, [0, 1, 2, 3]);
    }
}

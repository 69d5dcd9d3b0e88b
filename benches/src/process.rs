//! What a piece of work takes of memory and of the processor, as the system counts it.

use std::fs;

/// The most that `work` adds to the process's resident memory, in bytes, and what it gives; `None` where the system does not
/// tell.
pub fn peak_of<T>(work: impl FnOnce() -> T) -> (Option<u64>, T) {
    // Sets the high-water mark to what is resident now.
    let reset = fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = status_bytes("VmRSS:");
    let result = work();
    let peak = status_bytes("VmHWM:");
    let added = before.zip(peak).filter(|_| reset).map(|(before, peak)| peak.saturating_sub(before));
    (added, result)
}

/// A line of the process's status in bytes.
fn status_bytes(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// Processor seconds of all threads of this process so far, to a hundredth; `None` where the system does not tell.
pub fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name in parentheses: state is field 3, user and system time are 14 and 15, in hundredths of a second.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / 100.0)
}

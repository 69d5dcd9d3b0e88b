//! What a result was computed on, and with which compiler.

use std::process::Command;

/// Processor, threads, system and compiler in one line; what cannot be learnt is left out.
pub(crate) fn describe() -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut parts = Vec::new();
    parts.extend(processor());
    parts.push(format!("{threads} thread{}", if threads == 1 { "" } else { "s" }));
    parts.push(format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    parts.extend(first_line(Command::new(rustc).arg("--version")));
    parts.join(", ")
}

fn processor() -> Option<String> {
    if let Ok(text) = std::fs::read_to_string("/proc/cpuinfo") {
        let model = text.lines().find(|line| line.starts_with("model name"));
        return model.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned());
    }
    first_line(Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]))
}

fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

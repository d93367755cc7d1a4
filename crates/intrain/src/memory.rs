//! Memory as the system counts it: what this machine has, and what this process has held. Where the system does not tell,
//! there is no answer.

/// The memory of this machine.
#[must_use]
pub fn machine_bytes() -> Option<usize> {
    bytes_of("MemTotal:", &std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// The memory that a process can still take, that on swap included.
#[must_use]
pub fn available_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(bytes_of("MemAvailable:", &text)?.saturating_add(bytes_of("SwapFree:", &text).unwrap_or(0)))
}

/// The most memory that this process has held.
#[must_use]
pub fn peak_bytes() -> Option<usize> {
    bytes_of("VmHWM:", &std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Finds `NAME   1234 kB`.
fn bytes_of(name: &str, text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_where_it_is_told() {
        let status = "VmPeak:\t 9 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 8 kB\n";
        assert_eq!(bytes_of("VmHWM:", status), Some(1234 * 1024));
        assert_eq!(bytes_of("VmHWM:", "VmHWM: much\n"), None);
        assert_eq!(
            bytes_of("MemTotal:", "MemTotal:       24567890 kB\nMemFree: 1 kB\n"),
            Some(24_567_890 * 1024)
        );
        assert_eq!(bytes_of("MemTotal:", ""), None);
    }
}

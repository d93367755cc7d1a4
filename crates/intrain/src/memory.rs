//! Memory as the system counts it: what this machine has, and what this process has held. Where the system does not tell,
//! there is no answer.

/// The memory of this machine, or of the container (the root control group) that this process runs in, where that is less.
#[must_use]
pub fn machine_bytes() -> Option<usize> {
    #[cfg(unix)]
    return Seen::now().map(|seen| seen.total);
    #[cfg(not(unix))]
    None
}

/// The memory that a process can still take: that on swap included, and no more than its container has left.
#[must_use]
pub fn available_bytes() -> Option<usize> {
    #[cfg(unix)]
    return Seen::now().map(|seen| seen.available);
    #[cfg(not(unix))]
    None
}

#[cfg(unix)]
struct Seen {
    total: usize,
    available: usize,
}

#[cfg(unix)]
impl Seen {
    fn now() -> Option<Self> {
        let mut system = sysinfo::System::new();
        system.refresh_memory();
        let (machine, left) = (system.total_memory(), system.available_memory());
        if machine == 0 {
            return None;
        }
        // What a container reads from its files can be dropped at any time, so that does not count as taken.
        let of = |limits: sysinfo::CGroupLimits| {
            (limits.total_memory, limits.total_memory.saturating_sub(limits.rss))
        };
        let container = system.cgroup_limits().map(of);
        Self::within(machine, left.saturating_add(system.free_swap()), container)
    }

    /// The less of machine and container, which counts where it has a limit of its own.
    fn within(machine: u64, left: u64, container: Option<(u64, u64)>) -> Option<Self> {
        let limited = container.filter(|(total, _)| *total < machine);
        let (total, available) = limited.unwrap_or((u64::MAX, u64::MAX));
        let bytes = |n: u64| usize::try_from(n).ok();
        Some(Self { total: bytes(machine.min(total))?, available: bytes(left.min(available))? })
    }
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
        assert!(available_bytes().is_none_or(|bytes| bytes > 0));
    }

    #[cfg(unix)]
    #[test]
    fn a_container_has_less_than_its_machine() {
        let seen = |container| Seen::within(100, 60, container).map(|seen| (seen.total, seen.available));
        assert_eq!(seen(None), Some((100, 60)));
        assert_eq!(seen(Some((50, 20))), Some((50, 20)));
        // Without a limit a group has that of the machine.
        assert_eq!(seen(Some((100, 20))), Some((100, 60)));
    }
}

//! What the system says about this process.

/// The memory that the process holds, in bytes. 0 where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn memory() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| resident(&status))
        .unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn memory() -> u64 {
    0
}

/// In this form the kernel counts in units that do not depend on the size of its pages.
#[cfg(target_os = "linux")]
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_read_where_the_kernel_writes_it() {
        let status = "Name:\tgreeter\nVmHWM:\t   9 kB\nVmRSS:\t    5124 kB\nThreads:\t3\n";
        assert_eq!(resident(status), Some(5124 * 1024));
        assert_eq!(resident("VmRSS: many kB"), None);
        assert!(memory() > 100_000);
    }
}

//! What a process has used so far, from `/proc`.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context, Result};

/// The time that all threads of a process have spent on a processor, in user and system mode, in nanoseconds.
///
/// It is exact while the process is idle; a running thread's last few milliseconds may be missing. Threads that have
/// ended are not counted.
///
/// # Errors
///
/// Fails if the process has ended, or the kernel keeps no such statistics.
pub(crate) fn cpu_nanoseconds(process: u32) -> Result<u64> {
    let tasks = format!("/proc/{process}/task");
    let mut sum = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("{tasks} cannot be read: is this Linux?"))? {
        let path = task?.path().join("schedstat");
        match fs::read_to_string(&path) {
            Ok(text) => {
                sum += first_number(&text).with_context(|| format!("{} holds no time", path.display()))?
            }
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    && path.parent().is_some_and(|task| !task.exists()) => {}
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }
    Ok(sum)
}

/// The memory of a process that is resident, in bytes.
///
/// # Errors
///
/// Fails if the process has ended, or is somebody else's.
pub(crate) fn resident_bytes(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kibibytes = line
        .and_then(first_number)
        .with_context(|| format!("{path} does not tell the resident memory"))?;
    Ok(kibibytes * 1024)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_as_time_on_a_processor() {
        let time = || cpu_nanoseconds(std::process::id()).unwrap();
        let (before, began) = (time(), std::time::Instant::now());
        // Threads of other tests take their time with them when they end, so that the sum may fall before it grows.
        let readings = std::iter::repeat_with(time).take_while(|_| began.elapsed().as_secs() < 10);
        assert!(readings.into_iter().any(|now| now > before));
    }

    #[test]
    fn this_process_is_resident() {
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
    }

    #[test]
    fn a_process_that_is_gone_is_named() {
        let error = cpu_nanoseconds(u32::MAX).unwrap_err();
        assert!(format!("{error:#}").contains(&u32::MAX.to_string()), "{error:#}");
    }
}

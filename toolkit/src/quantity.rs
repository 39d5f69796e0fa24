//! Numbers as people read them.

use std::time::Duration;

/// Bytes in powers of 1024: `812 B`, `14.2 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// Seconds by their two largest units: `47s`, `3m 20s`, `2h 5m`, `12d 4h`.
pub(crate) fn seconds(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A short time: `0.4 ms`, `12 ms`, `1.2 s`.
pub(crate) fn moment(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1000.0;
    match milliseconds {
        ..10.0 => format!("{milliseconds:.1} ms"),
        ..1000.0 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_short() {
        let texts = [0, 1023, 1024, 15_000_000, 1_073_741_823, u64::MAX].map(bytes);
        assert_eq!(
            texts,
            ["0 B", "1023 B", "1.0 KiB", "14.3 MiB", "1.0 GiB", "16384.0 PiB"]
        );
        let texts = [0, 47, 200, 7500, 1_050_000].map(seconds);
        assert_eq!(texts, ["0s", "47s", "3m 20s", "2h 5m", "12d 3h"]);
        let texts = [0.000_43, 0.0121, 1.234].map(|time| moment(Duration::from_secs_f64(time)));
        assert_eq!(texts, ["0.4 ms", "12 ms", "1.2 s"]);
    }
}

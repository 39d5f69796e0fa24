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

/// Seconds since 1970 as a date and time of UTC: `2026-11-21 10:55:07`.
pub(crate) fn time(since_1970: u64) -> String {
    let (mut days, seconds) = (since_1970 / 86400, since_1970 % 86400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // Whole cycles of 400 years first, so that no time takes long.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        "{year:04}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02}",
        days + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        let texts = [
            0,
            951_782_399,
            951_782_400,
            1_795_258_507,
            4_107_542_399,
            u64::MAX,
        ]
        .map(time);
        assert_eq!(
            texts[..5],
            [
                "1970-01-01 00:00:00",
                "2000-02-28 23:59:59",
                "2000-02-29 00:00:00",
                "2026-11-21 10:55:07",
                "2100-02-28 23:59:59"
            ]
        );
        assert!(texts[5].ends_with("07:00:15"), "{}", texts[5]);
    }

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

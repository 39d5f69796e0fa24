//! Times as Consul reads them.

use std::time::Duration;

/// A time as Go writes it, in whole milliseconds, rounded up: `1m5s`, `1.5s`, `20ms`.
pub fn duration_text(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    let (seconds, rest) = (millis / 1000, millis % 1000);
    if seconds == 0 {
        return format!("{rest}ms");
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut text = match (hours, minutes) {
        (0, 0) => String::new(),
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    };
    text.push_str(&(seconds % 60).to_string());
    if rest > 0 {
        text.push_str(format!(".{rest:03}").trim_end_matches('0'));
    }
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_writes_them() {
        let rows = [
            (1, "1ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (30_000, "30s"),
            (65_000, "1m5s"),
            (120_000, "2m0s"),
            (3_600_000, "1h0m0s"),
            (90_061_001, "25h1m1.001s"),
        ];
        for (millis, expected) in rows {
            assert_eq!(duration_text(Duration::from_millis(millis)), expected);
        }
        assert_eq!(duration_text(Duration::from_nanos(1)), "1ms", "rounded up");
    }
}

//! Percentiles, and numbers as people read them.

use std::time::Duration;

/// The value that so many per cent of the sorted values stay within, or zero if there is none.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    Duration::from_nanos(sorted.get(rank - 1).copied().unwrap_or_default())
}

/// A number with a comma after the thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time with three digits that count.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (number, unit) = match seconds {
        1.0.. => (seconds, "s"),
        0.001.. => (seconds * 1e3, "ms"),
        0.0 => return "0 ms".to_owned(),
        _ => (seconds * 1e6, "µs"),
    };
    match number {
        100.0.. => format!("{number:.0} {unit}"),
        10.0.. => format!("{number:.1} {unit}"),
        _ => format!("{number:.2} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_nanos(100));
        assert_eq!(percentile(&sorted, 99), Duration::from_nanos(198));
        assert_eq!(percentile(&sorted, 100), Duration::from_nanos(200));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(0), "0");
        let times = [
            (312, "312 µs"),
            (1_240, "1.24 ms"),
            (25_300, "25.3 ms"),
            (2_000_000, "2.00 s"),
        ];
        for (micros, text) in times {
            assert_eq!(time(Duration::from_micros(micros)), text);
        }
    }
}

//! Durations as Go writes them: `500ms`, `1m30s`, `1.5h`.

use std::time::Duration;

/// The units with their nanoseconds. Both signs for micro are in use: U+00B5 and U+03BC.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The most that Go can hold, about 292 years.
const LONGEST: u128 = i64::MAX as u128;

/// Reads a duration longer than zero. The error says what is wrong and shows how to write it.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = |what: &str| {
        format!(
            "{text:?} is no duration: {what}; write a number and its unit, such as 500ms, 30s, 1m30s or 1.5h"
        )
    };
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.starts_with('-') {
        return Err(wrong("it is negative"));
    }
    let mut total = 0;
    while !rest.is_empty() {
        let (number, after) = split(rest, |byte| byte.is_ascii_digit() || byte == b'.');
        let (unit, after) = split(after, |byte| !byte.is_ascii_digit() && byte != b'.');
        if unit.is_empty() && number == "0" && after.is_empty() {
            break;
        }
        let nanoseconds = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, nanoseconds)| *nanoseconds)
            .ok_or_else(|| {
                if unit.is_empty() {
                    wrong("a unit is missing")
                } else {
                    wrong(&format!("{unit:?} is no unit"))
                }
            })?;
        let part = scaled(number, nanoseconds).ok_or_else(|| wrong(&format!("{number:?} is no number")))?;
        total += part;
        if total > LONGEST {
            return Err(wrong("it is longer than 292 years"));
        }
        rest = after;
    }
    match u64::try_from(total) {
        Ok(0) | Err(_) => Err(wrong("it must be longer than 0")),
        Ok(nanoseconds) => Ok(Duration::from_nanos(nanoseconds)),
    }
}

/// The same, where a bare number counts as seconds.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(0) => Err(format!("{text:?} must be longer than 0 seconds")),
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => parse_duration(text),
    }
}

fn split(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    // Signs of several bytes are never cut: `belongs` has one answer for all their bytes.
    let end = text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len());
    text.split_at(end)
}

/// A decimal number times a unit; `None` if it is none or absurdly large. What is less than a nanosecond is cut off.
fn scaled(number: &str, nanoseconds: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u128 = match whole.trim_start_matches('0') {
        "" => 0,
        // Anything longer is beyond the limit anyway, and this way nothing overflows.
        digits if digits.len() > 20 => LONGEST + 1,
        digits => digits.parse().ok()?,
    };
    let mut total = whole * nanoseconds;
    let mut place = nanoseconds;
    let mut rest = 0;
    for digit in fraction.bytes().take(18) {
        // Keeps the part that the division by ten leaves over, so that nothing is lost before the end.
        rest = rest * 10 + u128::from(digit - b'0') * nanoseconds;
        place *= 10;
    }
    if place > nanoseconds {
        total += rest / (place / nanoseconds);
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_read_as_in_go() {
        for (text, nanoseconds) in [
            ("500ms", 500_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("+5s", 5_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("1ns", 1),
            ("2us", 2_000),
            ("2\u{b5}s", 2_000),
            ("2\u{3bc}s", 2_000),
            ("39h9m14.425s", 140_954_425_000_000),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("0.100000000000000000000h", 360_000_000_000),
            ("9223372036854775807ns", i64::MAX as u64),
            ("0000000000000000000000001s", 1_000_000_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_nanos(nanoseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_is_told_with_its_reason() {
        for (text, reason) in [
            ("", "longer than 0"),
            ("0", "longer than 0"),
            ("0s", "longer than 0"),
            ("0.1ns", "longer than 0"),
            ("-1s", "negative"),
            ("3", "a unit is missing"),
            ("3 s", "\" s\" is no unit"),
            ("1d", "\"d\" is no unit"),
            ("s", "\"\" is no number"),
            (".s", "\".\" is no number"),
            ("1.2.3s", "\"1.2.3\" is no number"),
            ("1S", "\"S\" is no unit"),
            ("9223372036854775808ns", "292 years"),
            ("99999999999999999999999999999999999999999999h", "292 years"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.contains(&format!("{text:?}")), "{text}: {error}");
        }
    }

    #[test]
    fn a_bare_number_may_mean_seconds() {
        assert_eq!(parse_seconds("60"), Ok(Duration::from_secs(60)));
        assert_eq!(parse_seconds("1m"), Ok(Duration::from_secs(60)));
        assert!(parse_seconds("0").is_err());
        assert!(parse_seconds("-1").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_in_parts_is_read_back(nanoseconds in 1..=i64::MAX as u64) {
            let (seconds, part) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let text = format!("{hours}h{minutes}m{}.{part:09}s", seconds % 60);
            prop_assert_eq!(parse_duration(&text), Ok(Duration::from_nanos(nanoseconds)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", likely in "[0-9.µmsh+-]{0,40}") {
            let _ = (parse_duration(&text), parse_duration(&likely), parse_seconds(&likely));
        }
    }
}

//! `grpc-timeout`: up to eight digits and a unit.

use std::time::Duration;

use http::HeaderValue;

/// The largest number of the eight digits that there may be.
const LARGEST: u128 = 99_999_999;

/// A duration as it travels: never longer than it is. Coarse where that costs a thousandth at most, so that the values
/// of one caller are mostly alike, which the compression of headers likes.
pub(crate) fn write(left: Duration) -> HeaderValue {
    let (number, unit) = match left {
        _ if left < Duration::from_secs(1) => (left.as_micros(), b'u'),
        _ if left.as_millis() <= LARGEST => (left.as_millis(), b'm'),
        _ if u128::from(left.as_secs()) <= LARGEST => (u128::from(left.as_secs()), b'S'),
        _ => (u128::from(left.as_secs() / 3600).min(LARGEST), b'H'),
    };
    let mut text = [0; 9];
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    text[..digits.len()].copy_from_slice(digits);
    text[digits.len()] = unit;
    // Digits and a letter are always a header's value.
    HeaderValue::from_bytes(&text[..=digits.len()]).unwrap_or(HeaderValue::from_static("1S"))
}

/// A duration as it travelled. `None` where it is none.
pub(crate) fn read(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'n' => Duration::from_nanos(number),
        b'u' => Duration::from_micros(number),
        b'm' => Duration::from_millis(number),
        b'S' => Duration::from_secs(number),
        b'M' => Duration::from_secs(number * 60),
        b'H' => Duration::from_secs(number * 3600),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_never_longer() {
        let hours = Duration::from_secs(3600);
        for left in [
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_micros(7_896_757),
            Duration::from_millis(999),
            Duration::from_secs(5),
            27 * hours,
            28 * hours,
            30_000 * hours,
            1_000_000 * hours,
        ] {
            let written = write(left);
            assert!(written.len() <= 9, "{written:?}");
            let back = read(written.as_bytes()).unwrap();
            assert!(
                back <= left && left - back <= left / 1000 + Duration::from_micros(1),
                "{left:?} {back:?}"
            );
        }
        assert_eq!(write(Duration::MAX), "99999999H");
    }

    #[test]
    fn what_is_no_timeout_is_none() {
        assert_eq!(read(b"7896757u"), Some(Duration::from_micros(7_896_757)));
        for text in ["", "u", "5", "-5S", "123456789S", "5 S", "5s", "5.5S"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }
}

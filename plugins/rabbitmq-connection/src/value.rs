//! Values of AMQP's types as text, as Go prints them.

use std::fmt::Write;

use lapin::types::AMQPValue;

/// The text of a value: Go's `%v` of what Go Micro's client makes of it.
pub fn text_of(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::ShortString(text) => text.as_str().to_owned(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(value) => value.to_string(),
        AMQPValue::ShortShortUInt(value) => value.to_string(),
        AMQPValue::ShortInt(value) => value.to_string(),
        AMQPValue::ShortUInt(value) => value.to_string(),
        AMQPValue::LongInt(value) => value.to_string(),
        AMQPValue::LongUInt(value) => value.to_string(),
        AMQPValue::LongLongInt(value) => value.to_string(),
        AMQPValue::Float(value) => float(&format!("{value:e}"), f64::from(*value), value.to_string()),
        AMQPValue::Double(value) => float(&format!("{value:e}"), *value, value.to_string()),
        AMQPValue::DecimalValue(value) => format!("{{{} {}}}", value.scale, value.value),
        AMQPValue::FieldArray(values) => listed(values.as_slice().iter().map(text_of)),
        AMQPValue::ByteArray(bytes) => listed(bytes.as_slice().iter().map(u8::to_string)),
        AMQPValue::Timestamp(seconds) => moment(*seconds),
        AMQPValue::FieldTable(fields) => {
            let fields = fields.inner().iter();
            format!(
                "map{}",
                listed(fields.map(|(name, value)| format!("{name}:{}", text_of(value))))
            )
        }
        AMQPValue::Void => "<nil>".to_owned(),
    }
}

/// How many bytes a header takes on the wire whose value is a long string.
pub fn header_size(name: &str, value: &str) -> usize {
    name.len() + value.len() + 6
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    format!("[{}]", texts.collect::<Vec<_>>().join(" "))
}

/// The shortest digits that mean the number; with an exponent of two digits at least where it is tiny or huge.
fn float(scientific: &str, value: f64, plain: String) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let is_usual = value == 0.0 || (1e-4..1e21).contains(&value.abs());
    match scientific.split_once('e') {
        Some((digits, exponent)) if !is_usual => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        _ => plain,
    }
}

/// A time, in UTC: `2009-11-10 23:00:00 +0000 UTC`.
fn moment(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, in eras of 400 of them.
    let shifted = days.saturating_add(719_468);
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, wraps) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let mut out = String::new();
    let _ = write!(
        out,
        "{:04}-{month:02}-{date:02} {:02}:{:02}:{:02} +0000 UTC",
        era * 400 + year + wraps,
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    );
    out
}

#[cfg(test)]
mod tests {
    use lapin::types::{DecimalValue, FieldArray, FieldTable};

    use super::*;

    #[test]
    fn values_read_as_go_prints_them() {
        let mut table = FieldTable::default();
        table.insert("b".into(), AMQPValue::LongInt(2));
        table.insert("a".into(), AMQPValue::LongString("x y".into()));
        let array: FieldArray = vec![AMQPValue::Boolean(true), AMQPValue::Void].into();
        let rows = [
            (AMQPValue::LongString("grüße".into()), "grüße"),
            (AMQPValue::LongString(b"\xff".to_vec().into()), "\u{fffd}"),
            (AMQPValue::Boolean(false), "false"),
            (AMQPValue::ShortShortInt(-3), "-3"),
            (AMQPValue::LongLongInt(i64::MIN), "-9223372036854775808"),
            (AMQPValue::Double(1.5), "1.5"),
            (AMQPValue::Double(3.0), "3"),
            (AMQPValue::Double(1e20), "100000000000000000000"),
            (AMQPValue::Double(1e21), "1e+21"),
            (AMQPValue::Double(-2.5e-7), "-2.5e-07"),
            (AMQPValue::Double(f64::INFINITY), "+Inf"),
            (AMQPValue::Double(f64::NAN), "NaN"),
            (AMQPValue::Float(0.1), "0.1"),
            (
                AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 }),
                "{2 314}",
            ),
            (AMQPValue::FieldArray(array), "[true <nil>]"),
            (AMQPValue::FieldTable(table), "map[a:x y b:2]"),
            (AMQPValue::ByteArray(vec![1, 2].into()), "[1 2]"),
            (AMQPValue::Timestamp(0), "1970-01-01 00:00:00 +0000 UTC"),
            (
                AMQPValue::Timestamp(1_257_894_000),
                "2009-11-10 23:00:00 +0000 UTC",
            ),
            (
                AMQPValue::Timestamp(1_709_164_800),
                "2024-02-29 00:00:00 +0000 UTC",
            ),
            (AMQPValue::Void, "<nil>"),
        ];
        for (value, expected) in rows {
            assert_eq!(text_of(&value), expected);
        }
        assert!(text_of(&AMQPValue::Timestamp(u64::MAX)).ends_with("UTC"));
    }
}

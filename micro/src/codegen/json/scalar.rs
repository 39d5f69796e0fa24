//! Fields with one value.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde::de::{DeserializeOwned, Error, Visitor};
use serde::{Deserializer, Serialize, Serializer};

use super::Kind;
use crate::codec::EnumSchema;
use crate::codegen::ProtobufEnum;

/// Text and truth: as serde has them.
#[derive(Debug)]
pub struct Plain;

/// Messages, which say themselves how they are written.
#[derive(Debug)]
pub struct Nested;

/// Integers of 32 bits: numbers, also read from text.
#[derive(Debug)]
pub struct Integer;

/// Integers of 64 bits: text, also read from numbers.
#[derive(Debug)]
pub struct Long;

/// Floating point numbers; those that are no numbers have names.
#[derive(Debug)]
pub struct Float;

/// Bytes: Base64, read from its variant for URLs too, with padding or without.
#[derive(Debug)]
pub struct Binary;

/// An enumeration: names, also read from numbers; numbers without a name stay numbers.
#[derive(Debug)]
pub struct Enumeration<E>(PhantomData<fn() -> E>);

impl<T: Serialize + DeserializeOwned> Kind<T> for Plain {
    fn write<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

impl<T: Serialize + DeserializeOwned> Kind<T> for Nested {
    fn write<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

impl<T: Serialize + TryFrom<i128>> Kind<T> for Integer {
    fn write<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(IntegerVisitor(PhantomData))
    }
}

impl<T: fmt::Display + TryFrom<i128>> Kind<T> for Long {
    fn write<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(IntegerVisitor(PhantomData))
    }
}

struct IntegerVisitor<T>(PhantomData<fn() -> T>);

impl<T: TryFrom<i128>> IntegerVisitor<T> {
    fn fitting<E: Error>(value: i128) -> Result<T, E> {
        T::try_from(value).map_err(|_| E::custom(format_args!("{value} is out of range for its field")))
    }
}

impl<T: TryFrom<i128>> Visitor<'_> for IntegerVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        Self::fitting(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        Self::fitting(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        if value.fract() != 0.0 || !value.is_finite() {
            return Err(E::custom(format_args!("{value} is not a whole number")));
        }
        // What does not fit saturates far outside of 64 bits, and is refused there.
        #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
        let value = value as i128;
        Self::fitting(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        match (text.parse::<i128>(), text.parse::<f64>()) {
            (Ok(value), _) => Self::fitting(value),
            (_, Ok(value)) => self.visit_f64(value),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}

/// The two floating point types.
pub trait FloatingPoint: Copy + Serialize + Into<f64> {
    /// The nearest value, `None` where that would be infinite.
    fn nearest(value: f64) -> Option<Self>;
    /// A value that is no number.
    fn named(value: f64) -> Self;
}

impl FloatingPoint for f64 {
    fn nearest(value: f64) -> Option<Self> {
        value.is_finite().then_some(value)
    }

    fn named(value: f64) -> Self {
        value
    }
}

impl FloatingPoint for f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
    fn nearest(value: f64) -> Option<Self> {
        Some(value as Self).filter(|value| value.is_finite())
    }

    #[expect(clippy::cast_possible_truncation, reason = "such values lose nothing")]
    fn named(value: f64) -> Self {
        value as Self
    }
}

impl<T: FloatingPoint> Kind<T> for Float {
    fn write<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        match (*value).into() {
            number if number.is_finite() => value.serialize(serializer),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            _ => serializer.serialize_str("NaN"),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(FloatVisitor(PhantomData))
    }
}

struct FloatVisitor<T>(PhantomData<fn() -> T>);

impl<T: FloatingPoint> Visitor<'_> for FloatVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number, NaN, Infinity or -Infinity")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        #[expect(clippy::cast_precision_loss, reason = "as every reader of JSON does")]
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        #[expect(clippy::cast_precision_loss, reason = "as every reader of JSON does")]
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
        T::nearest(value).ok_or_else(|| E::custom(format_args!("{value} is out of range for its field")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        match text {
            "NaN" => Ok(T::named(f64::NAN)),
            "Infinity" => Ok(T::named(f64::INFINITY)),
            "-Infinity" => Ok(T::named(f64::NEG_INFINITY)),
            _ => match text.parse::<f64>() {
                Ok(value) => self.visit_f64(value),
                Err(_) => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
            },
        }
    }
}

impl<T: AsRef<[u8]> + From<Vec<u8>>> Kind<T> for Binary {
    fn write<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(value))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(BinaryVisitor).map(T::from)
    }
}

struct BinaryVisitor;

impl Visitor<'_> for BinaryVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<u8>, E> {
        const LENIENT: GeneralPurposeConfig =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        const USUAL: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
        const FOR_URLS: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);
        let engine = match text.contains(['-', '_']) {
            true => FOR_URLS,
            false => USUAL,
        };
        engine
            .decode(text)
            .map_err(|problem| E::custom(format_args!("not Base64: {problem}")))
    }
}

impl<E: ProtobufEnum> Kind<i32> for Enumeration<E> {
    fn write<S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
        match E::SCHEMA.values.iter().find(|(_, number)| number == value) {
            Some((name, _)) => serializer.serialize_str(name),
            None => serializer.serialize_i32(*value),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
        deserializer.deserialize_any(EnumVisitor(E::SCHEMA))
    }
}

struct EnumVisitor(EnumSchema);

impl Visitor<'_> for EnumVisitor {
    type Value = i32;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a value of {}", self.0.name)?;
        for (index, (name, _)) in self.0.values.iter().take(16).enumerate() {
            write!(formatter, "{}{name}", if index == 0 { ": " } else { ", " })?;
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<i32, E> {
        IntegerVisitor::<i32>::fitting(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<i32, E> {
        IntegerVisitor::<i32>::fitting(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<i32, E> {
        IntegerVisitor(PhantomData).visit_f64(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i32, E> {
        match self.0.values.iter().find(|(name, _)| *name == text) {
            Some((_, number)) => Ok(*number),
            None => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}

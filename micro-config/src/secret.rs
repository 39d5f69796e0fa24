//! Values that nothing prints.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A value that is not printed: [`Debug`](fmt::Debug) shows `***`, there is no `Display`, and an error about what it
/// was to be says nothing of what it is.
///
/// ```
/// # use micro_config::Secret;
/// let password = Secret::new("hunter2".to_owned());
/// assert_eq!(format!("{password:?}"), "***");
/// assert_eq!(password.expose(), "hunter2");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T = String>(T);

impl<T> Secret<T> {
    /// Hides a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. Whoever calls this takes care that it is not printed.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The value, no longer hidden.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What a type says about a value it refuses may repeat the value.
        let value = T::deserialize(deserializer);
        value
            .map(Self)
            .map_err(|_| de::Error::custom("a secret that is not of the type asked for"))
    }
}

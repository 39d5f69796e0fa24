//! A string that is cheap to clone: the type of every name on the path of a call.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;

/// An immutable UTF-8 string whose clone never copies the characters.
///
/// It is either static (a clone costs nothing) or shared (a clone counts a reference), and it may be a slice of
/// a larger buffer such as the head of a request.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(ByteString);

impl Text {
    /// The empty text.
    pub const fn new() -> Self {
        Self(ByteString::new())
    }

    /// A text that borrows a string constant and allocates nothing.
    pub const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part between two byte positions, sharing this text's buffer.
    ///
    /// `None` where a position lies outside the text or inside a character.
    pub fn slice(&self, start: usize, end: usize) -> Option<Self> {
        self.as_str()
            .get(start..end)
            .map(|part| Self(self.0.slice_ref(part)))
    }

    /// Checks that the bytes are UTF-8 and shares them.
    ///
    /// # Errors
    ///
    /// When the bytes are not UTF-8; the error says where they stop being it.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, std::str::Utf8Error> {
        ByteString::try_from(bytes).map(Self)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

// As `str` hashes, which `Borrow<str>` demands.
impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self(ByteString::from(text.as_str()))
    }
}

impl From<&Text> for Text {
    fn from(text: &Text) -> Self {
        text.clone()
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        Self(ByteString::from(text.into_owned()))
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl From<Text> for Bytes {
    fn from(text: Text) -> Self {
        text.0.into_bytes()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), formatter)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_shares_the_buffer_and_refuses_a_cut_character() {
        let text = Text::from("grüße");
        assert_eq!(text.slice(0, 2).unwrap(), "gr");
        assert!(text.slice(0, 3).is_none(), "inside ü");
        assert!(text.slice(0, 99).is_none());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert!(Text::from_utf8(Bytes::from_static(b"\xff")).is_err());
        assert_eq!(Text::from_utf8(Bytes::from_static(b"ok")).unwrap(), "ok");
    }
}

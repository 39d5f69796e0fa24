//! What travels beside a body: names and values, one value a name.

use std::fmt;

use smallvec::SmallVec;

use crate::Text;

/// Names and values that travel with a request, a response or a message.
///
/// A name has one value. Names are compared without regard to case, because carriers such as HTTP change it. An
/// empty set takes one pointer and no allocation. What was received is kept as the block of bytes that arrived,
/// so that unread metadata costs nothing.
#[derive(Clone, Default)]
pub struct Metadata(Option<Box<Pairs>>);

#[derive(Clone, Default)]
struct Pairs {
    /// A received head, and where in it the pairs are.
    head: Text,
    received: SmallVec<[Span; 4]>,
    own: Vec<(Text, Text)>,
}

/// Where a name and its value lie in a received head, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) name: (u32, u32),
    pub(crate) value: (u32, u32),
}

impl Metadata {
    /// An empty set.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Takes over a received head. The first of several values of a name counts.
    pub(crate) fn from_head(head: Text, received: SmallVec<[Span; 4]>) -> Self {
        if received.is_empty() {
            return Self(None);
        }
        Self(Some(Box::new(Pairs {
            head,
            received,
            own: Vec::new(),
        })))
    }

    /// Takes over pairs whose names differ, however many there are: unlike collecting them, this compares none.
    pub fn from_distinct(pairs: impl IntoIterator<Item = (Text, Text)>) -> Self {
        let own: Vec<_> = pairs.into_iter().collect();
        if own.is_empty() {
            return Self(None);
        }
        Self(Some(Box::new(Pairs {
            own,
            ..Pairs::default()
        })))
    }

    /// The value of a name, whatever its case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Whether the name has a value.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets the value of a name, in place of an earlier one.
    pub fn insert(&mut self, name: impl Into<Text>, value: impl Into<Text>) {
        let (name, value) = (name.into(), value.into());
        self.remove(&name);
        self.0.get_or_insert_default().own.push((name, value));
    }

    /// Takes a name out and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Text> {
        let pairs = self.0.as_deref_mut()?;
        let mut removed = None;
        let head = &pairs.head;
        pairs.received.retain(|span| {
            let matches = part(head, span.name).eq_ignore_ascii_case(name);
            if matches && removed.is_none() {
                removed = head.slice(span.value.0 as usize, span.value.1 as usize);
            }
            !matches
        });
        // Nearly always one at most; a message from outside may have the same name in several cases.
        while let Some(at) = pairs
            .own
            .iter()
            .position(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            removed = Some(pairs.own.swap_remove(at).1);
        }
        removed
    }

    /// All pairs: those received first, in their order, then those set here.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.as_deref().into_iter().flat_map(|pairs| {
            let received = pairs
                .received
                .iter()
                .map(|span| (part(&pairs.head, span.name), part(&pairs.head, span.value)));
            received.chain(
                pairs
                    .own
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str())),
            )
        })
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.0
            .as_deref()
            .map_or(0, |pairs| pairs.received.len() + pairs.own.len())
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn part(head: &Text, (start, end): (u32, u32)) -> &str {
    head.get(start as usize..end as usize).unwrap_or_default()
}

impl<N: Into<Text>, V: Into<Text>> Extend<(N, V)> for Metadata {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, pairs: I) {
        for (name, value) in pairs {
            self.insert(name, value);
        }
    }
}

impl<N: Into<Text>, V: Into<Text>> FromIterator<(N, V)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut metadata = Self::new();
        metadata.extend(pairs);
        metadata
    }
}

impl<N: Into<Text>, V: Into<Text>, const COUNT: usize> From<[(N, V); COUNT]> for Metadata {
    fn from(pairs: [(N, V); COUNT]) -> Self {
        pairs.into_iter().collect()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(head: &str) -> Metadata {
        let mut spans = SmallVec::new();
        let mut at = 0;
        for pair in head.split_inclusive(';') {
            let colon = pair.find(':').unwrap();
            let position = |offset: usize| u32::try_from(at + offset).unwrap();
            spans.push(Span {
                name: (position(0), position(colon)),
                value: (position(colon + 1), position(pair.len() - 1)),
            });
            at += pair.len();
        }
        Metadata::from_head(Text::from(head), spans)
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        let mut metadata = Metadata::from([("Foo-Bar", "1")]);
        assert_eq!(metadata.get("foo-bar"), Some("1"));
        metadata.insert("FOO-BAR", "2");
        assert_eq!(metadata.len(), 1);
        assert_eq!(metadata.get("Foo-bar"), Some("2"));
        assert_eq!(metadata.remove("foo-BAR").unwrap(), "2");
        assert!(metadata.is_empty());
    }

    #[test]
    fn received_pairs_can_be_read_replaced_and_removed() {
        let mut metadata = received("Foo:1;Bar:2;foo:3;");
        assert_eq!(metadata.get("FOO"), Some("1"), "the first value counts");
        metadata.insert("bar", "9");
        assert_eq!(metadata.get("Bar"), Some("9"));
        assert_eq!(metadata.remove("foo").unwrap(), "1");
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("bar", "9")]);
    }

    #[test]
    fn a_name_that_came_in_several_cases_is_replaced_as_one() {
        let pairs = [("X-User", "a"), ("x-user", "b")];
        let mut metadata = Metadata::from_distinct(pairs.map(|(name, value)| (name.into(), value.into())));
        metadata.insert("X-USER", "c");
        assert_eq!(metadata.iter().collect::<Vec<_>>(), [("X-USER", "c")]);
    }

    #[test]
    fn an_empty_set_is_one_pointer() {
        assert_eq!(size_of::<Metadata>(), size_of::<usize>());
    }
}

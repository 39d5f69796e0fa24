//! Which keys are meant.

/// All keys from one on and before another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

impl KeyRange {
    /// All keys that begin with a prefix. With an empty one, all that there are.
    pub fn prefixed(prefix: &str) -> Self {
        let start = match prefix {
            // There is no empty key.
            "" => &[0],
            prefix => prefix.as_bytes(),
        };
        Self {
            start: start.to_vec(),
            end: end_of(prefix),
        }
    }

    /// A key, and what is below it as if keys were folders. Keys between the two, such as `a-b` between `a` and `a/b`, are
    /// in it, too: whoever asks is to leave them out.
    pub fn key_and_below(key: &str) -> Self {
        Self {
            start: key.as_bytes().to_vec(),
            end: end_of(&format!("{key}/")),
        }
    }

    /// The request for them, as [`proto::RANGE`](crate::proto::RANGE) takes it.
    pub fn request(&self) -> crate::proto::RangeRequest {
        crate::proto::RangeRequest {
            key: self.start.clone(),
            range_end: self.end.clone(),
            serializable: false,
            count_only: false,
        }
    }
}

/// The first key behind all that begin with a prefix.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Everything from the prefix on.
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_behind_its_prefix() {
        assert_eq!(end_of("/a/"), b"/a0");
        assert_eq!(end_of(""), [0]);
        let range = KeyRange::key_and_below("/a");
        assert_eq!(
            (range.start.as_slice(), range.end.as_slice()),
            (&b"/a"[..], &b"/a0"[..])
        );
    }
}

//! W3C trace context: which trace a call belongs to, and what caused it.

use std::fmt;

use crate::{Metadata, Text};

/// The name under which a trace context travels.
pub const TRACEPARENT: &str = "traceparent";
/// What tracing systems add to it. Passed on as it is.
pub const TRACESTATE: &str = "tracestate";

/// The length of the text in the version that this side writes, and of the part that every version begins with.
const LENGTH: usize = 55;
/// The flag that the caller records the trace. The only one that goes on: others are for later versions of the
/// specification, and readers of this one may refuse them.
const SAMPLED: u8 = 0b01;

/// The trace that a call belongs to, and the span in it that the call comes from: what the header `traceparent`
/// says.
///
/// ```
/// use micro_core::Metadata;
/// use micro_core::handler::TraceContext;
///
/// let arrived = Metadata::from([("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]);
/// let mut sent = Metadata::new();
/// if let Some(trace) = TraceContext::of(&arrived) {
///     trace.child().write_to(&mut sent);
/// }
/// assert!(sent.get("traceparent").is_some_and(|text| text.starts_with("00-0af7651916cd43dd8448eb211c80319c-")));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl TraceContext {
    /// Begins a trace, which all who hear of it shall record.
    pub fn begin() -> Self {
        Self {
            trace: fastrand::u128(1..).to_be_bytes(),
            span: span_id(),
            flags: SAMPLED,
        }
    }

    /// Reads a `traceparent`. `None` where it is not exactly as the specification has it; only the first 56 bytes
    /// are looked at.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, rest) = text.as_bytes().split_at_checked(LENGTH)?;
        let version = u8::from_be_bytes(hex(head, 0)?);
        let is_separated = [2, 35, 52].into_iter().all(|at| head.get(at) == Some(&b'-'));
        let is_ended = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => matches!(rest, [] | [b'-', ..]),
        };
        if !is_separated || !is_ended {
            return None;
        }
        let trace = hex(head, 3)?;
        let span = hex(head, 36)?;
        let [flags] = hex(head, 53)?;
        let is_valid = trace != [0; 16] && span != [0; 8];
        is_valid.then_some(Self { trace, span, flags })
    }

    /// What came with a request or an event, if something valid did.
    pub fn of(metadata: &Metadata) -> Option<Self> {
        metadata.get(TRACEPARENT).and_then(Self::parse)
    }

    /// The same trace, from a new span on: what goes with what this span causes.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            trace: self.trace,
            span: span_id(),
            flags: self.flags & SAMPLED,
        }
    }

    /// Sets the `traceparent`, in place of another.
    pub fn write_to(&self, metadata: &mut Metadata) {
        metadata.insert(Text::from_static(TRACEPARENT), self.to_string());
    }

    /// The trace's id: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace))
    }

    /// The span's id: 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", u64::from_be_bytes(self.span))
    }

    /// Whether the caller records the trace, so that this side should, too.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

fn span_id() -> [u8; 8] {
    fastrand::u64(1..).to_be_bytes()
}

/// Reads lower-case hexadecimal digits from a position on.
fn hex<const COUNT: usize>(text: &[u8], at: usize) -> Option<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    let digits = text.get(at..at + 2 * COUNT)?;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

impl fmt::Display for TraceContext {
    /// As `traceparent` has it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "00-{:032x}-{:016x}-{:02x}",
            u128::from_be_bytes(self.trace),
            u64::from_be_bytes(self.span),
            self.flags & SAMPLED
        )
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TraceContext({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written_again() {
        let context = TraceContext::parse(VALID).unwrap();
        assert_eq!(context.to_string(), VALID);
        assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id(), "b7ad6b7169203331");
        assert!(context.is_sampled());
        assert!(
            !TraceContext::parse(&VALID.replace("-01", "-00"))
                .unwrap()
                .is_sampled()
        );
    }

    #[test]
    fn a_child_is_another_span_of_the_same_trace() {
        let context = TraceContext::parse(&VALID.replace("-01", "-fd")).unwrap();
        let child = context.child();
        assert_eq!(child.trace_id(), context.trace_id());
        assert_ne!(child.span_id(), context.span_id());
        assert!(child.to_string().ends_with("-01"), "unknown flags end here");
        assert_ne!(TraceContext::begin(), TraceContext::begin());
        let begun = TraceContext::begin();
        assert_eq!(TraceContext::parse(&begun.to_string()), Some(begun));
    }

    #[test]
    fn later_versions_may_go_on() {
        for (text, is_read) in [
            (VALID.replacen("00", "01", 1), true),
            (VALID.replacen("00", "cc", 1) + "-what-the-future-brings", true),
            (VALID.replacen("00", "01", 1) + ".", false),
            (VALID.to_owned() + "-more", false),
            (VALID.replacen("00", "ff", 1), false),
        ] {
            assert_eq!(TraceContext::parse(&text).is_some(), is_read, "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_none() {
        for text in [
            "",
            "00",
            &VALID[1..],
            &VALID[..54],
            &VALID.to_uppercase(),
            &VALID.replace("0af", "+af"),
            &VALID.replace("b7ad", "b7äd"),
            &VALID.replace('-', "_"),
            &format!(" {VALID}"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            &"0".repeat(100_000),
        ] {
            assert_eq!(TraceContext::parse(text), None, "{text}");
        }
    }
}

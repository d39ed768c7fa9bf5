//! To which trace some work belongs: what W3C's Trace Context calls `traceparent`.
//!
//! Source: <https://www.w3.org/TR/trace-context/>, version 00: `00-TRACE-SPAN-FLAGS`, small hexadecimal digits, ids that
//! are not zero.

use std::fmt;
use std::str::FromStr;

/// Letters of a `traceparent` of version 00.
const LETTERS: usize = 55;

/// A place in a trace: the work that asked for this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

/// That a text is no `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no traceparent of W3C's Trace Context, as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 is")]
pub struct TraceParentError;

impl TraceParent {
    /// Makes a place of a trace's id, the id of the span that asks, and its flags (1: it is recorded); none when an id is
    /// zero.
    pub const fn new(trace: u128, span: u64, flags: u8) -> Option<Self> {
        if trace == 0 || span == 0 { None } else { Some(Self { trace, span, flags }) }
    }

    /// Returns the trace's id.
    pub const fn trace(&self) -> u128 {
        self.trace
    }

    /// Returns the id of the span that asks.
    pub const fn span(&self) -> u64 {
        self.span
    }

    /// Returns the flags; 1 when it is recorded.
    pub const fn flags(&self) -> u8 {
        self.flags
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_small_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = text.split('-');
        let (Some(version), Some(trace), Some(span), Some(flags)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TraceParentError);
        };
        // A later version may say more behind it; its beginning means the same. 255 is forbidden.
        let is_later = version != "00" && version != "ff";
        let lengths = (version.len(), trace.len(), span.len(), flags.len());
        let whole = text.len() == LETTERS || is_later;
        if lengths != (2, 32, 16, 2) || !whole || ![version, trace, span, flags].into_iter().all(is_small_hex) {
            return Err(TraceParentError);
        }
        if version == "ff" {
            return Err(TraceParentError);
        }
        let number = |part: &str| u128::from_str_radix(part, 16).map_err(|_| TraceParentError);
        let (trace, span, flags) = (number(trace)?, number(span)?, number(flags)?);
        let (Ok(span), Ok(flags)) = (u64::try_from(span), u8::try_from(flags)) else { return Err(TraceParentError) };
        Self::new(trace, span, flags).ok_or(TraceParentError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let place: TraceParent = text.parse().unwrap();
        assert_eq!((place.to_string().as_str(), place.flags()), (text, 1));
        assert_eq!(TraceParent::new(place.trace(), place.span(), place.flags()), Some(place));
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes";
        assert_eq!(later.parse(), Ok(place));
    }

    #[test]
    fn what_the_standard_forbids_is_refused() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "+0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(TraceParentError), "{text}");
        }
    }
}

//! What an event carries so that its receiver can account for it: topic, place in that topic's order, moment of publishing.

use std::fmt::Write as _;
use std::str::FromStr;

use crate::failure::Failure;

/// Bytes of an event's data; with the lines that [`block`] puts around it, an event is 200 bytes.
pub const BODY_BYTES: usize = 162;
/// The event name that marks a measured event.
pub const EVENT_NAME: &str = "bench";

const TO: usize = r#"{"to":""#.len();
const TO_END: usize = TO + 6;
const SEQ: usize = TO_END + r#"","seq":""#.len();
const SEQ_END: usize = SEQ + 12;
const AT: usize = SEQ_END + r#"","at":""#.len();
const AT_END: usize = AT + 19;

/// Whether topics are channels (many streams each) or users (one stream each).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Channel,
    User,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::User => "user",
        }
    }
}

impl FromStr for Kind {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "channel" => Ok(Self::Channel),
            "user" => Ok(Self::User),
            _ => Err(Failure::Protocol(format!("no kind of topic: {text}"))),
        }
    }
}

/// To whom an event goes: the channel or user of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    pub kind: Kind,
    pub number: u32,
}

/// What one event says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Number of the topic.
    pub to: u32,
    /// Place in the order of that topic, from 0 without holes.
    pub seq: u64,
    /// Nanoseconds of the monotonic clock: when it was due at a fixed rate, when it was published otherwise.
    pub at: u64,
}

impl Payload {
    /// The data line: JSON of exactly [`BODY_BYTES`].
    pub fn write(&self) -> String {
        let mut body = String::with_capacity(BODY_BYTES);
        write!(body, r#"{{"to":"{:06}","seq":"{:012}","at":"{:019}","pad":""#, self.to, self.seq, self.at)
            .expect("writing to a string cannot fail");
        while body.len() < BODY_BYTES - 2 {
            body.push('.');
        }
        body.push_str("\"}");
        body
    }

    /// Reads what `write` wrote; `None` for anything else.
    pub fn read(body: &[u8]) -> Option<Self> {
        if body.len() != BODY_BYTES || !body.starts_with(br#"{"to":""#) || !body.ends_with(b".\"}") {
            return None;
        }
        Some(Self {
            to: u32::try_from(digits(&body[TO..TO_END])?).ok()?,
            seq: digits(&body[SEQ..SEQ_END])?,
            at: digits(&body[AT..AT_END])?,
        })
    }
}

fn digits(text: &[u8]) -> Option<u64> {
    let mut value: u64 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// The SSE block of an event as a server without further duties writes it, 200 bytes.
pub fn block(id: u64, body: &str) -> String {
    format!("id: {id:012}\nevent: {EVENT_NAME}\ndata: {body}\n\n")
}

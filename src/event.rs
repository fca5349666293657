//! The nouns of the product: user, channel, audience, message, event and event id; no behaviour beyond their own text form.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

macro_rules! shared_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}

shared_name! {
    /// A user as the token names it. Data: wildcard characters in it match only themselves.
    UserId
}
shared_name! {
    /// A named group of events that a browser may subscribe to; words separated by `.`.
    ChannelName
}

/// To whom an event goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Audience {
    Everyone,
    User(UserId),
    Channel(ChannelName),
}

impl Audience {
    /// The user's or channel's name; empty for everyone.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Everyone => "",
            Self::User(user) => user.as_str(),
            Self::Channel(channel) => channel.as_str(),
        }
    }
}

/// The name of an event on the wire; free of CR, LF and NUL whatever it was made from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EventName(Arc<str>);

impl EventName {
    /// The name that `EventSource` dispatches to `onmessage`.
    pub const MESSAGE: &'static str = "message";
    /// Names that `EventSource` or this program dispatches itself.
    pub const RESERVED: [&'static str; 7] =
        ["error", "open", "connected", "gap", "token-expiring", "token-expired", "disconnected"];

    /// Takes any text; CR, LF and NUL become U+FFFD, an empty text becomes `message`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if text.is_empty() {
            return Self(Arc::from(Self::MESSAGE));
        }
        if text.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Self(Arc::from(text.replace(['\r', '\n', '\0'], "\u{FFFD}")));
        }
        Self(Arc::from(text))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn is_reserved(&self) -> bool {
        Self::RESERVED.contains(&self.as_str())
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What a mapping made of a message: data with a name, for one or more audiences. Its id is given when it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub audiences: Vec<Audience>,
    pub name: EventName,
    /// UTF-8 text.
    pub data: Bytes,
}

/// A message header or property value as far as a mapping can use it.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Text(String),
    Integer(i64),
    Boolean(bool),
    /// A table, an array, a float or bytes that are not UTF-8: present, but nothing that can name anything.
    Unusable,
}

/// The basic properties of AMQP 0-9-1 §1.8.3 (class basic) under their AMQP names, with `_`.
pub const PROPERTIES: [&str; 13] = [
    "app_id",
    "cluster_id",
    "content_encoding",
    "content_type",
    "correlation_id",
    "delivery_mode",
    "expiration",
    "message_id",
    "priority",
    "reply_to",
    "timestamp",
    "type",
    "user_id",
];

/// One message as the mappings see it, from whatever source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    pub routing_key: String,
    /// Headers by name; a name occurs at most once (AMQP 0-9-1 §4.2.5.5 leaves duplicates undefined).
    pub headers: Vec<(String, Scalar)>,
    /// Those of [`PROPERTIES`] that the message has.
    pub properties: Vec<(&'static str, Scalar)>,
    pub body: Bytes,
}

/// Where an event stands in its source's order: the source's offset, then the part within that delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub offset: u64,
    /// 1 for the first event a delivery was mapped to, 2 for the next; 0 is the place before them, which a delivery
    /// without events has as well.
    pub part: u16,
}

impl Position {
    /// The place of the first event of the delivery at `offset`.
    #[must_use]
    pub const fn at(offset: u64) -> Self {
        Self { offset, part: 1 }
    }

    /// The place before every event of the delivery at `offset`.
    #[must_use]
    pub const fn before(offset: u64) -> Self {
        Self { offset, part: 0 }
    }
}

/// Tells a position from the same position of another history: a history in memory has one mark for its whole life,
/// a shared one has a mark for each offset, made from what stands there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark(pub u64);

/// The `id:` of an event: mark and position, written `5f3a9c01e2-1207`, or `5f3a9c01e2-1207.2` for another part than the first.
/// All parts of one delivery have the same mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventId {
    pub mark: Mark,
    pub position: Position,
}

impl EventId {
    /// The ids of this delivery's events, from the first on. A message has fewer events than there are mappings times
    /// audiences, far below 2^16.
    pub fn parts(self) -> impl Iterator<Item = Self> {
        let Self { mark, position: Position { offset, .. } } = self;
        (1..=u16::MAX).map(move |part| Self { mark, position: Position { offset, part } })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.mark.0, self.position.offset)?;
        match self.position.part {
            1 => Ok(()),
            part => write!(f, ".{part}"),
        }
    }
}

/// The text is not an event id that this program writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event id")]
pub struct NotAnEventId;

impl FromStr for EventId {
    type Err = NotAnEventId;

    /// Accepts exactly what `Display` writes, so that one position has one text.
    fn from_str(text: &str) -> Result<Self, NotAnEventId> {
        let (mark, position) = text.split_once('-').ok_or(NotAnEventId)?;
        let (offset, part) = position.split_once('.').unwrap_or((position, "1"));
        let id = Self {
            mark: Mark(u64::from_str_radix(mark, 16).map_err(|_| NotAnEventId)?),
            position: Position {
                offset: offset.parse().map_err(|_| NotAnEventId)?,
                part: part.parse().map_err(|_| NotAnEventId)?,
            },
        };
        if id.to_string() == text { Ok(id) } else { Err(NotAnEventId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_event_name_never_breaks_a_line() {
        assert_eq!(EventName::new("a\r\nb\0").as_str(), "a\u{FFFD}\u{FFFD}b\u{FFFD}");
        assert_eq!(EventName::new("").as_str(), "message");
        assert!(EventName::new("error").is_reserved());
        assert!(!EventName::new("Error").is_reserved());
    }

    #[test]
    fn only_the_written_form_of_an_id_is_read() {
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "01-1",
            "1-01",
            "1-1.1",
            "1-1.",
            "+1-1",
            "1-+1",
            "A-1",
            "1-1.65536",
            "1--1",
            "1-1 ",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(NotAnEventId), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn an_id_survives_its_text(mark: u64, offset: u64, part: u16) {
            let id = EventId { mark: Mark(mark), position: Position { offset, part } };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            if let Ok(id) = text.parse::<EventId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}

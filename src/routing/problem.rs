//! What can be wrong with a `[[mapping]]`: every sentence a fault of this room says, without the key path before it.

use super::{MAX_MAPPINGS, MAX_VALUE_BYTES};

/// AMQP 0-9-1 §4.2.5.3: a short string, which a binding key is, holds at most this many bytes.
pub(super) const MAX_BINDING_KEY_BYTES: usize = 255;

/// One thing wrong with one setting of a mapping; its text is a clause for [`crate::setting::Fault`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("is missing; `#` matches every routing key")]
    KeyMissing,
    #[error("gives a binding key of {0} bytes, and AMQP allows {MAX_BINDING_KEY_BYTES}")]
    KeyTooLong(usize),
    #[error("has a `{{` without its `}}`; a literal brace is written twice")]
    Unclosed,
    #[error("has a `}}` without its `{{`; a literal brace is written twice")]
    Stray,
    #[error("has `{{{0}}}` as a part of a word; a capture is a whole word between dots")]
    CaptureInWord(String),
    #[error(
        "has `{{{0}}}`; the name of a capture is letters, digits, `_` and `-`, with `...` behind it for several words"
    )]
    CaptureName(String),
    #[error("captures `{{{0}}}` twice")]
    CaptureTwice(String),
    #[error("uses `{{{0}}}`, which the routing key does not capture")]
    CaptureUnknown(String),
    #[error("uses `{{{0}}}`; the dots of a capture are written in the routing key only")]
    CaptureDots(String),
    #[error("uses `{{{0}:…}}`; a source is a capture, `header:…`, `property:…` or `body:…`")]
    SourceUnknown(String),
    #[error("uses `{{header:}}` without the name of a header")]
    HeaderUnnamed,
    #[error("uses the property `{given}`; the properties are {known}", known = crate::event::PROPERTIES.join(", "))]
    PropertyUnknown { given: String },
    #[error("has `{0}`, which is no JSON pointer: it is empty or begins with `/`")]
    PointerStart(String),
    #[error("has `{0}`, which is no JSON pointer: `~` is written `~0` and `/` in a name `~1`")]
    PointerEscape(String),
    #[error("is empty")]
    Empty,
    #[error("is longer than {MAX_VALUE_BYTES} bytes")]
    ValueTooLong,
    #[error("sends to nobody; set `user`, `channel` or `everyone`")]
    NoAudience,
    #[error("is redundant beside `everyone = true`")]
    BesideEveryone,
    #[error("makes no other name of the reserved event name `{0}`")]
    PrefixUseless(&'static str),
    #[error("are more than {MAX_MAPPINGS}")]
    TooManyMappings,
}

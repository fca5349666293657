//! The `[[mapping]]` tables as they are written; what they mean is compiled elsewhere.

use serde::{Deserialize, Serialize};

/// One `[[mapping]]`: a routing-key pattern with captures, and what becomes of a message that it matches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MappingConfig {
    /// `{x}` captures one word, `{x...}` one or more words, `*` and `#` as in AMQP.
    pub routing_key: String,
    pub user: OneOrMany,
    pub channel: OneOrMany,
    pub everyone: bool,
    /// Event name; `message` when empty.
    pub event: String,
    /// JSON pointer (RFC 6901) to the part of a JSON body that is sent; the whole body when empty.
    pub data: String,
    pub binary: Binary,
    /// Whether later mappings are tried as well after this one matched.
    #[serde(rename = "continue")]
    pub carry_on: bool,
}

/// What becomes of a body that is not UTF-8 text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binary {
    /// Sent as base64 (RFC 4648 §4) under the event name with `+base64` behind it.
    #[default]
    Base64,
    Drop,
}

/// A list that may be written as one string when it has one element.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "StringOrList")]
pub struct OneOrMany(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
enum StringOrList {
    One(String),
    Many(Vec<String>),
}

impl From<&str> for OneOrMany {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::default() } else { Self(vec![text.to_owned()]) }
    }
}

impl From<StringOrList> for OneOrMany {
    fn from(written: StringOrList) -> Self {
        match written {
            StringOrList::One(text) => Self::from(text.as_str()),
            StringOrList::Many(texts) => Self(texts),
        }
    }
}

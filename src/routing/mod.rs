//! From a message to its audience: the mapping rules, compiled once; pure, knows neither broker nor hub.
//!
//! **Which mappings.** They are tried in the order of the configuration. The first that matches the routing key ends the
//! search, also when it cannot be followed, unless it says `continue = true`; with that the later ones are tried too,
//! whatever became of this one.
//!
//! **Patterns.** A `routing_key` is words separated by `.`: literals, `*` for one word, `#` for any number, `{x}` for one
//! that is captured, `{x...}` for one or more captured with their dots. A capture is a whole word of the pattern. Where
//! several readings are possible, the earlier a wildcard stands, the fewer words it takes. Words may be empty, as in
//! RabbitMQ.
//!
//! **Templates.** `user`, `channel` and `event` mix literal text with `{capture}`, `{header:name}`, `{property:name}` and
//! `{body:/json/pointer}`; `{{` and `}}`, here and in patterns, are literal braces, and a name between braces holds none.
//! Names of headers are compared with their case. A string stands for itself and an integer for its decimal text;
//! nothing else names anything. An event name that comes out empty is `message`, a reserved one gets the configured
//! prefix.
//!
//! **Events.** A mapping gives one [`Event`](crate::event::Event) for all its audiences, or none: if one audience, the
//! name or the data cannot be had, the whole mapping is rejected for one [`Reason`]. Data is the body, or what its `data`
//! pointer names in it, byte for byte. A body that is not UTF-8 text is dropped or sent as base64 (RFC 4648 §4) under
//! the event name with [`BASE64_SUFFIX`] behind it, and behind the prefix of a reserved name.

mod brace;
mod config;
mod mappings;
mod pattern;
mod pointer;
mod problem;
mod reject;
mod rule;
mod source;
mod table;
mod template;
mod trie;

pub use config::{Binary, MappingConfig, OneOrMany};
pub use mappings::Mappings;
pub use reject::{Reason, Reject};
pub use table::{Mapped, MappingTable, Step};

/// Longest user, channel or event name, in bytes; a longer one is a [`Reason::ValueTooLong`].
pub const MAX_VALUE_BYTES: usize = 1024;

/// Most mappings of one table: the parts of one message are counted in the 16 bits of
/// [`Position::part`](crate::event::Position::part).
pub const MAX_MAPPINGS: usize = 65_535;

/// Put behind the name of an event whose data is base64.
pub const BASE64_SUFFIX: &str = "+base64";

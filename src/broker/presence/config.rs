//! The `[presence]` section as it is written.

use serde::{Deserialize, Serialize};

use crate::setting::Span;

/// `[presence]`: messages to RabbitMQ about users whose first stream has opened or whose last one has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PresenceConfig {
    /// The exchange that they are published to; empty for none.
    pub exchange: String,
    /// Declare the exchange, durable and of type topic; otherwise it is used as it is.
    pub declare: bool,
    /// With `{user}`, escaped to one word, and `{state}`, which is `online` or `offline`.
    pub routing_key: String,
    /// A user is offline when no stream has come back for this long.
    pub linger: Span,
    /// How this process is named in the messages; its host's name when empty.
    pub replica: String,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            exchange: String::new(),
            declare: false,
            routing_key: "sse.user.{user}.{state}".into(),
            linger: Span::from_secs(5),
            replica: String::new(),
        }
    }
}

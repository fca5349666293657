//! The `[broker]` section as it is written.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::setting::{Secret, Span};

/// `[broker]`: the RabbitMQ exchange that is consumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokerConfig {
    /// AMQP URIs, tried in turn; secrets, since they hold a password.
    pub urls: Vec<Secret>,
    /// A file with one AMQP URI a line, in place of `urls`.
    pub urls_file: Option<String>,
    /// PEM file of certificate authorities for `amqps`, in place of the system's.
    pub ca_file: Option<String>,
    pub exchange: String,
    /// Declare the exchange, durable and of type topic; otherwise it is used as it is.
    pub declare: bool,
    /// Name prefix of the queues and of the exchange between them that this process declares for itself.
    pub queue_prefix: String,
    /// The queue drops its oldest message beyond this many (`x-max-length`) …
    pub queue_max_length: u32,
    /// … or beyond this many bytes (`x-max-length-bytes`).
    pub queue_max_bytes: ByteSize,
    /// Messages that may be delivered and not yet acknowledged.
    pub prefetch: u16,
    /// Messages are acknowledged together, at the latest after this time.
    pub ack_interval: Span,
    /// A message with a larger body is counted and not sent.
    pub max_message_bytes: ByteSize,
    /// AMQP heartbeat; a silent connection is given up after about twice this.
    pub heartbeat: Span,
    /// For the TCP and TLS handshake and the AMQP opening together.
    pub connect_timeout: Span,
    /// First and longest wait before a new attempt; each is jittered.
    pub reconnect_min: Span,
    pub reconnect_max: Span,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            urls: vec![Secret::new("amqp://guest:guest@127.0.0.1:5672/%2f")],
            urls_file: None,
            ca_file: None,
            exchange: "events".into(),
            declare: false,
            queue_prefix: "cottontail".into(),
            queue_max_length: 100_000,
            queue_max_bytes: ByteSize::mib(64),
            prefetch: 1000,
            ack_interval: Span::from_millis(200),
            max_message_bytes: ByteSize::mib(1),
            heartbeat: Span::from_secs(10),
            connect_timeout: Span::from_secs(10),
            reconnect_min: Span::from_millis(100),
            reconnect_max: Span::from_secs(10),
        }
    }
}

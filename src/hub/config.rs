//! The `[history]` and `[stream]` sections: what is kept, and what one stream gets. The limits on opening streams by address and rate are the server's to keep to.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::setting::Span;

/// `[history]`: the events kept for browsers that come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryConfig {
    pub kind: HistoryKind,
    /// Name of the stream queue that every replica reads.
    pub stream: String,
    /// Declare the stream where it is missing.
    pub declare: bool,
    /// What the stream keeps (`x-max-age`, in whole seconds) …
    pub max_age: Span,
    /// … and at most this much of it (`x-max-length-bytes`).
    pub max_bytes: ByteSize,
    /// The broker applies both limits to whole segments of this size (`x-stream-max-segment-size-bytes`).
    pub segment_bytes: ByteSize,
    /// Size of the ring of recent events, bookkeeping included.
    pub memory: ByteSize,
    /// At the start the ring is filled with at most this many messages of the stream …
    pub warm_events: u32,
    /// … that are no older than this.
    pub warm_age: Span,
    /// Consumers that read what is older than the ring, at once.
    pub replay_readers: usize,
    /// Messages whose `message_id` is remembered, so that one that is published again is not sent again; 0 for none.
    pub dedupe_message_ids: usize,
    /// A message that ends the connection this often is stepped over.
    pub poison_retries: u32,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            kind: HistoryKind::default(),
            stream: "cottontail.events".into(),
            declare: true,
            max_age: Span::from_secs(3600),
            max_bytes: ByteSize::gib(1),
            segment_bytes: ByteSize::mib(20),
            memory: ByteSize::mib(64),
            warm_events: 50_000,
            warm_age: Span::from_secs(600),
            replay_readers: 4,
            dedupe_message_ids: 0,
            poison_retries: 3,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HistoryKind {
    /// A stream queue at the broker, which all replicas share: ids mean the same on each of them and after a restart.
    #[default]
    Stream,
    /// A ring in this process alone: a restart and a broker reconnection both leave a gap, which is said.
    Memory,
}

/// What becomes of a stream beyond `stream.max_streams_per_user`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PerUser {
    /// It is told to try again later.
    #[default]
    Refuse,
    /// It is opened, and the user's oldest one ends.
    EndOldest,
}

/// `[stream]`: what one open stream gets and how much may wait for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamConfig {
    pub heartbeat: Span,
    /// Name of the heartbeat event; a comment when empty.
    pub heartbeat_event: String,
    /// Reconnection time told to browsers, jittered by half of it either way.
    pub retry: Span,
    /// A stream ends after this time, jittered by a tenth, and its browser reconnects; 0 for never.
    pub max_connection_age: Span,
    /// A stream is told this long before its token expires; 0 for not at all.
    pub token_expiring: Span,
    /// A subscriber with more events waiting than this …
    pub queue_events: usize,
    /// … or more bytes waiting is cut off; it resumes from history.
    pub queue_bytes: ByteSize,
    /// A stream whose socket takes nothing for this long is cut off, at the latest a heartbeat later.
    pub write_timeout: Span,
    /// Under load events are gathered for this long before they are sent, so that those of one audience leave together.
    /// 0 by default: what arrives while streams are written is merged anyway, and waiting on top of it gained nothing
    /// at saturation.
    pub pace: Span,
    /// Streams open at once in this process; more are told to try again later.
    pub max_streams: usize,
    /// … of one user; 0 for any number.
    pub max_streams_per_user: usize,
    /// What becomes of one more.
    pub per_user: PerUser,
    /// … to one client address, or to one /64 of IPv6; 0 for any number.
    pub max_streams_per_address: usize,
    /// Streams opened in a second, kept over ten seconds; 0 for any number.
    pub max_opens_per_second: u32,
    /// … by one client address; 0 for any number.
    pub max_opens_per_second_per_address: u32,
    /// The longest reconnection time that is told to who is turned away.
    pub max_retry: Span,
    /// A stream that is sent more live events in a second, kept over ten seconds, is ended; 0 for any number.
    pub max_events_per_second: u32,
    /// … or more bytes.
    pub max_bytes_per_second: ByteSize,
    /// Channels that one subscription may ask for.
    pub max_channels: usize,
    /// Put before an event name that would collide with one that `EventSource` or this program dispatches itself.
    pub reserved_prefix: String,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            heartbeat: Span::from_secs(15),
            heartbeat_event: String::new(),
            retry: Span::from_secs(2),
            max_connection_age: Span::from_secs(3600),
            token_expiring: Span::from_secs(60),
            queue_events: 256,
            queue_bytes: ByteSize::mib(1),
            write_timeout: Span::from_secs(30),
            pace: Span::from_millis(0),
            max_streams: 100_000,
            max_streams_per_user: 1000,
            per_user: PerUser::default(),
            max_streams_per_address: 10_000,
            max_opens_per_second: 10_000,
            max_opens_per_second_per_address: 1000,
            max_retry: Span::from_secs(60),
            max_events_per_second: 0,
            max_bytes_per_second: ByteSize(0),
            max_channels: 64,
            reserved_prefix: "app-".into(),
        }
    }
}

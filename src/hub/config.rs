//! The `[history]` section and the part of `[stream]` that the hub keeps to.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::setting::Span;

/// `[history]`: the events kept for browsers that come back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryConfig {
    pub kind: HistoryKind,
    /// Size of the ring of recent events, bookkeeping included.
    pub memory: ByteSize,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self { kind: HistoryKind::default(), memory: ByteSize::mib(64) }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HistoryKind {
    /// A ring in this process alone: a restart and a broker reconnection both leave a gap, which is said.
    #[default]
    Memory,
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
            queue_events: 256,
            queue_bytes: ByteSize::mib(1),
            write_timeout: Span::from_secs(30),
            pace: Span::from_millis(0),
            max_streams: 100_000,
            max_channels: 64,
            reserved_prefix: "app-".into(),
        }
    }
}

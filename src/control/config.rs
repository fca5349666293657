//! The `[control]` section as it is written.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::setting::Span;

/// `[control]`: how the application ends streams and revokes tokens by publishing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ControlConfig {
    /// Messages with this routing key are orders; none when empty.
    pub disconnect: String,
    /// Name of the stream that keeps them, so that a process that starts later knows what was revoked.
    pub stream: String,
    /// A revocation that does not say until when it holds does so for this time; the stream keeps orders for it as well.
    pub remember: Span,
    /// Size of that stream.
    pub max_bytes: ByteSize,
    /// Revocations that are known at once; beyond that, those that end first are forgotten.
    pub max_revoked: usize,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            disconnect: String::new(),
            stream: "cottontail.control".into(),
            remember: Span::from_secs(24 * 3600),
            max_bytes: ByteSize::mib(16),
            max_revoked: 100_000,
        }
    }
}

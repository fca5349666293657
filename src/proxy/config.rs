//! The `[upstream]` section as it is written.

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::setting::Span;

/// `[upstream]`: the application that gets every request which no endpoint claims.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpstreamConfig {
    /// `http://host:port`; without it such requests are answered with 404.
    pub url: Option<String>,
    /// Whether it is spoken to in HTTP/2 without TLS, by prior knowledge (RFC 9113 §3.3).
    pub http2: bool,
    pub host: HostPolicy,
    /// To open a connection, or to wait for one that is free.
    pub connect_timeout: Span,
    /// From the last byte of a request to the first of its response.
    pub first_byte_timeout: Span,
    /// Silence within a request's or a response's body.
    pub idle_timeout: Span,
    /// Silence of a tunnel, as of a WebSocket, in both directions.
    pub tunnel_idle_timeout: Span,
    /// An unused connection is closed after this time; shorter than the application's own limit.
    pub pool_idle_timeout: Span,
    /// Unused connections that each worker keeps.
    pub max_idle_connections: usize,
    /// Connections of the whole process, tunnels included.
    pub max_connections: usize,
    /// Requests under way at once in the whole process; more are refused.
    pub max_requests: usize,
    /// Of a request; 0 for any size.
    pub max_body_bytes: ByteSize,
}

/// Which `Host` the application sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostPolicy {
    /// The browser's.
    #[default]
    Keep,
    /// That of `url`.
    Upstream,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            url: None,
            http2: false,
            host: HostPolicy::default(),
            connect_timeout: Span::from_secs(5),
            first_byte_timeout: Span::from_secs(60),
            idle_timeout: Span::from_secs(300),
            tunnel_idle_timeout: Span::from_secs(3600),
            pool_idle_timeout: Span::from_secs(4),
            max_idle_connections: 64,
            max_connections: 1024,
            max_requests: 2048,
            max_body_bytes: ByteSize(0),
        }
    }
}

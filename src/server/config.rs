//! The `[server]`, `[server.tls]`, `[admin]`, `[cors]` sections and the `[[endpoint]]` tables as they are written.

use std::net::SocketAddr;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::setting::Span;

/// `[server]`: the listener that browsers reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerConfig {
    pub listen: SocketAddr,
    /// Worker threads, each with its own listener and streams; 0 for one per available core.
    pub threads: usize,
    /// Open connections, streams included; more wait in the listen queue.
    pub max_connections: usize,
    /// Request line and headers together.
    pub max_header_bytes: ByteSize,
    pub max_headers: usize,
    /// For a TLS handshake, for a request's headers to arrive, and for a kept-alive connection to send its next request.
    pub header_timeout: Span,
    /// Networks of the proxies whose word on where a request comes from is taken.
    pub trusted_proxies: Vec<String>,
    /// On SIGTERM connections are still accepted for this time, while `/readyz` says no, so that whoever sends them
    /// notices; a stream request is told to try again.
    pub drain_delay: Span,
    /// Then streams are ended in batches over this time.
    pub drain_window: Span,
    /// The process is gone this long after SIGTERM, whatever is still open.
    pub grace: Span,
    pub tls: TlsConfig,
}

/// `[server.tls]`: TLS on the listener that browsers reach; none without its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TlsConfig {
    /// PEM: the certificate, then those of its chain.
    pub certificate_file: Option<String>,
    /// PEM: the certificate's private key.
    pub key_file: Option<String>,
    /// Between two looks at the files.
    pub reload_interval: Span,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { certificate_file: None, key_file: None, reload_interval: Span::from_secs(10) }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            threads: 0,
            max_connections: 120_000,
            max_header_bytes: ByteSize::kib(32),
            max_headers: 100,
            header_timeout: Span::from_secs(30),
            trusted_proxies: Vec::new(),
            drain_delay: Span::from_secs(3),
            drain_window: Span::from_secs(10),
            grace: Span::from_secs(25),
            tls: TlsConfig::default(),
        }
    }
}

/// `[admin]`: the listener that operators and Kubernetes reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdminConfig {
    pub listen: SocketAddr,
    /// Whether `/readyz` fails while the broker is away.
    pub ready_needs_broker: bool,
    /// The settings file is looked at this often, and taken over when it has changed; 0 for never, but SIGHUP has it read.
    pub reload_interval: Span,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            ready_needs_broker: false,
            reload_interval: Span::from_secs(5),
        }
    }
}

/// `[cors]`: pages of other origins that may open a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CorsConfig {
    /// `https://app.example.com`, `https://*.example.com`, or `*` for any.
    pub origins: Vec<String>,
    /// Whether such a page may send cookies; never together with `*`.
    pub credentials: bool,
    /// How long a browser may remember a preflight answer.
    pub max_age: Span,
}

impl Default for CorsConfig {
    fn default() -> Self {
        Self { origins: Vec::new(), credentials: false, max_age: Span::from_secs(600) }
    }
}

/// `[[endpoint]]`: one path that answers with a stream, and `path/{channel}` with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointConfig {
    pub path: String,
    /// Channels that come without being asked for, as far as they are granted.
    pub channels: Vec<String>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self { path: "/events".into(), channels: Vec::new() }
    }
}

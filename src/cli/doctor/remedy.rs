//! Which setting of which proxy mends what the doctor finds.

/// A kind of fault that settings mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    Buffering,
    Compression,
    IdleLimit,
    Caching,
    Headers,
    UpstreamHttp10,
    Http2,
}

impl Remedy {
    /// Proxy and setting.
    pub(super) const fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Buffering => &[
                ("nginx", "`proxy_buffering off;` in the location, and no `proxy_ignore_headers X-Accel-Buffering`"),
                ("ingress-nginx", "annotation `nginx.ingress.kubernetes.io/proxy-buffering: \"off\"`"),
                ("HAProxy", "no `filter compression`, no `http-response wait-for-body`"),
                ("Traefik", "no `buffering` middleware on this route"),
                ("Apache", "`ProxyPass … flushpackets=on`"),
            ],
            Self::Compression => &[
                ("nginx", "take `text/event-stream` and `*` out of `gzip_types`, or `gzip off;` in the location"),
                (
                    "HAProxy",
                    "take `text/event-stream` out of `compression type`; without that line everything is compressed",
                ),
                ("Traefik", "`excludedContentTypes: [text/event-stream]` in the `compress` middleware"),
                ("Apache", "`SetEnvIf Request_URI ^/events no-gzip`"),
            ],
            Self::IdleLimit => &[
                ("Cottontail", "a shorter `stream.heartbeat`"),
                ("nginx", "a longer `proxy_read_timeout` and `send_timeout` in the location"),
                ("ingress-nginx", "annotation `nginx.ingress.kubernetes.io/proxy-read-timeout: \"3600\"`"),
                ("HAProxy", "a longer `timeout server`; in `mode tcp` a longer `timeout tunnel`"),
                ("Traefik", "`transport.respondingTimeouts.writeTimeout: 0` at the entry point"),
                ("AWS ALB", "a longer `idle_timeout.timeout_seconds`"),
                ("GKE", "a longer `timeoutSec` in the BackendConfig or GCPBackendPolicy"),
                ("Gateway API", "`timeouts.request: 0s` and `timeouts.backendRequest: 0s` in the HTTPRoute's rule"),
            ],
            Self::Caching => &[
                ("nginx", "`proxy_cache off;` in the location"),
                ("HAProxy", "no `http-request cache-use` for this path"),
                ("CDN", "a rule that bypasses the cache for this path"),
            ],
            Self::Headers => &[
                (
                    "nginx",
                    "no `proxy_set_header Last-Event-ID` and no `proxy_hide_header Cache-Control` in the location",
                ),
                (
                    "HAProxy",
                    "no `http-request del-header`, `http-response del-header` or `set-header` for these fields",
                ),
            ],
            Self::UpstreamHttp10 => {
                &[("nginx", "`proxy_http_version 1.1;` and `proxy_set_header Connection \"\";` in the location")]
            }
            Self::Http2 => &[
                ("nginx", "`http2 on;` in the server, before 1.25 `listen 443 ssl http2;`"),
                ("HAProxy", "`alpn h2,http/1.1` on the `bind` line"),
                ("AWS ALB", "`routing.http2.enabled`"),
            ],
        }
    }
}

//! The listener for operators: liveness, readiness, metrics and figures. Never reachable through the public one.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::time::{Duration, sleep};

use crate::hub::Overview;

/// Channels that `/stats` lists.
const TOP_CHANNELS: usize = 20;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What `/readyz` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// With one word that says why not.
    NotReady(&'static str),
}

/// The admin listener's answers.
#[derive(Clone)]
pub struct Admin {
    pub metrics: PrometheusHandle,
    pub overview: Overview,
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// Whether the source is connected at this moment.
    pub broker: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// Serves until it is dropped.
    ///
    /// # Errors
    /// When the listener cannot be registered with the event queue.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let Ok((socket, _peer)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let admin = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = admin.answer(&request);
                    async { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(socket), service);
                // A client that broke off is no concern of anybody's.
                drop(connection.await);
            });
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        }
        match request.uri().path() {
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match (self.readiness)() {
                Readiness::Ready => text(StatusCode::OK, "ok\n"),
                Readiness::NotReady(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            "/metrics" => answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics.render()),
            "/stats" => answer(StatusCode::OK, "application/json", self.figures()),
            _ => text(StatusCode::NOT_FOUND, "try /livez, /readyz, /metrics or /stats\n"),
        }
    }

    fn figures(&self) -> String {
        let figures = self.overview.figures(TOP_CHANNELS);
        let channels: Vec<_> = figures
            .channels
            .iter()
            .map(|(channel, streams)| json!({ "channel": channel, "connections": streams }))
            .collect();
        json!({
            "connections": figures.streams,
            "users": figures.users,
            "channels": channels,
            "history": { "events": figures.ring_events, "bytes": figures.ring_bytes, "position": figures.position },
            "broker_connected": (self.broker)(),
        })
        .to_string()
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

//! The listener for operators: liveness, readiness, metrics, figures and the drain. Never reachable through the public one.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use http::uri::Authority;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Duration, sleep, timeout};

use super::subscribers;
use crate::hub::Overview;
use crate::shutdown::DrainHandle;

/// Channels that `/stats` lists.
const TOP_CHANNELS: usize = 20;
/// Connections at once; one more is closed. Probes and scrapers need a handful.
const MAX_CONNECTIONS: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// For a request and its answer together; a connection has one of each.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
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
    pub drain: DrainHandle,
    /// After this time a drain has ended what streams it could.
    pub drain_time: Duration,
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
        let is_local = listener.local_addr()?.ip().is_loopback();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let Ok((socket, _peer)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let admin = self.clone();
            tokio::spawn(async move {
                // A client that broke off or dawdles is no concern of anybody's.
                let _outcome = timeout(CONNECTION_TIMEOUT, admin.converse(socket, is_local)).await;
                drop(place);
            });
        }
    }

    /// One request and its answer.
    async fn converse(&self, socket: TcpStream, is_local: bool) -> hyper::Result<()> {
        let service = service_fn(|request| async move {
            let response = self.answer(&request, is_local);
            let is_list = response.status() == StatusCode::OK && request.uri().path() == "/subscribers";
            Ok::<_, Infallible>(if is_list { self.subscribers(request.uri().query()).await } else { response })
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .keep_alive(false)
            .serve_connection(TokioIo::new(socket), service)
            .await
    }

    /// `is_local` says that the listener is on loopback, where only this machine's own clients can be meant.
    fn answer<B>(&self, request: &Request<B>, is_local: bool) -> Response<Full<Bytes>> {
        if is_local && !names_this_machine(request) {
            return text(StatusCode::FORBIDDEN, "on loopback ask by IP address or as localhost\n");
        }
        if (request.method(), request.uri().path()) == (&Method::POST, "/drain") {
            return self.begin_drain(request);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match (self.readiness)() {
                Readiness::Ready => text(StatusCode::OK, "ok\n"),
                Readiness::NotReady(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            "/metrics" => answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics.render()),
            "/stats" => answer(StatusCode::OK, "application/json", self.figures()),
            "/drain" => answer(StatusCode::OK, "application/json", self.drained()),
            // Who may ask is decided here; the list itself has to be waited for.
            "/subscribers" => text(StatusCode::OK, ""),
            _ => text(StatusCode::NOT_FOUND, "try /livez, /readyz, /metrics, /stats, /subscribers or /drain\n"),
        }
    }

    async fn subscribers(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        match subscribers::page(&self.overview.orders(), query, Instant::now()).await {
            Ok(page) => answer(StatusCode::OK, "application/json", page),
            Err((status, sentence)) => text(status, sentence),
        }
    }

    /// Has the streams ended; what goes on is told as for GET.
    fn begin_drain<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        // A browser says whose page asks; no page may end anything here.
        if request.headers().contains_key(ORIGIN) {
            return text(StatusCode::FORBIDDEN, "not for web pages\n");
        }
        if self.drain.begin() {
            let streams = self.overview.streams();
            tracing::info!(streams, "asked to drain: streams are ended, other requests go on");
        }
        answer(StatusCode::ACCEPTED, "application/json", self.drained())
    }

    fn drained(&self) -> String {
        let begun = self.drain.begun();
        let left = begun.map_or(self.drain_time, |begun| self.drain_time.saturating_sub(begun.elapsed()));
        json!({
            "draining": begun.is_some(),
            "connections": self.overview.streams(),
            "seconds_left": left.as_secs_f64(),
        })
        .to_string()
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

/// Whether a request is for an IP address or for `localhost`. A name of any other kind may be a web page's, made to lead
/// here (DNS rebinding), so that the page could read what it gets. A client that says nothing is no browser.
fn names_this_machine<B>(request: &Request<B>) -> bool {
    let Some(host) = request.headers().get(HOST) else { return true };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let host = authority.host();
    let v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok()
        || v6.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{self, HistoryConfig, StreamConfig};
    use crate::shutdown::Drain;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn admin() -> Admin {
        let (_, _, overview) = hub::open(&HistoryConfig::default(), &StreamConfig::default(), None, 1);
        Admin {
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            overview,
            readiness: Arc::new(|| Readiness::Ready),
            broker: Arc::new(|| true),
            drain: Drain::new().handle(),
            drain_time: Duration::from_secs(10),
        }
    }

    fn asked(method: &str, host: Option<&str>) -> Request<()> {
        let request = Request::builder().method(method).uri("/stats");
        host.into_iter().fold(request, |request, host| request.header(HOST, host)).body(()).expect("a request")
    }

    #[test]
    fn on_loopback_only_a_client_of_this_machine_is_answered() {
        let status = |host, is_local| admin().answer(&asked("GET", host), is_local).status();
        let ours = ["127.0.0.1:9090", "127.0.0.1", "localhost:9090", "LOCALHOST", "[::1]:9090", "10.0.0.7"];
        for host in ours.map(Some).into_iter().chain([None]) {
            assert_eq!(status(host, true), StatusCode::OK, "{host:?}");
        }
        for host in ["evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b"]
        {
            assert_eq!(status(Some(host), true), StatusCode::FORBIDDEN, "{host:?}");
        }
        assert_eq!(status(Some("cottontail.svc"), false), StatusCode::OK);
    }

    #[test]
    fn a_method_that_changes_something_is_told_which_ones_do_not() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let response = admin().answer(&asked(method, None), true);
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        }
    }

    #[test]
    fn a_drain_is_begun_by_a_post_and_by_no_web_page() {
        let admin = admin();
        let asked = |method: &str, origin: Option<&str>| {
            let request = Request::builder().method(method).uri("/drain");
            let request = origin.into_iter().fold(request, |request, origin| request.header(ORIGIN, origin));
            admin.answer(&request.body(()).expect("a request"), true).status()
        };
        for origin in ["https://evil.example", "null", "http://127.0.0.1:9090"] {
            assert_eq!(asked("POST", Some(origin)), StatusCode::FORBIDDEN, "{origin}");
        }
        assert_eq!(asked("GET", None), StatusCode::OK);
        assert!(admin.drain.begun().is_none());
        assert_eq!(asked("POST", None), StatusCode::ACCEPTED);
        let begun = admin.drain.begun();
        assert_eq!(asked("POST", None), StatusCode::ACCEPTED);
        assert!(begun.is_some() && admin.drain.begun() == begun, "the second changes nothing");
    }

    fn listening() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(admin().serve(listener));
        address
    }

    /// Everything that comes after `request` until the connection is closed.
    async fn all_of(mut stream: TcpStream, request: &str) -> String {
        // A connection that is closed already takes nothing and gives nothing.
        let _sent = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _end = timeout(CONNECTION_TIMEOUT, stream.read_to_end(&mut answer)).await.expect("closed in time");
        String::from_utf8(answer).expect("text")
    }

    #[tokio::test]
    async fn head_is_answered_like_get_without_the_body_and_a_connection_is_for_one_request() {
        let address = listening();
        let ask = async |method: &str| {
            let request = format!("{method} /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
            all_of(TcpStream::connect(address).await.expect("listening"), &request).await
        };
        let (get, head) = (ask("GET").await, ask("HEAD").await);
        assert!(get.starts_with("HTTP/1.1 200 ") && get.ends_with("\r\n\r\nok\n"), "{get}");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(head.contains("content-length: 3\r\n"), "{head}");
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_are_closed_and_those_within_it_are_served() {
        const REQUEST: &str = "GET /livez HTTP/1.1\r\n\r\n";
        let address = listening();
        let mut open = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            open.push(TcpStream::connect(address).await.expect("listening"));
        }
        // Accepted in their order, so that this one comes after all of them.
        let one_more = all_of(TcpStream::connect(address).await.expect("listening"), REQUEST).await;
        assert_eq!(one_more, "");
        for stream in open {
            assert!(all_of(stream, REQUEST).await.starts_with("HTTP/1.1 200 "));
        }
        assert!(
            all_of(TcpStream::connect(address).await.expect("listening"), REQUEST).await.starts_with("HTTP/1.1 200 ")
        );
    }
}

//! The listener for operators: who may ask, at which method, and how long. What each path answers is the routes'.

mod routes;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, HOST, HeaderName, HeaderValue, ORIGIN};
use http::uri::Authority;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Duration, sleep, timeout};

use super::BoxError;
use routes::{ROUTES, Route, text};

use crate::control::Control;
use crate::explain::{Explainer, MAX_QUESTION_BYTES};
use crate::hub::Overview;
use crate::shutdown::DrainHandle;

/// Of a request's body.
const MAX_BODY_BYTES: usize = MAX_QUESTION_BYTES;
/// W3C Fetch Metadata §2.3.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
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
    pub control: Control,
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// Whether the source is connected at this moment.
    pub broker: Arc<dyn Fn() -> bool + Send + Sync>,
    pub drain: DrainHandle,
    /// After this time a drain has ended what streams it could.
    pub drain_time: Duration,
    /// As of now: a new configuration makes another one.
    pub explainer: Arc<dyn Fn() -> Explainer + Send + Sync>,
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
        let service = service_fn(|request: Request<Incoming>| async move {
            Ok::<_, Infallible>(self.answer(request, is_local).await)
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .keep_alive(false)
            .serve_connection(TokioIo::new(socket), service)
            .await
    }

    /// `is_local` says that the listener is on loopback, where only this machine's own clients can be meant.
    async fn answer<B>(&self, request: Request<B>, is_local: bool) -> Response<Full<Bytes>>
    where
        B: Body<Error: Into<BoxError>>,
    {
        if is_local && !names_this_machine(&request) {
            return text(StatusCode::FORBIDDEN, "on loopback ask by IP address or as localhost\n");
        }
        let routes = ROUTES.into_iter().filter(|(path, _)| *path == request.uri().path()).map(|(_, route)| route);
        match routes.clone().find(|route| route.is_for(request.method())) {
            Some(Route::Show(show)) => show(self),
            Some(Route::Ask(ask)) => ask(self, request.uri().query().unwrap_or_default().to_owned()).await,
            Some(Route::Act(_)) if is_of_a_page(&request) => text(StatusCode::FORBIDDEN, "not for web pages\n"),
            Some(Route::Act(act)) => match Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await {
                Ok(body) => act(self, body.to_bytes()).await,
                Err(error) if error.is::<LengthLimitError>() => {
                    text(StatusCode::PAYLOAD_TOO_LARGE, format!("more than {MAX_BODY_BYTES} bytes\n"))
                }
                Err(_broken_off) => text(StatusCode::BAD_REQUEST, "the body broke off\n"),
            },
            None => refuse(&routes.map(Route::methods).collect::<Vec<_>>()),
        }
    }
}

/// The answer to a request that no route is for; `methods` are those that its path has.
fn refuse(methods: &[&str]) -> Response<Full<Bytes>> {
    if methods.is_empty() {
        let mut paths = ROUTES.map(|(path, _)| path).to_vec();
        paths.dedup();
        return text(StatusCode::NOT_FOUND, format!("there are {}\n", paths.join(", ")));
    }
    let allowed = methods.join(", ");
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed}\n"));
    let allowed = HeaderValue::from_str(&allowed).expect("names of methods are a header value");
    response.headers_mut().insert(ALLOW, allowed);
    response
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

/// Whether a web page has sent it. A page of any origin can have a browser POST to loopback; the browser says so.
fn is_of_a_page<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(ORIGIN) || request.headers().contains_key(SEC_FETCH_SITE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthConfig, Authenticator, Revocations};
    use crate::control::ControlConfig;
    use crate::hub::{self, HistoryConfig, StreamConfig};
    use crate::routing::{MappingConfig, MappingTable, Mappings};
    use crate::shutdown::Drain;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn admin() -> Admin {
        let auth = AuthConfig { anonymous: true, ..AuthConfig::default() };
        let authenticator = Authenticator::load(&auth).expect("a sound section");
        let everyone = MappingConfig { routing_key: "all".into(), everyone: true, ..MappingConfig::default() };
        let table = MappingTable::compile(&[everyone], "app-").expect("a sound mapping");
        let (authenticator, mappings) = (Arc::new(authenticator), Mappings::new(table));
        let (_, _, overview) = hub::open(&HistoryConfig::default(), &StreamConfig::default(), None, 1);
        let control =
            Control::new(&ControlConfig::default(), overview.orders(), Arc::new(Revocations::new(1)), Arc::default());
        Admin {
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            overview,
            control,
            readiness: Arc::new(|| Readiness::Ready),
            broker: Arc::new(|| true),
            drain: Drain::new().handle(),
            drain_time: Duration::from_secs(10),
            explainer: Arc::new(move || Explainer::new(Arc::clone(&authenticator), mappings.clone())),
        }
    }

    /// Status, `Allow` and body of the answer to a request on loopback.
    async fn ask(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
        answer(method, path, headers, body, true).await
    }

    async fn answer(
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
        is_local: bool,
    ) -> (u16, String, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::<Bytes>::from(body.to_owned())).expect("a request");
        read(admin().answer(request, is_local).await).await
    }

    async fn read(response: Response<Full<Bytes>>) -> (u16, String, String) {
        let allow = response.headers().get(ALLOW).map(|allow| allow.to_str().expect("text").to_owned());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("it is all there").to_bytes();
        (status, allow.unwrap_or_default(), String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn on_loopback_only_a_client_of_this_machine_is_answered() {
        let ours = ["127.0.0.1:9090", "127.0.0.1", "localhost:9090", "LOCALHOST", "[::1]:9090", "10.0.0.7"];
        for host in ours {
            assert_eq!(ask("GET", "/stats", &[("host", host)], "").await.0, 200, "{host:?}");
        }
        assert_eq!(ask("GET", "/stats", &[], "").await.0, 200);
        for host in ["evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b"]
        {
            assert_eq!(ask("GET", "/stats", &[("host", host)], "").await.0, 403, "{host:?}");
        }
        assert_eq!(answer("GET", "/stats", &[("host", "cottontail.svc")], "", false).await.0, 200);
    }

    #[tokio::test]
    async fn a_method_that_a_path_does_not_have_is_told_which_ones_it_has() {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let (status, allow, _) = ask(method, "/stats", &[], "").await;
            assert_eq!((status, allow.as_str()), (405, "GET, HEAD"), "{method}");
        }
        for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
            let (status, allow, _) = ask(method, "/explain", &[], "").await;
            assert_eq!((status, allow.as_str()), (405, "POST"), "{method}");
        }
        assert_eq!(ask("POST", "/nowhere", &[], "").await.0, 404);
    }

    #[tokio::test]
    async fn a_question_is_answered_with_an_explanation() {
        let (status, _, body) = ask("POST", "/explain", &[], r#"{"anonymous": true, "key": "all"}"#).await;
        assert_eq!(status, 200, "{body}");
        let explanation: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((&explanation["delivered"], &explanation["mappings"][0]["mapping"]), (&true.into(), &0.into()));
        let (status, _, body) = ask("POST", "/explain", &[], r#"{"anonymous": true, "key": "none"}"#).await;
        assert!(status == 200 && body.contains(r#""reason":"no_mapping""#), "{body}");
        let secret = r#"{"token": "s3cr3t", "key": "all", "colour": 1}"#;
        let (status, _, body) = ask("POST", "/explain", &[], secret).await;
        assert!(status == 400 && body.contains("colour") && !body.contains("s3cr3t"), "{body}");
        let long = format!("{{\"anonymous\": true, \"key\": \"{}\"}}", "x".repeat(MAX_BODY_BYTES));
        assert_eq!(ask("POST", "/explain", &[], &long).await.0, 413);
    }

    #[tokio::test]
    async fn a_drain_is_begun_by_a_post_and_by_no_web_page() {
        let admin = admin();
        let asked = async |method: &str, origin: Option<&str>| {
            let request = Request::builder().method(method).uri("/drain");
            let request = origin.into_iter().fold(request, |request, origin| request.header(ORIGIN, origin));
            read(admin.answer(request.body(Full::<Bytes>::default()).expect("a request"), true).await).await
        };
        for origin in ["https://evil.example", "null", "http://127.0.0.1:9090"] {
            assert_eq!(asked("POST", Some(origin)).await.0, 403, "{origin}");
        }
        assert_eq!(asked("GET", None).await.0, 200);
        assert!(admin.drain.begun().is_none());
        assert_eq!(asked("POST", None).await.0, 202);
        let begun = admin.drain.begun();
        assert_eq!(asked("POST", None).await.0, 202);
        assert!(begun.is_some() && admin.drain.begun() == begun, "the second changes nothing");
        assert_eq!(asked("PUT", None).await, (405, "GET, HEAD, POST".into(), "only GET, HEAD, POST\n".into()));
    }

    #[tokio::test]
    async fn a_web_page_cannot_have_anything_done() {
        let question = r#"{"anonymous": true, "key": "all"}"#;
        for header in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "same-origin")] {
            let headers = [("host", "127.0.0.1:9090"), header];
            assert_eq!(ask("POST", "/explain", &headers, question).await.0, 403, "{header:?}");
            assert_eq!(ask("POST", "/disconnect", &headers, r#"{"user": "ada"}"#).await.0, 403, "{header:?}");
            assert_eq!(ask("GET", "/livez", &headers, "").await.0, 200, "{header:?}");
        }
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

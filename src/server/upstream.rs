//! The proxy as the site's fallback: its failures become responses, and every request is counted and logged once.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Request, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::body::{Body, BoxError};
use super::fallback::{Answer, AnswerBody, Fallback, Responder};
use super::problem::Problem;
use super::untaken::Untaken;
use crate::proxy::{Forwarded, Peer, Proxy, ProxyError, ProxySeed};
use crate::telemetry::HttpSpan;
use crate::telemetry::proxy::{ABANDONED, ProxyMetrics};

/// Between two lines in the log that say the application fails, of one worker.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(10);

/// What spans say of a response that broke off, and of a client that did not wait for one.
const BROKEN_OFF: &str = "broken_off";
const GONE: &str = "abandoned";

/// The application behind this program.
#[derive(Debug)]
pub struct Upstream(pub ProxySeed);

#[derive(Debug)]
struct Forwarder {
    proxy: Proxy,
    untaken: Untaken,
    metrics: Rc<ProxyMetrics>,
    /// When the application's last failure was logged.
    complained: Cell<Option<Instant>>,
}

impl Fallback for Upstream {
    fn settle(&self) -> Rc<dyn Responder> {
        let proxy = self.0.settle();
        let untaken = Untaken::new(proxy.idle_timeout());
        Rc::new(Forwarder { proxy, untaken, metrics: Rc::default(), complained: Cell::new(None) })
    }
}

impl Responder for Forwarder {
    fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: Peer,
        span: HttpSpan,
    ) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
        Box::pin(async move {
            let mut record = Record::new(&request, Rc::clone(&self.metrics));
            let method = request.method().clone();
            record.spans = Spans { client: span.client(&method, request.headers_mut()), server: span };
            let wants_html = wants_html(request.headers());
            let is_http1 = request.version() <= http::Version::HTTP_11;
            match self.proxy.forward(request, peer).await {
                Ok(Forwarded::Response(response)) => {
                    record.answered(response.status());
                    let is_over = response.body().is_end_stream();
                    let response = response.map(|body| Recorded::boxed(body, record));
                    Answer::from(if is_http1 || is_over {
                        response
                    } else {
                        response.map(|body| self.untaken.watch(body))
                    })
                }
                Ok(Forwarded::Switched(response, tunnel)) => {
                    record.answered(response.status());
                    let response = response.map(|()| Recorded::boxed(Body::empty(), record));
                    Answer { response, tunnel: Some(tunnel) }
                }
                Err(error) => {
                    record.failure = Some(error.to_string());
                    let problem = problem(&error);
                    record.spans.client.failed(problem.code);
                    if problem.status.is_server_error()
                        && !matches!(error, ProxyError::Connect | ProxyError::LastForward)
                    {
                        self.complain(&error);
                    }
                    record.spans.server.answered(problem.status);
                    record.status = Some(problem.status);
                    let mut response = if wants_html { problem.into_page() } else { problem.into_response() };
                    if problem.status == StatusCode::SERVICE_UNAVAILABLE {
                        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                    }
                    if is_http1 && is_the_clients_framing(&error) {
                        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    Answer::from(response.map(|body| Recorded::boxed(body, record)))
                }
            }
        })
    }
}

impl Forwarder {
    /// Says that the application fails, at a limited rate: there may be thousands of requests a second.
    fn complain(&self, error: &ProxyError) {
        let now = Instant::now();
        if self.complained.get().is_none_or(|last| now.duration_since(last) >= COMPLAINT_PAUSE) {
            self.complained.set(Some(now));
            tracing::warn!(%error, "the application fails; further failures are not logged for a while");
        }
    }
}

fn problem(error: &ProxyError) -> Problem {
    match error {
        ProxyError::Ambiguous(_) => Problem::AMBIGUOUS,
        ProxyError::Connect => Problem::CONNECT_REFUSED,
        ProxyError::LastForward => Problem::MAX_FORWARDS_REACHED,
        ProxyError::Loop => Problem::PROXY_LOOP,
        ProxyError::BodyTooLarge => Problem::BODY_TOO_LARGE,
        ProxyError::BodyBroken => Problem::BODY_BROKEN,
        ProxyError::ClientTimeout => Problem::REQUEST_TIMEOUT,
        ProxyError::Busy => Problem::UPSTREAM_BUSY,
        ProxyError::Connecting(_) | ProxyError::Broken(_) => Problem::UPSTREAM_UNREACHABLE,
        ProxyError::Invalid(_) | ProxyError::NoWebSocket | ProxyError::Unasked => Problem::UPSTREAM_INVALID,
        ProxyError::ConnectTimeout | ProxyError::FirstByteTimeout => Problem::UPSTREAM_TIMEOUT,
    }
}

/// Whether what follows on the connection cannot be told from the rest of this request.
fn is_the_clients_framing(error: &ProxyError) -> bool {
    matches!(
        error,
        ProxyError::Ambiguous(_)
            | ProxyError::Connect
            | ProxyError::BodyTooLarge
            | ProxyError::BodyBroken
            | ProxyError::ClientTimeout
    )
}

/// Whether a person is to read the answer: browsers list `text/html` first when they open a page.
fn wants_html(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|accept| accept.as_bytes().windows(9).any(|text| text == b"text/html"))
}

/// One request, counted and logged when it is over.
struct Record {
    metrics: Rc<ProxyMetrics>,
    started: Instant,
    request: Option<Logged>,
    status: Option<StatusCode>,
    failure: Option<String>,
    sent: u64,
    complete: bool,
    spans: Spans,
}

/// Of the request as it came and as it went on; both last as long as its record.
#[derive(Default)]
struct Spans {
    client: HttpSpan,
    server: HttpSpan,
}

impl Spans {
    fn answered(&self, status: StatusCode) {
        self.client.answered(status);
        self.server.answered(status);
    }

    fn failed(&self, why: &'static str) {
        self.client.failed(why);
        self.server.failed(why);
    }
}

/// What the log says of a request, kept only if there is such a log.
struct Logged {
    method: Method,
    /// Never with the query, which may hold what nobody should read.
    path: String,
    request_id: String,
}

impl Record {
    fn new<B>(request: &Request<B>, metrics: Rc<ProxyMetrics>) -> Self {
        let is_logged = tracing::enabled!(target: "cottontail::access", tracing::Level::DEBUG);
        Self {
            metrics,
            started: Instant::now(),
            request: is_logged.then(|| Logged::new(request)),
            status: None,
            failure: None,
            sent: 0,
            complete: false,
            spans: Spans::default(),
        }
    }

    /// The application has.
    fn answered(&mut self, status: StatusCode) {
        self.spans.answered(status);
        self.status = Some(status);
    }
}

impl Logged {
    fn new<B>(request: &Request<B>) -> Self {
        let id = request.headers().get("x-request-id");
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            request_id: id.map_or_else(String::new, |id| String::from_utf8_lossy(id.as_bytes()).into_owned()),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.metrics.finished(self.status, took);
        if self.status.is_none() {
            self.spans.failed(GONE);
        }
        let Some(Logged { method, path, request_id }) = &self.request else { return };
        tracing::debug!(
            target: "cottontail::access",
            request = request_id,
            %method,
            path,
            status = self.status.map_or(ABANDONED, |status| status.as_u16()),
            bytes = self.sent,
            complete = self.complete,
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            failure = self.failure,
            "request"
        );
    }
}

/// A body that keeps the record of its request until its end.
struct Recorded<B> {
    body: B,
    record: Record,
}

impl<B> Recorded<B>
where
    B: http_body::Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    fn boxed(body: B, mut record: Record) -> AnswerBody {
        record.complete = body.is_end_stream();
        Box::pin(Self { body, record })
    }
}

impl<B> http_body::Body for Recorded<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { body, record } = self.get_mut();
        Pin::new(&mut *body).poll_frame(cx).map(|next| match next {
            Some(Ok(frame)) => {
                record.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                record.complete = frame.is_trailers() || body.is_end_stream();
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                let error = error.into();
                record.failure = Some(error.to_string());
                record.spans.failed(BROKEN_OFF);
                Some(Err(error))
            }
            None => {
                record.complete = true;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! One request over a connection of its own, as a browser makes it: the head of its answer with times, and the body to read.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, HOST};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::target::Target;

/// For the connection and its TLS handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Much more than any ingress adds.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// What an answer begins with.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
}

impl Head {
    /// A field's value if it is text; of several the first.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer whose body is still to come. Its drop closes the connection.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) head: Head,
    pub(super) head_at: Instant,
    body: Incoming,
    connection: AbortHandle,
}

/// What a body goes on with.
#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    /// The end, as the framing has it.
    End,
    /// The connection went away before that.
    Cut,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum VisitError {
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("the TLS handshake fails: {0}")]
    Tls(#[source] io::Error),
    #[error("no connection within {}s", CONNECT_TIMEOUT.as_secs())]
    ConnectTimeout,
    #[error("no answer within {}", humantime::format_duration(*.0))]
    Silent(Duration),
    #[error("the connection ends without an answer, or with something else than HTTP")]
    NoAnswer(#[source] hyper::Error),
    #[error("the URL cannot be asked for: {0}")]
    Request(#[source] http::Error),
}

impl Visit {
    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Piece {
        loop {
            match self.body.frame().await {
                None => return Piece::End,
                Some(Err(_)) => return Piece::Cut,
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Piece::Data(data);
                    }
                }
            }
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Asks for `path` and waits no longer than `patience` for the head.
pub(super) async fn visit(
    target: &Target,
    method: &Method,
    path: &str,
    headers: HeaderMap,
    patience: Duration,
) -> Result<Visit, VisitError> {
    let connecting = async {
        let socket = target.connect().await.map_err(VisitError::Connect)?;
        target.secure(socket).await.map_err(VisitError::Tls)
    };
    let connected = timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_elapsed| VisitError::ConnectTimeout)??;
    let asking = async {
        match connected {
            Ok(secured) if secured.get_ref().1.alpn_protocol() == Some(b"h2") => {
                ask_http2(secured, request(target, method, path, headers, Version::HTTP_2)?).await
            }
            Ok(secured) => ask_http1(secured, request(target, method, path, headers, Version::HTTP_11)?).await,
            Err(plain) => ask_http1(plain, request(target, method, path, headers, Version::HTTP_11)?).await,
        }
    };
    let (response, connection) = timeout(patience, asking).await.map_err(|_elapsed| VisitError::Silent(patience))??;
    let (parts, body) = response.into_parts();
    let head = Head { status: parts.status, version: parts.version, headers: parts.headers };
    Ok(Visit { head, head_at: Instant::now(), body, connection })
}

fn request(
    target: &Target,
    method: &Method,
    path: &str,
    headers: HeaderMap,
    version: Version,
) -> Result<Request<Empty<Bytes>>, VisitError> {
    let whole = version == Version::HTTP_2;
    let uri = if whole { format!("https://{}{path}", target.authority) } else { path.to_owned() };
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .version(version)
        .header(ACCEPT, "text/event-stream")
        .header(CACHE_CONTROL, "no-store");
    if !whole {
        request = request.header(HOST, &target.authority);
    }
    let mut request = request.body(Empty::new()).map_err(VisitError::Request)?;
    request.headers_mut().extend(headers);
    Ok(request)
}

type Asked = (Response<Incoming>, AbortHandle);

/// Aborts the connection's task if the answer is no longer waited for.
struct Guard(Option<AbortHandle>);

impl Guard {
    fn release(mut self) -> AbortHandle {
        self.0.take().expect("a guard is released once, when it is given away")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.abort();
        }
    }
}

async fn ask_http1<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Asked, VisitError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(VisitError::NoAnswer)?;
    let guard = Guard(Some(tokio::spawn(connection).abort_handle()));
    let response = sender.send_request(request).await.map_err(VisitError::NoAnswer)?;
    Ok((response, guard.release()))
}

async fn ask_http2<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Asked, VisitError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(VisitError::NoAnswer)?;
    let guard = Guard(Some(tokio::spawn(connection).abort_handle()));
    let response = sender.send_request(request).await.map_err(VisitError::NoAnswer)?;
    Ok((response, guard.release()))
}

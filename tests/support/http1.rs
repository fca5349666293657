//! An HTTP client over one connection that forgives nothing: HTTP/1.1, or HTTP/2 or TLS where the whole run is to go over that; what an event stream means is not its business.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::chunked::ChunkedDecoder;
use super::deadline::within;
use super::tls::Certificates;

/// A request as it goes onto the wire; `Host` and `Content-Length` are added.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(target: impl Into<String>) -> Self {
        Self::new("GET", target)
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn encode(&self, host: SocketAddr) -> Vec<u8> {
        let mut wire = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            wire.extend([name, ": ", value, "\r\n"]);
        }
        if !self.body.is_empty() {
            wire.extend(["Content-Length: ", &self.body.len().to_string(), "\r\n"]);
        }
        wire.push_str("\r\n");
        [wire.as_bytes(), &self.body].concat()
    }
}

/// Status and header fields of a response.
#[derive(Clone, Debug)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The value of a field that must not occur twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} occurs twice: {:?}", self.headers);
        value
    }

    fn parse(text: &str) -> io::Result<Self> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("not a response head: {text:?}"));
        let mut lines = text.split("\r\n");
        let status_line = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or_else(malformed)?;
        let status = status_line.get(..3).and_then(|digits| digits.parse().ok()).ok_or_else(malformed)?;
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            let is_token = !name.is_empty() && !name.contains([' ', '\t', '\r', '\n']);
            is_token.then(|| (name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
        };
        let headers = lines.map(field).collect::<Option<_>>().ok_or_else(malformed)?;
        Ok(Self { status, headers })
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As its framing says: the last chunk, or the announced length.
    Properly,
    /// The connection went away before that.
    Cut,
}

#[derive(Debug)]
enum Framing {
    Length(usize),
    Chunked(ChunkedDecoder),
    UntilClose,
    Http2(Incoming),
}

/// What a read of a body brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Data(Vec<u8>),
    End(Ended),
}

/// What carries HTTP/1.1.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin + Debug {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + Debug> Stream for S {}

/// The body of a response; dropping it closes the connection.
#[derive(Debug)]
pub struct Body {
    /// None over HTTP/2, whose connection is a task of its own.
    stream: Option<Box<dyn Stream>>,
    received: Vec<u8>,
    framing: Framing,
}

impl Body {
    /// The next bytes, as they come.
    ///
    /// # Errors
    /// When the bytes break the framing; a lost connection is `Ended::Cut`.
    pub async fn next(&mut self) -> io::Result<Piece> {
        loop {
            let arrived = std::mem::take(&mut self.received);
            let data = match &mut self.framing {
                Framing::Http2(body) => return Ok(next_of_http2(body).await),
                Framing::Length(left) => {
                    *left = left.checked_sub(arrived.len()).ok_or_else(|| surplus(&arrived))?;
                    arrived
                }
                Framing::Chunked(decoder) => decoder.feed(&arrived).map_err(io::Error::other)?,
                Framing::UntilClose => arrived,
            };
            if !data.is_empty() {
                return Ok(Piece::Data(data));
            }
            let done = match &self.framing {
                Framing::Length(left) => *left == 0,
                Framing::Chunked(decoder) => decoder.is_done(),
                Framing::UntilClose | Framing::Http2(_) => false,
            };
            if done {
                return Ok(Piece::End(Ended::Properly));
            }
            let stream = self.stream.as_mut().expect("HTTP/1.1 has its stream");
            if stream.read_buf(&mut self.received).await.unwrap_or(0) == 0 {
                let closing_is_the_end = matches!(self.framing, Framing::UntilClose);
                return Ok(Piece::End(if closing_is_the_end { Ended::Properly } else { Ended::Cut }));
            }
        }
    }
}

async fn next_of_http2(body: &mut Incoming) -> Piece {
    loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Piece::Data(data.to_vec());
                }
            }
            Some(Err(_)) => return Piece::End(Ended::Cut),
            None => return Piece::End(Ended::Properly),
        }
    }
}

fn surplus(arrived: &[u8]) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("bytes after the body, among the last {}", arrived.len()))
}

/// Sends one request on a connection of its own and reads the response's head.
pub async fn send(address: SocketAddr, request: &Request) -> io::Result<(Head, Body)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    send_on(stream, request).await
}

/// As [`send`], on a connection that the caller made.
pub async fn send_on(stream: TcpStream, request: &Request) -> io::Result<(Head, Body)> {
    let address = stream.peer_addr()?;
    match Transport::of(address) {
        Transport::Plain => send_over_http1(Box::new(stream), address, request).await,
        Transport::Tls => {
            let stream = Certificates::of_this_run().connect_on(stream, &["http/1.1"]).await?;
            send_over_http1(Box::new(stream), address, request).await
        }
        Transport::Http2 => send_over_http2(stream, request).await,
    }
}

async fn send_over_http1(
    mut stream: Box<dyn Stream>,
    address: SocketAddr,
    request: &Request,
) -> io::Result<(Head, Body)> {
    let wire = request.encode(address);
    // A server may answer and close before it has read everything; then the answer counts.
    let sent = stream.write_all(&wire).await;
    let mut received = Vec::new();
    let end = loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut received).await? == 0 {
            sent?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = Head::parse(&String::from_utf8_lossy(&received[..end]))?;
    received.drain(..end + 4);
    let framing = framing(&request.method, &head)?;
    Ok((head, Body { stream: Some(stream), received, framing }))
}

/// What the requests of a run go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Plain,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 without TLS.
    Http2,
}

impl Transport {
    /// What `COTTONTAIL_TEST_HTTP` chooses for this run: `tls`, `2`, or plain HTTP/1.1.
    pub fn of_this_run() -> Self {
        match std::env::var("COTTONTAIL_TEST_HTTP").as_deref() {
            Ok("tls") => Self::Tls,
            Ok("2") => Self::Http2,
            _ => Self::Plain,
        }
    }

    /// What is spoken there; plain HTTP unless [`is_spoken`] has said otherwise.
    fn of(address: SocketAddr) -> Self {
        let listeners = LISTENERS.lock().expect("nobody panics with it");
        listeners.iter().rfind(|(known, _)| *known == address).map_or(Self::Plain, |(_, transport)| *transport)
    }
}

/// The listeners of the programs that this run has started; a later one may have the address of one that is gone.
static LISTENERS: Mutex<Vec<(SocketAddr, Transport)>> = Mutex::new(Vec::new());

/// Says how requests go to `address` from now on.
pub fn is_spoken(address: SocketAddr, transport: Transport) {
    LISTENERS.lock().expect("nobody panics with it").push((address, transport));
}

/// Says that a listener is gone of which [`is_spoken`] has told.
pub fn is_gone(address: SocketAddr) {
    let mut listeners = LISTENERS.lock().expect("nobody panics with it");
    if let Some(index) = listeners.iter().position(|(known, _)| *known == address) {
        listeners.remove(index);
    }
}

async fn send_over_http2(stream: TcpStream, request: &Request) -> io::Result<(Head, Body)> {
    let url = format!("http://{}{}", stream.peer_addr()?, request.target);
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut requests, connection) = handshake.map_err(io::Error::other)?;
    // It ends with the connection.
    tokio::spawn(connection);
    let mut sent = hyper::Request::builder().method(request.method.as_str()).uri(url);
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    let sent = sent.body(Full::<Bytes>::from(request.body.clone())).map_err(io::Error::other)?;
    let (head, body) = requests.send_request(sent).await.map_err(io::Error::other)?.into_parts();
    let headers = head.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let head = Head { status: head.status.as_u16(), headers: headers.collect() };
    Ok((head, Body { stream: None, received: Vec::new(), framing: Framing::Http2(body) }))
}

/// RFC 9112 §6.3.
fn framing(method: &str, head: &Head) -> io::Result<Framing> {
    if method == "HEAD" || head.status == 204 || head.status == 304 {
        return Ok(Framing::Length(0));
    }
    match (head.header("transfer-encoding"), head.header("content-length")) {
        (Some("chunked"), None) => Ok(Framing::Chunked(ChunkedDecoder::new())),
        (None, Some(length)) => length.parse().map(Framing::Length).map_err(io::Error::other),
        (None, None) => Ok(Framing::UntilClose),
        (coding, length) => Err(io::Error::other(format!("ambiguous framing: {coding:?} and {length:?}"))),
    }
}

/// A response that has come whole.
#[derive(Clone, Debug)]
pub struct Response {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head.status
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON value that the body must be.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {:?}", self.text()))
    }
}

/// Sends a request and reads the whole response, which must end properly.
pub async fn fetch(address: SocketAddr, request: &Request) -> Response {
    let what = format!("{} {} to be answered", request.method, request.target);
    within(&what, async { try_fetch(address, request).await.unwrap_or_else(|error| panic!("{what}: {error}")) }).await
}

/// As [`fetch`], for a server that may be away.
pub async fn try_fetch(address: SocketAddr, request: &Request) -> io::Result<Response> {
    let (head, mut body) = send(address, request).await?;
    let mut whole = Vec::new();
    loop {
        match body.next().await? {
            Piece::Data(data) => whole.extend(data),
            Piece::End(Ended::Properly) => return Ok(Response { head, body: whole }),
            Piece::End(Ended::Cut) => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

//! A small HTTP client over pooled connections, bounded in time and size; whom it asks and what the answer means is its users'.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::FetchError;
use crate::trust::{self, Distrust};

/// The head of an answer, in bytes (hyper may read somewhat more before it refuses) and in fields.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
/// Unused connections are kept for so long, and no more than so many to one host.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_IDLE: usize = 8;
/// For a connection attempt whose request has found another connection meanwhile.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What one exchange may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the name's resolution to the last byte of the body.
    pub time: Duration,
    /// Of the answer's body.
    pub body_bytes: usize,
}

/// Asks over HTTP/1.1, with TLS for `https`. Clones share the pool.
///
/// It sends nothing that it is not given but `Host`, follows no redirect, reads no proxy settings and keeps no cookies. How
/// many ask at once is for its users to bound.
#[derive(Clone)]
pub struct Client {
    pool: legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// A client that trusts the authorities in `ca_file` alone, or those of the system.
    ///
    /// # Errors
    /// When `ca_file` has no usable authority. A system without any is none: then nobody's TLS is trusted.
    pub fn new(ca_file: Option<&str>) -> Result<Self, Distrust> {
        let connector = trust::connector(ca_file, CONNECT_TIMEOUT)?;
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_HEADERS)
            .build(connector);
        Ok(Self { pool })
    }

    /// Asks for `url`, as [`url`] reads it, with these headers; any status that is no redirect is an answer. Dropping the
    /// future ends the exchange. Needs a tokio runtime, which carries the connection beyond this call.
    pub async fn get(&self, url: Uri, headers: HeaderMap, limits: Limits) -> Result<Response<Bytes>, FetchError> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        let exchange = self.exchange(request, limits.body_bytes);
        tokio::time::timeout(limits.time, exchange).await.map_err(|_elapsed| FetchError::Timeout(limits.time))?
    }

    async fn exchange(&self, request: Request<Empty<Bytes>>, max_bytes: usize) -> Result<Response<Bytes>, FetchError> {
        let failed = |error: Error| {
            if error.is_connect() { FetchError::Connect(error) } else { FetchError::Exchange(error) }
        };
        let (head, body) = self.pool.request(request).await.map_err(failed)?.into_parts();
        if is_redirect(head.status) {
            return Err(FetchError::Redirect(head.status));
        }
        let body = Limited::new(body, max_bytes).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return FetchError::TooLarge(max_bytes);
            }
            FetchError::Body(*error.downcast::<hyper::Error>().expect("a body has the limit's errors or hyper's"))
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

/// RFC 9110 §15.4: those that name another address.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Reads the address of somebody to ask: absolute, `http` or `https`, with a host and without a user; the error is a clause for
/// a fault.
pub fn url(text: &str) -> Result<Uri, &'static str> {
    let expected = "must be an absolute URL such as \"https://id.example.com/keys\"";
    let uri: Uri = text.parse().map_err(|_| expected)?;
    let authority = uri.authority().ok_or(expected)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
        return Err(expected);
    }
    if authority.as_str().contains('@') {
        return Err("must hold no user and no password");
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const LIMITS: Limits = Limits { time: Duration::from_secs(5), body_bytes: 1000 };

    /// Asks a server that answers with these bytes and closes, or holds on; says what it was sent as well.
    async fn ask(answer: &str, holds_on: bool, limits: Limits) -> (Result<Response<Bytes>, FetchError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = answer.to_owned();
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                heard.push(socket.read_u8().await.unwrap());
            }
            // The client may have gone already.
            let _sent = socket.write_all(answer.as_bytes()).await;
            if holds_on {
                let _end = socket.read_u8().await;
            }
            String::from_utf8(heard).unwrap()
        });
        let client = Client::new(None).unwrap();
        let headers = HeaderMap::from_iter([(http::header::ACCEPT, "application/json".parse().unwrap())]);
        let got = client.get(url(&format!("http://{address}/a?b=c")).unwrap(), headers, limits).await;
        drop(client);
        (got, server.await.unwrap())
    }

    #[tokio::test]
    async fn an_answer_comes_whole_and_nothing_is_sent_that_was_not_given() {
        let (answer, heard) =
            ask("HTTP/1.1 404 Not Found\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi", false, LIMITS).await;
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["x-a"], answer.body().as_ref()),
            (404, &"b".parse().unwrap(), &b"hi"[..])
        );
        let mut lines: Vec<&str> = heard.trim_end().split("\r\n").collect();
        assert_eq!(lines.remove(0), "GET /a?b=c HTTP/1.1");
        lines.sort_unstable();
        assert!(lines[0] == "accept: application/json" && lines[1].starts_with("host: 127.0.0.1:"), "{heard}");
        assert_eq!(lines.len(), 2, "{heard}");
    }

    #[tokio::test]
    async fn what_is_too_large_too_slow_or_broken_is_no_answer() {
        let long = "x".repeat(1001);
        let (large, _) = ask(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n{long}"), false, LIMITS).await;
        assert!(matches!(large, Err(FetchError::TooLarge(1000))), "{large:?}");
        let (endless, _) = ask(&format!("HTTP/1.1 200 OK\r\n\r\n{long}"), true, LIMITS).await;
        assert!(matches!(endless, Err(FetchError::TooLarge(1000))), "{endless:?}");
        let head = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(4 * MAX_HEAD_BYTES));
        let (head, _) = ask(&head, false, LIMITS).await;
        assert!(matches!(head, Err(FetchError::Exchange(_))), "{head:?}");
        let (short, _) = ask("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", false, LIMITS).await;
        assert!(matches!(short, Err(FetchError::Body(_))), "{short:?}");
        let (garbage, _) = ask("220 smtp.example ESMTP\r\n", false, LIMITS).await;
        assert!(matches!(garbage, Err(FetchError::Exchange(_))), "{garbage:?}");
        let hurry = Limits { time: Duration::from_millis(50), ..LIMITS };
        for answer in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi"] {
            let (slow, _) = ask(answer, true, hurry).await;
            assert!(matches!(slow, Err(FetchError::Timeout(_))), "{slow:?}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_an_error_that_says_so() {
        let (redirect, _) = ask("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", false, LIMITS).await;
        let error = redirect.unwrap_err().to_string();
        assert_eq!(error, "the answer is a redirect (302 Found), which is not followed");
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_without_the_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let url = url(&format!("http://{address}/secret")).unwrap();
        let error = Client::new(None).unwrap().get(url, HeaderMap::new(), LIMITS).await.unwrap_err();
        assert!(matches!(error, FetchError::Connect(_)), "{error}");
        assert!(error.to_string().starts_with("cannot connect: ") && !error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn only_an_absolute_http_url_is_an_address() {
        for good in ["http://a", "https://id.example.com:8443/realms/x?y=z", "HTTPS://A/"] {
            assert!(url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/keys",
            "id.example.com",
            "id.example.com:443",
            "ftp://a/",
            "file:///etc/passwd",
            "http:///x",
            "https://u:p@a/",
            "http://a b/",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}

//! A request as it goes to the application, made from the one that came; nothing is sent here.

use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, TE, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, StatusCode, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::ext::on_informational;

use super::body::RequestBody;
use super::error::{Ambiguity, ProxyError};
use super::forwarded::Hop;
use super::hygiene::{self, Wishes};
use super::websocket::{self, Handshake};
use super::{HostPolicy, Peer, Proxy};

/// The head, which can be sent once more, and the body, which cannot.
#[derive(Debug)]
pub(super) struct Outgoing {
    head: Head,
    pub(super) wishes: Wishes,
    pub(super) body: RequestBody,
    /// Of a WebSocket that was asked for over HTTP/2.
    pub(super) handshake: Option<Handshake>,
}

#[derive(Clone, Debug)]
struct Head {
    method: Method,
    target: PathAndQuery,
    host: Authority,
    headers: HeaderMap,
}

impl Outgoing {
    pub(super) fn new(request: Request<Incoming>, peer: Peer, proxy: &Proxy) -> Result<Self, ProxyError> {
        let handshake = websocket::is_asked_for(&request).then(Handshake::new);
        let (parts, body) = request.into_parts();
        let host = hygiene::host(&parts)?;
        let limit = match proxy.config.max_body_bytes.as_u64() {
            0 => u64::MAX,
            limit => limit,
        };
        if body.size_hint().lower() > limit {
            return Err(ProxyError::BodyTooLarge);
        }
        let mut headers = parts.headers;
        if matches!(parts.method, Method::OPTIONS | Method::TRACE) && !hygiene::count_forward(&mut headers) {
            return Err(ProxyError::LastForward);
        }
        let mut wishes = hygiene::take_wishes(&mut headers, parts.version);
        if !body.is_end_stream() {
            wishes.upgrade = None;
        }
        if parts.version == Version::HTTP_10 {
            // RFC 9110 §10.1.1: from HTTP/1.0 it means nothing.
            headers.remove(EXPECT);
        }
        Hop { peer: peer.address, secure: peer.secure, host: host.as_ref() }.note(&mut headers, &proxy.trusted);
        proxy.pseudonym.add_to_request(&mut headers, parts.version);
        let host = match (proxy.config.host, host) {
            (HostPolicy::Keep, Some(host)) => host,
            (HostPolicy::Keep, None) | (HostPolicy::Upstream, _) => proxy.origin.authority.clone(),
        };
        headers.insert(HOST, HeaderValue::from_str(host.as_str()).map_err(|_| Ambiguity::BadHost)?);
        let target = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let mut head = Head { method: parts.method, target, host, headers };
        if let Some(handshake) = &handshake {
            head.method = Method::GET;
            wishes.upgrade = Some(handshake.ask(&mut head.headers));
        }
        Ok(Self { head, wishes, body: RequestBody::new(body, limit), handshake })
    }

    /// The same request again, if sending it twice does what sending it once does (RFC 9110 §9.2.2).
    pub(super) fn again(&self) -> Option<Self> {
        let idempotent = matches!(
            self.head.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
        );
        (idempotent && self.body.is_end_stream()).then(|| Self {
            head: self.head.clone(),
            wishes: self.wishes.clone(),
            body: RequestBody::empty(),
            handshake: None,
        })
    }

    /// For a connection of HTTP/1.1.
    pub(super) fn into_http1(mut self) -> Request<RequestBody> {
        hygiene::put_wishes(&mut self.head.headers, &self.wishes);
        if !self.body.is_end_stream() && self.body.size_hint().exact().is_none() {
            // Named, since hyper takes GET and HEAD to be without a body otherwise.
            self.head.headers.remove(CONTENT_LENGTH);
            self.head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let target = Uri::from(self.head.target.clone());
        self.into_request(target, Version::HTTP_11)
    }

    /// For a connection of HTTP/2, which has the host in its target (RFC 9113 §8.3.1).
    pub(super) fn into_http2(mut self) -> Request<RequestBody> {
        self.head.headers.remove(HOST);
        // hyper does not tell of interim responses on HTTP/2, so the body would wait for nothing.
        self.head.headers.remove(EXPECT);
        if self.wishes.trailers {
            self.head.headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        let mut target = http::uri::Parts::default();
        target.scheme = Some(Scheme::HTTP);
        target.authority = Some(self.head.host.clone());
        target.path_and_query = Some(self.head.target.clone());
        let target = Uri::from_parts(target).expect("scheme, authority and path are all there");
        self.into_request(target, Version::HTTP_2)
    }

    fn into_request(self, target: Uri, version: Version) -> Request<RequestBody> {
        let Self { head, mut body, .. } = self;
        let waits = !body.is_end_stream()
            && head.headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let gate = waits.then(|| body.hold());
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = target;
        *request.version_mut() = version;
        *request.headers_mut() = head.headers;
        if let Some(gate) = gate {
            on_informational(&mut request, move |response| {
                if response.status() == StatusCode::CONTINUE {
                    gate.open();
                }
            });
        }
        request
    }
}

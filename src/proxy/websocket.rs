//! A WebSocket over a stream of HTTP/2 (RFC 8441), asked for as the application knows it: by an upgrade of HTTP/1.1 (RFC 6455 §4); pure.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{Method, Request};
use hyper::ext::Protocol;

const WEBSOCKET: &str = "websocket";
/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The question that HTTP/2 has no need of, and that tells an application that understood it from one that did not.
#[derive(Debug)]
pub(super) struct Handshake {
    key: String,
}

/// Whether a request asks for a WebSocket in place of its stream.
pub(super) fn is_asked_for<B>(request: &Request<B>) -> bool {
    request.method() == Method::CONNECT
        && request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == WEBSOCKET)
}

impl Handshake {
    pub(super) fn new() -> Self {
        Self { key: STANDARD.encode(fastrand::u128(..).to_ne_bytes()) }
    }

    /// Puts the question to a request's header; the protocol to upgrade to.
    pub(super) fn ask(&self, headers: &mut HeaderMap) -> HeaderValue {
        let key = HeaderValue::from_str(&self.key).expect("base64 is a header value");
        headers.insert(SEC_WEBSOCKET_KEY, key);
        headers.entry(SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
        HeaderValue::from_static(WEBSOCKET)
    }

    /// Whether the header of a 101 answers it (RFC 6455 §4.1).
    pub(super) fn is_answered(&self, headers: &HeaderMap) -> bool {
        let keyed = [self.key.as_bytes(), GUID].concat();
        let expected = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &keyed));
        headers.get(SEC_WEBSOCKET_ACCEPT).is_some_and(|accept| accept.as_bytes() == expected.as_bytes())
            && headers.get(UPGRADE).is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
    }

    /// Takes out of a response's header what HTTP/2 does without (RFC 8441 §5).
    pub(super) fn strip(headers: &mut HeaderMap) {
        super::hygiene::strip(headers);
        headers.remove(SEC_WEBSOCKET_ACCEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_standards_own_example_is_the_right_one() {
        let handshake = Handshake { key: "dGhlIHNhbXBsZSBub25jZQ==".into() };
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        assert!(!handshake.is_answered(&headers));
        headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(handshake.is_answered(&headers));
        assert!(!Handshake::new().is_answered(&headers), "each has a key of its own");
        headers.remove(UPGRADE);
        assert!(!handshake.is_answered(&headers));
    }

    #[test]
    fn the_question_has_a_key_of_16_bytes() {
        let mut headers = HeaderMap::new();
        assert_eq!(Handshake::new().ask(&mut headers), "websocket");
        assert_eq!(STANDARD.decode(&headers[SEC_WEBSOCKET_KEY]).map(|key| key.len()), Ok(16));
        assert_eq!(headers[SEC_WEBSOCKET_VERSION], "13");
    }
}

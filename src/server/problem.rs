//! The one place where a refusal becomes a response: status, stable code and public sentence (RFC 9457).

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use serde_json::json;

use super::body::Body;
use crate::auth::{AuthError, Challenge};

/// A refusal: what a client is told, and nothing else. The sentence is the same for everybody, so it can leak nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// Stable, for programs.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) detail: &'static str,
}

impl Problem {
    pub(crate) const NOT_FOUND: Self = Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path");
    pub(crate) const HOST_MISSING: Self =
        Self::new(StatusCode::BAD_REQUEST, "host_missing", "an HTTP/1.1 request has a Host header");
    pub(crate) const METHOD_NOT_ALLOWED: Self =
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "an event stream is read with GET");
    pub(crate) const NOT_ACCEPTABLE: Self =
        Self::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", "this endpoint answers with text/event-stream only");
    pub(crate) const USER_MISMATCH: Self =
        Self::new(StatusCode::FORBIDDEN, "user_mismatch", "userId is not the user of the token");
    pub(crate) const CHANNEL_FORBIDDEN: Self =
        Self::new(StatusCode::FORBIDDEN, "channel_forbidden", "a channel that was asked for is not granted");
    pub(crate) const CHANNEL_INVALID: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "channel_invalid",
        "a channel is asked for by its name: 1 to 255 bytes of UTF-8, no wildcard word and no control character",
    );
    pub(crate) const TOO_MANY_CHANNELS: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "too_many_channels",
        "more channels were asked for than one stream may have",
    );

    pub(crate) const fn new(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self { status, code, detail }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let json = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let mut response = Response::new(Body::full(json.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        }
        response
    }
}

/// A refused token's code: its reason, with `token_` before it where that is not said already.
fn code(reason: &'static str) -> String {
    if reason.starts_with("token") { reason.to_owned() } else { format!("token_{reason}") }
}

/// The answer to a request without an acceptable token, with the challenge of RFC 6750 §3.
pub(crate) fn unauthorized(error: AuthError) -> Response<Body> {
    let (status, challenge) = match error.challenge() {
        Challenge::Credentials => (StatusCode::UNAUTHORIZED, "Bearer"),
        Challenge::InvalidRequest => (StatusCode::BAD_REQUEST, "Bearer error=\"invalid_request\""),
        Challenge::InvalidToken => (StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\""),
    };
    let json = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "code": code(error.reason()),
        "detail": error.to_string(),
    });
    let mut response = Response::new(Body::full(json.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

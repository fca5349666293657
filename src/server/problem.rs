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
    pub(crate) const ORIGIN_FORBIDDEN: Self = Self::new(
        StatusCode::FORBIDDEN,
        "origin_forbidden",
        "a page of this origin may not open a stream with a cookie",
    );
    pub(crate) const CHANNEL_FORBIDDEN: Self =
        Self::new(StatusCode::FORBIDDEN, "channel_forbidden", "a channel that was asked for is not granted");
    pub(crate) const CHANNEL_INVALID: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "channel_invalid",
        "a channel is asked for by its name: 1 to 255 bytes of UTF-8, no wildcard word and no control character",
    );
    pub(crate) const SINCE_INVALID: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "since_invalid",
        "since is a time such as 2024-05-01T10:00:00Z or 2024-05-01T12:00:00+02:00 (RFC 3339)",
    );
    pub(crate) const LAST_INVALID: Self =
        Self::new(StatusCode::BAD_REQUEST, "last_invalid", "last is a number of events");
    pub(crate) const TOO_MANY_CHANNELS: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "too_many_channels",
        "more channels were asked for than one stream may have",
    );
    pub(crate) const TOO_MANY_STREAMS: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_streams",
        "as many streams are open as are allowed; please try again later",
    );
    pub(crate) const TOO_MANY_STREAMS_OF_USER: Self = Self::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_streams_of_user",
        "this user has as many streams open as are allowed to one",
    );
    pub(crate) const TOO_MANY_STREAMS_OF_ADDRESS: Self = Self::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_streams_of_address",
        "as many streams are open from this address as are allowed to one",
    );
    pub(crate) const OPENING_TOO_FAST: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "opening_too_fast",
        "streams are being opened faster than is allowed; please try again later",
    );
    pub(crate) const ADDRESS_OPENING_TOO_FAST: Self = Self::new(
        StatusCode::TOO_MANY_REQUESTS,
        "address_opening_too_fast",
        "streams are being opened from this address faster than is allowed to one",
    );
    pub(crate) const KEYS_UNAVAILABLE: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "keys_unavailable",
        "the keys of the token's issuer cannot be had at the moment",
    );
    pub(crate) const SESSION_UNAVAILABLE: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "session_unavailable",
        "the application cannot be asked about the session at the moment",
    );
    pub(crate) const DRAINING: Self =
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "this server is about to end; please try again");

    pub(crate) const RENEWAL_INVALID: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "renewal_invalid",
        "a stream is renewed with a JSON object of connectionId and token",
    );
    pub(crate) const RENEWAL_MISMATCH: Self =
        Self::new(StatusCode::FORBIDDEN, "user_mismatch", "the new token is not of the stream's user");
    pub(crate) const CONNECTION_UNKNOWN: Self =
        Self::new(StatusCode::NOT_FOUND, "connection_unknown", "no stream with this connectionId is open here");
    pub(crate) const RENEWAL_BUSY: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "renewal_busy",
        "the stream could not be renewed in time; please try again shortly",
    );
    pub(crate) const AMBIGUOUS: Self =
        Self::new(StatusCode::BAD_REQUEST, "request_ambiguous", "the request can be read in more than one way");
    pub(crate) const CONNECT_REFUSED: Self =
        Self::new(StatusCode::NOT_IMPLEMENTED, "connect_not_implemented", "this server is no proxy for CONNECT");
    pub(crate) const TOO_MANY_HEADERS: Self = Self::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "too_many_headers",
        "the request has more header fields than are allowed",
    );
    pub(crate) const MAX_FORWARDS_REACHED: Self = Self::new(
        StatusCode::NOT_IMPLEMENTED,
        "max_forwards_reached",
        "the request may go no further, and this server does not answer its method by itself",
    );
    pub(crate) const PROXY_LOOP: Self =
        Self::new(StatusCode::LOOP_DETECTED, "proxy_loop", "the request came back to this server, which it had passed");
    pub(crate) const BODY_TOO_LARGE: Self =
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the request's body is larger than is allowed");
    pub(crate) const BODY_BROKEN: Self =
        Self::new(StatusCode::BAD_REQUEST, "body_broken", "the request's body broke off or is malformed");
    pub(crate) const REQUEST_TIMEOUT: Self =
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the request's body did not arrive in time");
    pub(crate) const UPSTREAM_BUSY: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "upstream_busy",
        "too many requests are under way; please try again shortly",
    );
    pub(crate) const UPSTREAM_UNREACHABLE: Self =
        Self::new(StatusCode::BAD_GATEWAY, "upstream_unreachable", "the application cannot be reached at the moment");
    pub(crate) const UPSTREAM_INVALID: Self =
        Self::new(StatusCode::BAD_GATEWAY, "upstream_invalid", "the application's answer could not be understood");
    pub(crate) const UPSTREAM_TIMEOUT: Self =
        Self::new(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "the application did not answer in time");

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

impl Problem {
    /// As [`Problem::into_response`], for people who look at it in a browser.
    pub(crate) fn into_page(self) -> Response<Body> {
        let title = self.status.canonical_reason().unwrap_or("Error");
        // Nothing of it comes from a request, so that nothing needs to be escaped.
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
             <h1>{title}</h1>\n<p>{}</p>\n<p><code>{}</code></p>\n</html>\n",
            self.detail, self.code
        );
        let mut response = self.into_response().map(|_json| Body::full(page));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response
    }
}

/// The code of refused credentials: their reason, with `token_` before it where it is a token's and does not say so.
fn code(reason: &'static str) -> String {
    if ["token", "api_key", "keys", "session"].iter().any(|subject| reason.starts_with(subject)) {
        reason.to_owned()
    } else {
        format!("token_{reason}")
    }
}

/// The answer to a request without an acceptable token, with the challenge of RFC 6750 §3.
pub(crate) fn unauthorized(error: AuthError) -> Response<Body> {
    let (status, challenge) = match error.challenge() {
        Challenge::Credentials => (StatusCode::UNAUTHORIZED, "Bearer"),
        Challenge::InvalidRequest => (StatusCode::BAD_REQUEST, "Bearer error=\"invalid_request\""),
        Challenge::InvalidToken => (StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\""),
        Challenge::Forbidden => (StatusCode::FORBIDDEN, ""),
        Challenge::TryAgain => (StatusCode::SERVICE_UNAVAILABLE, ""),
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
    if !challenge.is_empty() {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

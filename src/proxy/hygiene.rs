//! Which header fields an intermediary passes on, drops and adds (RFC 9110 §7.6, RFC 9112); pure. Who sent a request is in `forwarded`.

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, MAX_FORWARDS, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::Authority;
use http::{StatusCode, Version};

use super::error::Ambiguity;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The fields that concern one connection only, whether or not `Connection` names them (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    PROXY_CONNECTION,
    KEEP_ALIVE,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HTTP2_SETTINGS,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
];

/// What a request asks of its connection rather than of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// The protocol to switch to (RFC 9110 §7.8).
    pub(super) upgrade: Option<HeaderValue>,
    /// Whether trailers are welcome (RFC 9110 §10.1.4).
    pub(super) trailers: bool,
}

/// Takes everything out of a request's header that is for this connection only, and says what it asked for.
pub(super) fn take_wishes(headers: &mut HeaderMap, version: Version) -> Wishes {
    let wishes = Wishes {
        upgrade: upgrade(headers, version),
        trailers: tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case(b"trailers")),
    };
    strip(headers);
    join_cookies(headers);
    join_lengths(headers);
    wishes
}

/// The protocol that an HTTP/1.1 request offers to switch to. HTTP/2 is never one: it would bypass every check here.
fn upgrade(headers: &HeaderMap, version: Version) -> Option<HeaderValue> {
    let asks = version == Version::HTTP_11
        && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(UPGRADE.as_str().as_bytes()));
    let is_http2 = |token: &[u8]| token.eq_ignore_ascii_case(b"h2c") || token.eq_ignore_ascii_case(b"h2");
    let mut values = headers.get_all(UPGRADE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if asks && !tokens(headers, &UPGRADE).any(is_http2) => Some(value.clone()),
        _ => None,
    }
}

/// Removes the fields of this connection, those that `Connection` names among them.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named = tokens(headers, &CONNECTION).filter_map(|token| HeaderName::from_bytes(token).ok());
    // The id is this program's own by now, whether it took the client's or made one.
    let named: Vec<HeaderName> = named.filter(|name| *name != REQUEST_ID).collect();
    // Most messages have one or two of them: they are looked for first, since each removal is a look-up.
    let there: Vec<HeaderName> = headers.keys().filter(|name| HOP_BY_HOP.contains(name)).cloned().collect();
    for name in named.iter().chain(&there) {
        headers.remove(name);
    }
}

/// Removes from trailers what would tell of another connection, framing or destination than the header did (RFC 9110 §6.5.1).
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    strip(trailers);
    for name in [CONTENT_LENGTH, HOST] {
        trailers.remove(name);
    }
}

/// Counts one forwarding, where it is limited; false when this program is the last that may see the request (RFC 9110 §7.6.2).
pub(super) fn count_forward(headers: &mut HeaderMap) -> bool {
    let left = headers.get(MAX_FORWARDS).and_then(|left| left.to_str().ok()?.parse::<u32>().ok());
    if let Some(left) = left.and_then(|left| left.checked_sub(1)) {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left));
    }
    left != Some(0)
}

/// A parser has refused lengths that differ; equal ones become one (RFC 9110 §8.6).
fn join_lengths(headers: &mut HeaderMap) {
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some()
        && let Some(length) = headers.get(CONTENT_LENGTH).cloned()
    {
        headers.insert(CONTENT_LENGTH, length);
    }
}

/// HTTP/2 sends a cookie in pieces; elsewhere there is one field (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// Says on a request to HTTP/1.1 what its connection is asked for.
pub(super) fn put_wishes(headers: &mut HeaderMap, wishes: &Wishes) {
    if wishes.trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.append(CONNECTION, HeaderValue::from_static("te"));
    }
    if let Some(protocol) = &wishes.upgrade {
        headers.insert(UPGRADE, protocol.clone());
        headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Whether a response is coded for this connection in a way that only a `TE` asks for (RFC 9112 §7.4), which is never sent.
pub(super) fn is_coded(headers: &HeaderMap) -> bool {
    tokens(headers, &TRANSFER_ENCODING).any(|coding| !coding.eq_ignore_ascii_case(b"chunked"))
}

/// Makes a response's header fit for the browser's connection.
pub(super) fn clean_response(status: StatusCode, headers: &mut HeaderMap) {
    // RFC 9112 §6.3: the coding overrides the length, and whoever passes the message on removes the length.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    join_lengths(headers);
    let switches = matches!(status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED);
    let protocol = if switches { headers.get(UPGRADE).cloned() } else { None };
    strip(headers);
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// The host that a request is for: of its target, else of its one `Host` (RFC 9112 §3.2). `None` from HTTP/1.0 only. In HTTP/2
/// both are for one host or it is two requests in one (RFC 9113 §8.3.1).
pub(super) fn host(request: &Parts) -> Result<Option<Authority>, Ambiguity> {
    let mut fields = request.headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Ambiguity::TwoHosts);
    }
    if let Some(target) = request.uri.authority() {
        // Which is CONNECT's (RFC 9112 §3.2.3).
        if request.uri.scheme().is_none() {
            return Err(Ambiguity::BadTarget);
        }
        if request.version == Version::HTTP_2 && field.is_some_and(|field| !is_of(field, target)) {
            return Err(Ambiguity::TwoHosts);
        }
        return without_user(target.clone()).map(Some);
    }
    match field {
        Some(field) => {
            Authority::try_from(field.as_bytes()).map_err(|_| Ambiguity::BadHost).and_then(without_user).map(Some)
        }
        None if request.version == Version::HTTP_10 => Ok(None),
        None => Err(Ambiguity::NoHost),
    }
}

fn is_of(field: &HeaderValue, target: &Authority) -> bool {
    let port = |host: &Authority| host.port_u16().filter(|port| ![80, 443].contains(port));
    Authority::try_from(field.as_bytes())
        .is_ok_and(|host| host.host().eq_ignore_ascii_case(target.host()) && port(&host) == port(target))
}

fn without_user(host: Authority) -> Result<Authority, Ambiguity> {
    if host.as_str().contains('@') { Err(Ambiguity::BadHost) } else { Ok(host) }
}

/// The members of all comma-separated values of a field; quoted strings do not occur in the fields this is for.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests;

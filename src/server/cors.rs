//! Cross-origin requests (WHATWG Fetch §3.2): which origins may open a stream, with a cookie too, and the headers that say so.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HOST, HeaderMap,
    HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{Request, Response, StatusCode};

use super::CorsConfig;
use super::body::Body;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");
/// What a page may read of an answer besides what every page may (WHATWG Fetch §2.2.2).
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Preference-Applied, Retry-After, WWW-Authenticate, X-Request-Id");
/// W3C Fetch Metadata §2.3; browsers send it on secure connections, and no page can set it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[derive(Clone, Debug)]
pub(crate) struct Cors {
    origins: Vec<Pattern>,
    credentials: bool,
    max_age: HeaderValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Any,
    Exact(String),
    /// Scheme with `://`, and the domain with its leading dot (and port).
    SubDomain(String, String),
}

impl Pattern {
    fn new(text: &str) -> Self {
        match text.split_once("://*.") {
            _ if text == "*" => Self::Any,
            Some((scheme, domain)) => {
                Self::SubDomain(format!("{scheme}://").to_lowercase(), format!(".{domain}").to_lowercase())
            }
            None => Self::Exact(text.to_lowercase()),
        }
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact.eq_ignore_ascii_case(origin),
            Self::SubDomain(scheme, domain) => origin
                .to_ascii_lowercase()
                .strip_prefix(scheme)
                .and_then(|host| host.strip_suffix(domain.as_str()))
                .is_some_and(|sub| {
                    !sub.is_empty() && sub.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
                }),
        }
    }
}

impl Cors {
    pub(crate) fn new(config: &CorsConfig) -> Self {
        Self {
            origins: config.origins.iter().map(|origin| Pattern::new(origin)).collect(),
            credentials: config.credentials,
            max_age: HeaderValue::from(config.max_age.0.as_secs()),
        }
    }

    /// Adds what the origin of `request` may know to `response`, a refusal as well as a stream: a page that may not read
    /// the answer cannot tell its user what went wrong.
    pub(crate) fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        response.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = self.allowed(request) else { return };
        if self.credentials {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }

    /// The answer to OPTIONS, a preflight or not.
    pub(crate) fn preflight(&self, request: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ALLOW, METHODS);
        if self.allowed(request).is_some() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(
                ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static(
                    "Authorization, Cache-Control, Content-Type, Last-Event-ID, Prefer, X-Request-Id",
                ),
            );
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        response
    }

    /// Whether the page that made `request` may use what its browser adds to every request by itself, as a cookie is: one
    /// of the request's own origin, or of an origin that is listed by name. `*` names nobody.
    ///
    /// A browser sends no `Origin` with a GET to the page's own origin, and always one with an `EventSource` to another.
    /// Who sends neither header is no browser of today, and could not be told anything by another origin's page.
    pub(crate) fn admits_cookie<B>(&self, request: &Request<B>) -> bool {
        let mut origins = request.headers().get_all(ORIGIN).iter();
        let origin = match (origins.next(), origins.next()) {
            (None, _) => None,
            (Some(origin), None) => Some(origin.to_str().unwrap_or_default()),
            (Some(_), Some(_)) => return false,
        };
        let site = request.headers().get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
        match (site, origin) {
            // The browser knows better than `Host`, which a proxy may have changed.
            (Some(b"same-origin"), _) | (Some(b"none") | None, None) => true,
            (Some(_), None) => false,
            (None, Some(origin)) => self.names(origin) || is_own(origin, request),
            (Some(_), Some(origin)) => self.names(origin),
        }
    }

    fn names(&self, origin: &str) -> bool {
        self.origins.iter().any(|pattern| *pattern != Pattern::Any && pattern.matches(origin))
    }

    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(ORIGIN)?;
        let text = origin.to_str().ok()?;
        let pattern = self.origins.iter().find(|pattern| pattern.matches(text))?;
        if *pattern == Pattern::Any { Some(HeaderValue::from_static("*")) } else { Some(origin.clone()) }
    }
}

/// Whether `origin` has the host and port that the request is for. Its scheme is not known here: TLS ends further in front.
fn is_own<B>(origin: &str, request: &Request<B>) -> bool {
    let field = || request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = request.uri().authority().map(http::uri::Authority::as_str).or_else(field) else { return false };
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    authority.eq_ignore_ascii_case(host.strip_suffix(port).unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_origins_match() {
        let sub = Pattern::new("https://*.example.com");
        assert!(sub.matches("https://app.example.com"));
        assert!(sub.matches("https://a.b.EXAMPLE.com"));
        for origin in [
            "https://example.com",
            "http://app.example.com",
            "https://evil.com/.example.com",
            "https://app.example.com.evil.com",
            "https://evil.com:1@app.example.com",
            "https://.example.com:8443",
            "null",
        ] {
            assert!(!sub.matches(origin), "{origin}");
        }
        assert!(Pattern::new("https://a.example").matches("https://A.example"));
        assert!(!Pattern::new("https://a.example").matches("https://a.example:8443"));
    }

    #[test]
    fn an_allowed_origin_is_named_and_another_is_not() {
        let cors = Cors::new(&CorsConfig { origins: vec!["https://a.example".into()], ..CorsConfig::default() });
        let answer = |origin: &'static str| {
            let request = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
            let mut response = HeaderMap::new();
            cors.apply(&request, &mut response);
            assert_eq!(response[VARY], "Origin");
            response.get(ACCESS_CONTROL_ALLOW_ORIGIN).cloned()
        };
        assert_eq!(answer("https://a.example"), Some(HeaderValue::from_static("https://a.example")));
        assert_eq!(answer("https://b.example"), None);
    }

    /// What becomes of a request with a cookie and these headers, where `https://*.shop.example` is listed.
    fn admitted(uri: &str, headers: &[(&'static str, &str)]) -> bool {
        let origins = vec!["https://*.shop.example".into(), "*".into()];
        let cors = Cors::new(&CorsConfig { origins, ..CorsConfig::default() });
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        cors.admits_cookie(&request.body(()).expect("a request"))
    }

    #[test]
    fn a_cookie_counts_when_the_page_is_of_this_origin_or_of_one_that_is_named() {
        let host = ("host", "app.example");
        for (uri, headers) in [
            ("/events", vec![host]),
            ("/events", vec![host, ("origin", "https://app.example")]),
            ("/events", vec![host, ("origin", "http://app.example")]),
            ("/events", vec![("host", "app.example:443"), ("origin", "https://app.example")]),
            ("/events", vec![("host", "app.example:8443"), ("origin", "https://APP.example:8443")]),
            ("https://app.example/events", vec![("origin", "https://app.example")]),
            ("/events", vec![host, ("origin", "https://eu.shop.example")]),
            ("/events", vec![host, ("origin", "https://eu.shop.example"), ("sec-fetch-site", "cross-site")]),
            ("/events", vec![host, ("sec-fetch-site", "same-origin")]),
            ("/events", vec![host, ("sec-fetch-site", "none")]),
            (
                "/events",
                vec![("host", "inside:8080"), ("origin", "https://x.example"), ("sec-fetch-site", "same-origin")],
            ),
        ] {
            assert!(admitted(uri, &headers), "{uri} {headers:?}");
        }
    }

    #[test]
    fn a_cookie_that_another_origins_page_sends_does_not_count() {
        let host = ("host", "app.example");
        for headers in [
            vec![host, ("origin", "https://evil.example")],
            vec![host, ("origin", "null")],
            vec![host, ("origin", "")],
            vec![host, ("origin", "app.example")],
            vec![host, ("origin", "chrome-extension://app.example")],
            vec![host, ("origin", "https://app.example:8443")],
            vec![host, ("origin", "https://app.example.evil.example")],
            vec![host, ("origin", "https://app.example"), ("origin", "https://evil.example")],
            vec![host, ("sec-fetch-site", "cross-site")],
            vec![host, ("sec-fetch-site", "same-site")],
            vec![host, ("origin", "http://app.example"), ("sec-fetch-site", "cross-site")],
            vec![host, ("origin", "https://evil.example"), ("sec-fetch-site", "none")],
            vec![("origin", "https://app.example")],
        ] {
            assert!(!admitted("/events", &headers), "{headers:?}");
        }
    }
}

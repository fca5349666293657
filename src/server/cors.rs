//! Cross-origin requests (WHATWG Fetch §3.2): which origins may open a stream, and the headers that say so.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};
use http::{Response, StatusCode};

use super::CorsConfig;
use super::body::Body;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");

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
                    !sub.is_empty() && sub.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
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
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("X-Request-Id"));
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
                HeaderValue::from_static("Authorization, Cache-Control, Content-Type, Last-Event-ID, X-Request-Id"),
            );
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        response
    }

    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(ORIGIN)?;
        let text = origin.to_str().ok()?;
        let pattern = self.origins.iter().find(|pattern| pattern.matches(text))?;
        if *pattern == Pattern::Any { Some(HeaderValue::from_static("*")) } else { Some(origin.clone()) }
    }
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
}

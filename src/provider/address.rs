//! Where an issuer publishes its keys, as the configuration says or as its discovery document does; fetches nothing.

use std::net::IpAddr;

use http::Uri;
use serde::Deserialize;

use super::client::url;
use super::error::RefreshError;
use crate::auth::IssuerConfig;
use crate::setting::Fault;

const NOT_PRIVATE: &str =
    "must be https, since whoever can change an answer on its way can make keys; `allow_http` allows http";

/// Whom to ask for an issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// The JWK set itself.
    Set(Uri),
    /// OpenID Connect Discovery 1.0 §4.
    Discovery {
        document: Uri,
        issuer: String,
        /// Whether the set may be elsewhere than behind TLS.
        allow_http: bool,
    },
}

impl Address {
    /// What the table at `at` says; `None` for an issuer whose keys are not fetched.
    pub(super) fn of(config: &IssuerConfig, at: &str) -> Result<Option<Self>, Fault> {
        let read = |key: &str, text: &str| {
            let address = url(text).and_then(|url| private(url, config.allow_http));
            address.map_err(|problem| Fault::new(format!("{at}.{key}"), problem))
        };
        if let Some(text) = &config.jwks_url {
            return read("jwks_url", text).map(|url| Some(Self::Set(url)));
        }
        if !config.discovery {
            return Ok(None);
        }
        let issuer = read("issuer", &config.issuer)?;
        if issuer.query().is_some() || config.issuer.contains('#') {
            // Discovery 1.0 §3.
            return Err(Fault::new(format!("{at}.issuer"), "must have no query and no fragment"));
        }
        let document = format!("{}/.well-known/openid-configuration", config.issuer.trim_end_matches('/'));
        let document = url(&document).map_err(|problem| Fault::new(format!("{at}.issuer"), problem))?;
        let allow_http = config.allow_http || issuer.scheme_str() == Some("http");
        Ok(Some(Self::Discovery { document, issuer: config.issuer.clone(), allow_http }))
    }

    /// The host alone, for log lines: a path or a query may hold what is not for everybody.
    pub(super) fn host(&self) -> &str {
        let (Self::Set(url) | Self::Discovery { document: url, .. }) = self;
        url.host().unwrap_or_default()
    }
}

/// `url`, unless what comes from there could be changed on its way.
fn private(url: Uri, allow_http: bool) -> Result<Uri, &'static str> {
    if url.scheme_str() == Some("https") || allow_http || is_loopback(&url) { Ok(url) } else { Err(NOT_PRIVATE) }
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The members of a discovery document that matter here (Discovery 1.0 §3).
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

/// Where a discovery document says that the keys are. It must be of just this issuer (Discovery 1.0 §4.3).
pub(super) fn keys_address(document: &[u8], issuer: &str, allow_http: bool) -> Result<Uri, RefreshError> {
    let document: Document = serde_json::from_slice(document).map_err(|_| RefreshError::NotDiscovery)?;
    if document.issuer != issuer {
        return Err(RefreshError::OtherIssuer);
    }
    let keys = url(&document.jwks_uri).map_err(RefreshError::KeysAddress)?;
    if keys.scheme_str() == Some("https") || allow_http {
        Ok(keys)
    } else {
        Err(RefreshError::KeysAddress(NOT_PRIVATE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(issuer: &str) -> IssuerConfig {
        IssuerConfig { issuer: issuer.into(), discovery: true, ..IssuerConfig::default() }
    }

    #[test]
    fn the_discovery_document_is_below_the_issuer() {
        for (issuer, document) in [
            ("https://a.example", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
            ("https://a.example/realms/x", "https://a.example/realms/x/.well-known/openid-configuration"),
        ] {
            let address = Address::of(&discovery(issuer), "i").unwrap().unwrap();
            let expected =
                Address::Discovery { document: document.parse().unwrap(), issuer: issuer.into(), allow_http: false };
            assert_eq!(address, expected);
            assert_eq!(address.host(), "a.example");
        }
        assert_eq!(Address::of(&IssuerConfig::default(), "i"), Ok(None));
    }

    #[test]
    fn keys_come_over_tls_from_loopback_or_as_somebody_has_allowed() {
        let key = |config: &IssuerConfig| Address::of(config, "i").err().map(|fault| fault.key);
        let set = |url: &str| IssuerConfig { jwks_url: Some(url.into()), ..IssuerConfig::default() };
        for good in ["https://a.example/k", "http://127.0.0.1:8080/k", "http://[::1]/k", "http://localhost/k"] {
            assert_eq!((key(&set(good)), key(&discovery(good))), (None, None), "{good}");
        }
        for bad in ["http://a.example/k", "http://localhost.example/k", "http://127.0.0.1.example/", "a.example", ""] {
            assert_eq!((key(&set(bad)), key(&discovery(bad))), (Some("i.jwks_url".into()), Some("i.issuer".into())));
        }
        assert_eq!(key(&IssuerConfig { allow_http: true, ..set("http://a.example/k") }), None);
        assert_eq!(key(&discovery("https://a.example/?x")), Some("i.issuer".into()));
        assert_eq!(key(&discovery("https://a.example/#x")), Some("i.issuer".into()));
    }

    #[test]
    fn a_discovery_document_is_believed_for_its_own_issuer_and_a_private_address() {
        let issuer = "https://a.example";
        let of = |json: &str, allow| keys_address(json.as_bytes(), issuer, allow).map(|url| url.to_string());
        let json = |issuer: &str, keys: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}","other":[1]}}"#);
        assert_eq!(of(&json(issuer, "https://b.example/k"), false).unwrap(), "https://b.example/k");
        assert_eq!(of(&json(issuer, "http://b.example/k"), true).unwrap(), "http://b.example/k");
        for other in ["https://a.example/", "https://A.example", "http://a.example", "https://evil.example", ""] {
            assert!(matches!(of(&json(other, "https://b.example/k"), true), Err(RefreshError::OtherIssuer)), "{other}");
        }
        for keys in ["http://b.example/k", "http://127.0.0.1/k", "file:///k", "/k", "https://u@b.example/k"] {
            assert!(matches!(of(&json(issuer, keys), false), Err(RefreshError::KeysAddress(_))), "{keys}");
        }
        for text in ["", "[]", "{}", r#"{"issuer":"https://a.example"}"#, r#"{"issuer":1,"jwks_uri":"https://b/"}"#] {
            assert!(matches!(of(text, false), Err(RefreshError::NotDiscovery)), "{text}");
        }
    }
}

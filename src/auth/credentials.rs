//! Where a token or a machine's key sits in a request: Authorization, the query, a cookie, a header of its own; says nothing about whether it is any good.

use std::fmt;

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

use super::{AuthConfig, AuthError};

/// Where credentials were found; a token but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Header,
    Query,
    Cookie,
    /// The body of a request that renews a stream.
    Body,
    /// The header for keys of machines.
    ApiKey,
}

/// A token or a key as it was presented: unverified, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    token: String,
    source: Source,
}

impl Credentials {
    #[must_use]
    pub fn new(token: impl Into<String>, source: Source) -> Self {
        Self { token: token.into(), source }
    }

    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Whether `other` carries the same token.
    #[must_use]
    pub fn is_same_token(&self, other: &Self) -> bool {
        self.token == other.token
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("token", &"***").field("source", &self.source).finish()
    }
}

/// Finds the token of a request: `Authorization: Bearer` (RFC 6750 §2.1), then the query parameters in the configured
/// order, then the cookie. An empty value counts as absent, as does another scheme than Bearer.
///
/// Every place is looked at: two tokens that differ are refused, wherever they sit, so that no part of a system in front
/// of this one can have meant the other. A key of a machine beside a token is refused for the same reason.
///
/// Where the application is asked about sessions, what it may have put into Authorization or the cookie itself is left to
/// it: whatever does not have the form of a JWT, and everything where no issuer is configured.
pub fn credentials(
    headers: &HeaderMap,
    query: Option<&str>,
    config: &AuthConfig,
) -> Result<Option<Credentials>, AuthError> {
    let mut found = None;
    if !config.api_key.is_empty() {
        for value in headers.get_all(config.api_key_header.as_str()) {
            let key = value.to_str().map_err(|_| AuthError::ApiKeyUnknown)?;
            keep(&mut found, key, Source::ApiKey)?;
        }
    }
    let is_ours = |token: &&str| config.forward.url.is_none() || (!config.issuer.is_empty() && has_jwt_form(token));
    if let Some(token) = bearer(headers)?.filter(is_ours) {
        keep(&mut found, token, Source::Header)?;
    }
    for name in &config.query {
        for (_, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()).filter(|(key, _)| key == name) {
            keep(&mut found, &value, Source::Query)?;
        }
    }
    if !config.cookie.is_empty() {
        for value in cookies(headers, &config.cookie).filter(is_ours) {
            keep(&mut found, value, Source::Cookie)?;
        }
    }
    Ok(found)
}

/// Three parts of base64url with dots between (RFC 7515 §7.1).
fn has_jwt_form(token: &str) -> bool {
    let is_part = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    token.split('.').count() == 3 && token.split('.').all(is_part)
}

fn keep(found: &mut Option<Credentials>, token: &str, source: Source) -> Result<(), AuthError> {
    match found {
        _ if token.is_empty() => Ok(()),
        Some(first) if first.token == token && (first.source == Source::ApiKey) == (source == Source::ApiKey) => Ok(()),
        Some(_) => Err(AuthError::TokensDisagree),
        None => {
            *found = Some(Credentials::new(token, source));
            Ok(())
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(AuthError::HeaderMalformed);
    }
    let text = value.to_str().map_err(|_| AuthError::HeaderMalformed)?.trim_matches([' ', '\t']);
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    let token = token.trim_start_matches(' ');
    if token.is_empty() || token.contains([' ', '\t']) {
        return Err(AuthError::HeaderMalformed);
    }
    Ok(Some(token))
}

/// The values of the cookie `name` in every Cookie header (HTTP/2 may split it, RFC 9113 §8.2.3), without their quotes.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        // Another cookie may hold any bytes; a token is text.
        let (key, value) = str::from_utf8(pair).ok()?.trim().split_once('=')?;
        let unquoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        (key == name).then_some(unquoted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{ApiKeyConfig, ForwardConfig, IssuerConfig};
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn find(pairs: &[(&'static str, &str)], query: &str) -> Result<Option<(String, Source)>, AuthError> {
        let config = AuthConfig { cookie: "session".into(), ..AuthConfig::default() };
        let found = credentials(&headers(pairs), Some(query), &config)?;
        Ok(found.map(|credentials| (credentials.token.clone(), credentials.source())))
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for value in ["Bearer abc", "bearer abc", "BEARER   abc", " Bearer abc "] {
            assert_eq!(find(&[("authorization", value)], ""), Ok(Some(("abc".into(), Source::Header))), "{value:?}");
        }
    }

    #[test]
    fn a_malformed_authorization_header_is_refused() {
        for value in ["Bearer", "bearer ", "Bearer a b", "Bearer a\tb", "Bearer \u{e4}"] {
            assert_eq!(find(&[("authorization", value)], ""), Err(AuthError::HeaderMalformed), "{value:?}");
        }
        let two = [("authorization", "Bearer a"), ("authorization", "Bearer a")];
        assert_eq!(find(&two, ""), Err(AuthError::HeaderMalformed));
    }

    #[test]
    fn another_scheme_is_no_token() {
        assert_eq!(find(&[("authorization", "Basic YTpi")], ""), Ok(None));
        assert_eq!(find(&[("authorization", "")], "token=q"), Ok(Some(("q".into(), Source::Query))));
    }

    #[test]
    fn header_comes_before_query_before_cookie() {
        let all = [("authorization", "Bearer t"), ("cookie", "session=t")];
        assert_eq!(find(&all, "token=t"), Ok(Some(("t".into(), Source::Header))));
        assert_eq!(find(&all[1..], "access_token=t&token="), Ok(Some(("t".into(), Source::Query))));
        assert_eq!(find(&[("cookie", "a=b; session=\"t\"")], "x=1"), Ok(Some(("t".into(), Source::Cookie))));
        assert_eq!(find(&[("cookie", "a=b"), ("cookie", "session=t")], ""), Ok(Some(("t".into(), Source::Cookie))));
        assert_eq!(find(&[("cookie", "session=; xsession=t")], "token=&access_token"), Ok(None));
    }

    #[test]
    fn a_cookie_beside_it_may_hold_any_bytes() {
        let config = AuthConfig { cookie: "session".into(), ..AuthConfig::default() };
        let latin = HeaderValue::from_bytes(b"name=Jos\xe9; session=t; \xe9=x").unwrap();
        let found = credentials(&HeaderMap::from_iter([(COOKIE, latin)]), None, &config).unwrap().unwrap();
        assert_eq!((found.token(), found.source()), ("t", Source::Cookie));
    }

    #[test]
    fn two_tokens_that_differ_are_refused_wherever_they_sit() {
        let header = ("authorization", "Bearer a");
        let cookie = ("cookie", "session=c");
        for (pairs, query) in [
            (vec![header], "token=b"),
            (vec![header, cookie], ""),
            (vec![cookie], "token=b"),
            (vec![], "token=a&token=b"),
            (vec![], "token=a&access_token=b"),
            (vec![("cookie", "session=a; session=b")], ""),
        ] {
            assert_eq!(find(&pairs, query), Err(AuthError::TokensDisagree), "{pairs:?} {query:?}");
        }
        assert_eq!(find(&[header], "token=a&access_token=%61"), Ok(Some(("a".into(), Source::Header))));
    }

    #[test]
    fn a_key_of_a_machine_stands_alone_and_is_looked_for_only_where_there_are_keys() {
        let keys = AuthConfig {
            api_key: vec![ApiKeyConfig::default()],
            api_key_header: "X-Robot".into(),
            ..AuthConfig::default()
        };
        let find = |config: &AuthConfig, pairs: &[(&'static str, &str)], query: &str| {
            credentials(&headers(pairs), Some(query), config)
                .map(|found| found.map(|found| (found.token, found.source)))
        };
        let key = ("x-robot", "k");
        assert_eq!(find(&keys, &[key], ""), Ok(Some(("k".into(), Source::ApiKey))));
        assert_eq!(find(&keys, &[key, key], ""), Ok(Some(("k".into(), Source::ApiKey))));
        assert_eq!(find(&keys, &[("x-robot", "")], "token=t"), Ok(Some(("t".into(), Source::Query))));
        for (pairs, query) in [
            (vec![key, ("x-robot", "other")], ""),
            (vec![key], "token=t"),
            (vec![key], "token=k"),
            (vec![key, ("authorization", "Bearer k")], ""),
        ] {
            assert_eq!(find(&keys, &pairs, query), Err(AuthError::TokensDisagree), "{pairs:?} {query}");
        }
        assert_eq!(find(&AuthConfig::default(), &[("x-api-key", "k")], ""), Ok(None));
    }

    #[test]
    fn what_the_application_may_have_issued_is_left_to_it_where_it_is_asked() {
        let forward = ForwardConfig { url: Some("http://app/me".into()), ..ForwardConfig::default() };
        let with = |issuer: Vec<IssuerConfig>| AuthConfig {
            forward: forward.clone(),
            issuer,
            cookie: "s".into(),
            ..AuthConfig::default()
        };
        let (both, alone) = (with(vec![IssuerConfig::default()]), with(Vec::new()));
        let find = |config: &AuthConfig, pairs: &[(&'static str, &str)], query: &str| {
            credentials(&headers(pairs), Some(query), config).unwrap().map(|found| found.token)
        };
        for opaque in ["Bearer 7|x1y2", "Bearer a.b", "Bearer a.b.c.d", "Bearer a.b.c="] {
            assert_eq!(find(&both, &[("authorization", opaque)], ""), None, "{opaque}");
        }
        assert_eq!(find(&both, &[("authorization", "Bearer a.b.c")], ""), Some("a.b.c".into()));
        assert_eq!(find(&both, &[("cookie", "s=a.b.c")], ""), Some("a.b.c".into()));
        assert_eq!(find(&both, &[("cookie", "s=opaque")], ""), None);
        assert_eq!(
            find(&both, &[("cookie", "s=opaque")], "token=opaque"),
            Some("opaque".into()),
            "nobody else is sent it"
        );
        assert_eq!(find(&alone, &[("authorization", "Bearer a.b.c"), ("cookie", "s=d.e.f")], ""), None);
    }

    #[test]
    fn credentials_never_show_their_token() {
        let shown = format!("{:?}", Credentials::new("s3cr3t", Source::Query));
        assert!(!shown.contains("s3cr3t") && shown.contains("Query"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_header_cookie_and_query_is_read_or_refused(auth: Vec<u8>, cookie: Vec<u8>, query in ".{0,60}") {
            let mut map = HeaderMap::new();
            for (name, bytes) in [(AUTHORIZATION, auth), (COOKIE, cookie)] {
                if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                    map.append(name, value);
                }
            }
            let config = AuthConfig { cookie: "a".into(), ..AuthConfig::default() };
            if let Ok(Some(found)) = credentials(&map, Some(&query), &config) {
                prop_assert!(!found.token().is_empty());
            }
        }
    }
}

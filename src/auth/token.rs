//! The shape of a token before any key is touched: three parts, a header that asks for nothing special, an algorithm; verifies nothing.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

use super::AuthError;
use super::object::Object;

/// Header parameters that bring a key along or point to one (RFC 7515 §4.1.2, §4.1.3, §4.1.5, §4.1.6), and `crit`
/// (§4.1.11), of whose extensions this program understands none.
const REFUSED_PARAMETERS: [&str; 5] = ["jwk", "jku", "x5u", "x5c", "crit"];

/// A token in JWS compact serialization (RFC 7515 §7.1) whose signature nobody has looked at yet.
pub(super) struct UnverifiedToken<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// `header.payload`, what the signature is over.
    pub(super) signed: &'a str,
    /// Still in base64url.
    pub(super) signature: &'a str,
    payload: &'a str,
}

impl<'a> UnverifiedToken<'a> {
    /// Takes a token of at most `max_bytes` apart.
    pub(super) fn parse(text: &'a str, max_bytes: u64) -> Result<Self, AuthError> {
        if text.len() as u64 > max_bytes {
            return Err(AuthError::TokenTooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return Err(AuthError::TokenMalformed);
        }
        let malformed = AuthError::TokenMalformed;
        let (signed, signature) = text.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(malformed)?;
        // A fifth or sixth part is encryption (RFC 7516 §7.1), an empty payload or signature is detached or unsecured.
        if payload.contains('.') || payload.is_empty() || signature.is_empty() {
            return Err(malformed);
        }
        let header = object(header)?;
        if REFUSED_PARAMETERS.iter().any(|name| header.get(name).is_some()) {
            return Err(AuthError::HeaderRefused);
        }
        // RFC 7797: the payload would not be base64url.
        if header.get("b64").is_some_and(|b64| b64 != true) {
            return Err(AuthError::HeaderRefused);
        }
        let algorithm = header.get("alg").and_then(|alg| alg.as_str()).ok_or(malformed)?;
        let algorithm = Algorithm::from_str(algorithm).map_err(|_| AuthError::AlgorithmRefused)?;
        let kid = match header.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(malformed)?.to_owned()),
        };
        Ok(Self { algorithm, kid, signed, signature, payload })
    }

    /// The claims. Whoever calls this before the signature is verified may only choose between keys by them.
    pub(super) fn claims(&self) -> Result<Object, AuthError> {
        object(self.payload)
    }

    /// The claims as they are written.
    pub(super) fn claims_json(&self) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(self.payload).unwrap_or_default()
    }
}

/// Base64url without padding and with no stray bits at the end (RFC 7515 §2), so that a token has one spelling.
fn object(encoded: &str) -> Result<Object, AuthError> {
    let json = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| AuthError::TokenMalformed)?;
    Object::parse(&json).ok_or(AuthError::TokenMalformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(header: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}"))
    }

    fn refusal(text: &str) -> Option<AuthError> {
        UnverifiedToken::parse(text, 8192).err()
    }

    #[test]
    fn no_spelling_of_none_is_an_algorithm() {
        for alg in ["none", "None", "NONE", "nOnE", "", "none ", "HS256 ", "hs256", "HS1", "RS256,none"] {
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            assert_eq!(refusal(&token(&header)), Some(AuthError::AlgorithmRefused), "{alg:?}");
        }
        for header in ["{}", r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":"none","alg":"HS256"}"#] {
            assert_eq!(refusal(&token(header)), Some(AuthError::TokenMalformed), "{header}");
        }
    }

    #[test]
    fn a_header_that_brings_its_own_key_or_needs_an_extension_is_refused() {
        for extra in [
            r#""jwk":{"kty":"oct","k":"AA"}"#,
            r#""jwk":null"#,
            r#""jku":"https://evil.example/k""#,
            r#""x5u":"https://evil.example/k""#,
            r#""x5c":[]"#,
            r#""crit":["exp"]"#,
            r#""crit":[]"#,
            r#""b64":false"#,
            r#""b64":"false""#,
        ] {
            let header = format!(r#"{{"alg":"HS256",{extra}}}"#);
            assert_eq!(refusal(&token(&header)), Some(AuthError::HeaderRefused), "{extra}");
        }
    }

    #[test]
    fn only_three_full_parts_of_plain_base64url_are_a_token() {
        let good = token(r#"{"alg":"HS256","typ":7}"#);
        assert_eq!(refusal(&good), None);
        let (header, rest) = good.split_once('.').unwrap();
        for bad in [
            String::new(),
            ".".into(),
            "..".into(),
            "...".into(),
            format!("{good}."),
            format!(".{good}"),
            format!("{good}="),
            format!("{good} "),
            format!("{good}\n"),
            format!("{good}.a.b"),
            format!("{header}=.{rest}"),
            format!("{header}..c2ln"),
            format!("{header}.e30."),
            format!("{header}.e30"),
            format!("{good}\u{e4}"),
        ] {
            assert_eq!(refusal(&bad), Some(AuthError::TokenMalformed), "{bad:?}");
        }
    }

    #[test]
    fn a_long_token_is_refused_unread() {
        for length in [8193, 65_536, 1 << 20] {
            assert_eq!(refusal(&"a".repeat(length)), Some(AuthError::TokenTooLong));
        }
        assert_eq!(refusal(&"a".repeat(8192)), Some(AuthError::TokenMalformed));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_or_refused(text in "[-a-zA-Z0-9_.=]{0,60}|.{0,60}") {
            if let Ok(token) = UnverifiedToken::parse(&text, 60) {
                prop_assert_eq!(format!("{}.{}", token.signed, token.signature), text);
            }
        }

        #[test]
        fn any_header_is_taken_or_refused(header in r#"\{"alg":"(HS256|none|.{0,5})"(,"[a-z]{1,3}":(1|"."|null|\{\})){0,3}\}"#) {
            if let Ok(token) = UnverifiedToken::parse(&token(&header), 8192) {
                prop_assert!(Object::parse(header.as_bytes()).is_some_and(|header| header.get("jwk").is_none()));
                prop_assert!(token.claims().is_ok());
            }
        }
    }
}

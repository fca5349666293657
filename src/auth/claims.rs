//! What an issuer's claims must say (RFC 7519 §4.1) and what they say of a user and channels; the signature is verified elsewhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::object::Object;
use super::template::text_or_integer;
use super::{AuthError, IssuerConfig};
use crate::event::UserId;

/// Length of a user id in bytes.
pub const MAX_USER_BYTES: usize = 1024;

/// The end of the year 9999 in seconds: a later date is a mistake, most often one in milliseconds, which would never come.
const MAX_NUMERIC_DATE: f64 = 253_402_300_799.0;

/// The rules that one issuer's claims are held to.
pub(super) struct ClaimRules {
    issuer: String,
    audience: Vec<String>,
    user_claim: String,
    channels_claim: String,
    require_exp: bool,
    leeway: Duration,
}

impl ClaimRules {
    pub(super) fn new(config: &IssuerConfig) -> Self {
        Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            user_claim: config.user_claim.clone(),
            channels_claim: config.channels_claim.clone(),
            require_exp: config.require_exp,
            leeway: config.leeway.0,
        }
    }

    /// The `iss` that these rules ask for; `None` when any will do.
    pub(super) fn required_issuer(&self) -> Option<&str> {
        (!self.issuer.is_empty()).then_some(self.issuer.as_str())
    }

    /// Checks `iss`, `aud`, `nbf` and `exp` against `now`, and says when the identity ends.
    ///
    /// That is at `exp` exactly; a token that the leeway still lets in after its `exp` ends with the leeway.
    pub(super) fn check(&self, claims: &Object, now: SystemTime) -> Result<Option<SystemTime>, AuthError> {
        if self.required_issuer().is_some_and(|issuer| claims.get("iss").is_none_or(|iss| iss != issuer)) {
            return Err(AuthError::IssuerRefused);
        }
        if !self.audience.is_empty() && !self.is_audience(claims.get("aud")) {
            return Err(AuthError::AudienceRefused);
        }
        if let Some(not_before) = numeric_date(claims.get("nbf"))?
            && not_before.duration_since(now).is_ok_and(|ahead| ahead > self.leeway)
        {
            return Err(AuthError::NotYetValid);
        }
        match numeric_date(claims.get("exp"))? {
            None if self.require_exp => Err(AuthError::ExpiryMissing),
            None => Ok(None),
            Some(expiry) if now < expiry => Ok(Some(expiry)),
            // Equal to now is expired (RFC 7519 §4.1.4), as it is with the leeway.
            Some(expiry) => {
                expiry.checked_add(self.leeway).filter(|end| now < *end).map(Some).ok_or(AuthError::Expired)
            }
        }
    }

    /// RFC 7519 §4.1.3: one string, or a list of them.
    fn is_audience(&self, aud: Option<&Value>) -> bool {
        let named = |value: &Value| self.audience.iter().any(|audience| value == audience.as_str());
        match aud {
            Some(Value::Array(list)) => list.iter().any(named),
            Some(value) => named(value),
            None => false,
        }
    }

    /// The user, or `None` for a token that names none and only grants channels.
    pub(super) fn user(&self, claims: &Object) -> Result<Option<UserId>, AuthError> {
        let Some(value) = claims.pointer(&self.user_claim) else { return Ok(None) };
        match text_or_integer(value) {
            Some(user) if !user.is_empty() && user.len() <= MAX_USER_BYTES => Ok(Some(UserId::from(user))),
            _ => Err(AuthError::UserInvalid),
        }
    }

    /// The channel grants as they are written: a list of strings, or one string with spaces between them.
    pub(super) fn channels(&self, claims: &Object) -> Result<Vec<String>, AuthError> {
        match claims.pointer(&self.channels_claim) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(text.split_ascii_whitespace().map(Into::into).collect()),
            Some(Value::Array(list)) => {
                let texts = list.iter().map(|item| item.as_str().map(Into::into));
                texts.collect::<Option<_>>().ok_or(AuthError::ChannelsInvalid)
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(AuthError::ChannelsInvalid),
        }
    }
}

/// RFC 7519 §2: seconds since the epoch, with or without a fraction.
fn numeric_date(claim: Option<&Value>) -> Result<Option<SystemTime>, AuthError> {
    let Some(value) = claim else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=MAX_NUMERIC_DATE).contains(seconds));
    let since_epoch = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    since_epoch.and_then(|since| UNIX_EPOCH.checked_add(since)).map(Some).ok_or(AuthError::TimeInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Span;

    fn rules() -> ClaimRules {
        ClaimRules::new(&IssuerConfig { leeway: Span::from_secs(10), ..IssuerConfig::default() })
    }

    fn claims(json: &str) -> Object {
        Object::parse(json.as_bytes()).unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn check(json: &str, now: u64) -> Result<Option<SystemTime>, AuthError> {
        rules().check(&claims(json), at(now))
    }

    #[test]
    fn an_identity_ends_at_exp_or_with_the_leeway_that_let_it_in() {
        let json = r#"{"exp":100}"#;
        assert_eq!(check(json, 99), Ok(Some(at(100))));
        assert_eq!(check(json, 100), Ok(Some(at(110))));
        assert_eq!(check(json, 109), Ok(Some(at(110))));
        assert_eq!(check(json, 110), Err(AuthError::Expired));
        assert_eq!(check(r#"{"exp":100.5}"#, 100), Ok(Some(at(100) + Duration::from_millis(500))));
    }

    #[test]
    fn a_time_that_is_no_numeric_date_is_refused() {
        for exp in ["\"100\"", "-1", "-0.5", "1e308", "1e300", "1700000000000", "null", "true", "[100]", "{}"] {
            assert_eq!(check(&format!(r#"{{"exp":{exp}}}"#), 50), Err(AuthError::TimeInvalid), "exp {exp}");
            assert_eq!(check(&format!(r#"{{"exp":100,"nbf":{exp}}}"#), 50), Err(AuthError::TimeInvalid), "nbf {exp}");
        }
        assert_eq!(check("{}", 50), Err(AuthError::ExpiryMissing));
    }

    #[test]
    fn nbf_holds_within_the_leeway_and_iat_does_not_matter() {
        assert_eq!(check(r#"{"exp":100,"nbf":61}"#, 50), Err(AuthError::NotYetValid));
        assert!(check(r#"{"exp":100,"nbf":60,"iat":"x"}"#, 50).is_ok());
        assert!(check(r#"{"exp":100,"nbf":60.5}"#, 50).is_err());
    }

    #[test]
    fn exp_may_be_left_out_where_that_is_configured() {
        let lax = ClaimRules { require_exp: false, ..rules() };
        assert_eq!(lax.check(&claims("{}"), at(50)), Ok(None));
        assert_eq!(lax.check(&claims(r#"{"exp":1}"#), at(50)), Err(AuthError::Expired));
    }

    #[test]
    fn issuer_and_audience_must_be_the_configured_ones() {
        let strict = ClaimRules { issuer: "i".into(), audience: vec!["web".into(), "app".into()], ..rules() };
        let check = |json: &str| strict.check(&claims(json), at(50)).map(|_| ());
        for aud in [r#""web""#, r#"["x","app"]"#] {
            assert_eq!(check(&format!(r#"{{"exp":100,"iss":"i","aud":{aud}}}"#)), Ok(()));
        }
        for aud in [r#""x""#, "[]", r#"["web2"]"#, "7", "null", r#"[["web"]]"#, r#"{"web":1}"#] {
            let json = format!(r#"{{"exp":100,"iss":"i","aud":{aud}}}"#);
            assert_eq!(check(&json), Err(AuthError::AudienceRefused), "{aud}");
        }
        assert_eq!(check(r#"{"exp":100,"iss":"i"}"#), Err(AuthError::AudienceRefused));
        for iss in [r#""I""#, r#"["i"]"#, "null"] {
            assert_eq!(check(&format!(r#"{{"exp":100,"aud":"web","iss":{iss}}}"#)), Err(AuthError::IssuerRefused));
        }
    }

    #[test]
    fn a_user_is_text_or_an_integer_or_absent() {
        let user = |json: &str| rules().user(&claims(json)).map(|user| user.map(|user| user.as_str().to_owned()));
        assert_eq!(user(r#"{"sub":"a.*"}"#), Ok(Some("a.*".into())));
        assert_eq!(user(r#"{"sub":42}"#), Ok(Some("42".into())));
        assert_eq!(user(r#"{"sub":18446744073709551615}"#), Ok(Some("18446744073709551615".into())));
        assert_eq!(user("{}"), Ok(None));
        let long = format!("\"{}\"", "a".repeat(MAX_USER_BYTES + 1));
        for sub in [r#""""#, "null", "1.0", "1e30", "99999999999999999999", "[\"a\"]", "{}", "true", &long] {
            assert_eq!(user(&format!(r#"{{"sub":{sub}}}"#)), Err(AuthError::UserInvalid), "{sub}");
        }
    }

    #[test]
    fn channels_are_a_list_or_one_string_or_absent() {
        let channels = |json: &str| rules().channels(&claims(json));
        assert_eq!(channels(r#"{"channels":["a b","c.#"]}"#), Ok(vec!["a b".into(), "c.#".into()]));
        assert_eq!(channels(r#"{"channels":" a  c.# "}"#), Ok(vec!["a".into(), "c.#".into()]));
        assert_eq!(channels("{}"), Ok(vec![]));
        for value in ["null", "7", "{}", "[1]", r#"["a",null]"#] {
            assert_eq!(channels(&format!(r#"{{"channels":{value}}}"#)), Err(AuthError::ChannelsInvalid), "{value}");
        }
    }
}

//! An order to end streams as it is written: `{"user": "42", "reason": "…"}`; parsed, and carried out elsewhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use uuid::Uuid;

/// The longest order, in bytes.
pub const MAX_ORDER_BYTES: usize = 8 << 10;
/// The longest reason that streams are told, in bytes; it is cut.
const MAX_REASON_BYTES: usize = 256;
/// What streams are told when the order has no reason.
const NO_REASON: &str = "disconnected";

/// Ends the streams that `target` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    pub target: Target,
    /// What the streams are told.
    pub reason: String,
    /// Until when a token or session stays revoked; the configured time when there is none.
    pub until: Option<SystemTime>,
}

/// Whose streams end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    User(String),
    Channel(String),
    Connection(Uuid),
    /// Of the token with this `jti`, which is refused from then on.
    Token(String),
    /// Of the session with this `sid`, whose tokens are refused from then on.
    Session(String),
}

/// Why an order means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error(
        "an order is a JSON object of at most {MAX_ORDER_BYTES} bytes with `user`, `jti`, `sid`, `channel` or `connection`, and perhaps `reason` and `exp`"
    )]
    Shape,
    #[error("an order names exactly one of `user`, `jti`, `sid`, `channel` and `connection`")]
    Target,
    #[error("`connection` is the connectionId of a `connected` event")]
    Connection,
    #[error("`exp` is a time in seconds since 1970")]
    Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    user: Option<Name>,
    channel: Option<Name>,
    connection: Option<String>,
    jti: Option<Name>,
    sid: Option<Name>,
    reason: Option<String>,
    exp: Option<f64>,
}

/// Ids are text, and often written as numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Number(i64),
    LargeNumber(u64),
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        match name {
            Name::Text(text) => text,
            Name::Number(number) => number.to_string(),
            Name::LargeNumber(number) => number.to_string(),
        }
    }
}

impl Disconnect {
    /// Reads an order.
    pub fn parse(json: &[u8]) -> Result<Self, Malformed> {
        if json.len() > MAX_ORDER_BYTES {
            return Err(Malformed::Shape);
        }
        let written: Written = serde_json::from_slice(json).map_err(|_| Malformed::Shape)?;
        let connection =
            written.connection.map(|id| Uuid::parse_str(&id).map_err(|_| Malformed::Connection)).transpose()?;
        let targets = [
            written.user.map(|user| Target::User(user.into())),
            written.channel.map(|channel| Target::Channel(channel.into())),
            connection.map(Target::Connection),
            written.jti.map(|jti| Target::Token(jti.into())),
            written.sid.map(|sid| Target::Session(sid.into())),
        ];
        let mut given = targets.into_iter().flatten();
        let (Some(target), None) = (given.next(), given.next()) else { return Err(Malformed::Target) };
        let until = written.exp.map(|seconds| time(seconds).ok_or(Malformed::Time)).transpose()?;
        Ok(Self { target, reason: written.reason.map_or_else(|| NO_REASON.to_owned(), cut), until })
    }
}

fn cut(mut reason: String) -> String {
    while reason.len() > MAX_REASON_BYTES {
        reason.pop();
    }
    reason
}

fn time(seconds: f64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<(Target, String), Malformed> {
        Disconnect::parse(json.as_bytes()).map(|order| (order.target, order.reason))
    }

    #[test]
    fn an_order_names_one_target_and_perhaps_a_reason() {
        let id = Uuid::from_u128(7);
        for (json, target) in [
            (r#"{"user":"a","reason":"r"}"#.to_owned(), Target::User("a".into())),
            (r#"{"user":42,"reason":"r"}"#.to_owned(), Target::User("42".into())),
            (r#"{"jti":18446744073709551615,"reason":"r"}"#.to_owned(), Target::Token(u64::MAX.to_string())),
            (r#"{"channel":"a.b","reason":"r"}"#.to_owned(), Target::Channel("a.b".into())),
            (format!(r#"{{"connection":"{id}","reason":"r"}}"#), Target::Connection(id)),
            (r#"{"jti":"a","reason":"r","user":null}"#.to_owned(), Target::Token("a".into())),
            (r#"{"sid":"a","reason":"r"}"#.to_owned(), Target::Session("a".into())),
        ] {
            assert_eq!(parsed(&json), Ok((target, "r".into())), "{json}");
        }
        assert_eq!(parsed(r#"{"user":"a"}"#).map(|order| order.1), Ok(NO_REASON.into()));
        let long = format!(r#"{{"user":"a","reason":"{}"}}"#, "ä".repeat(200));
        assert_eq!(parsed(&long).map(|order| order.1), Ok("ä".repeat(MAX_REASON_BYTES / 2)));
    }

    #[test]
    fn what_is_no_order_is_refused() {
        for json in
            ["", "[]", "{", r#"{"user":["a"]}"#, r#"{"user":1.5}"#, r#"{"usr":"a"}"#, r#"{"user":"a","all":true}"#]
        {
            assert_eq!(parsed(json), Err(Malformed::Shape), "{json}");
        }
        for json in ["{}", r#"{"reason":"r"}"#, r#"{"user":"a","jti":"b"}"#] {
            assert_eq!(parsed(json), Err(Malformed::Target), "{json}");
        }
        assert_eq!(parsed(r#"{"connection":"a"}"#), Err(Malformed::Connection));
        let large = format!(r#"{{"user":"{}"}}"#, "a".repeat(MAX_ORDER_BYTES));
        assert_eq!(parsed(&large), Err(Malformed::Shape));
    }

    #[test]
    fn a_revocation_ends_at_a_time_in_seconds() {
        let until = |exp: &str| Disconnect::parse(format!(r#"{{"jti":"a","exp":{exp}}}"#).as_bytes()).map(|o| o.until);
        assert_eq!(until("10.5"), Ok(UNIX_EPOCH.checked_add(Duration::from_millis(10_500))));
        assert_eq!(until("null"), Ok(None));
        for exp in ["-1", "1e300"] {
            assert_eq!(until(exp), Err(Malformed::Time), "{exp}");
        }
    }
}

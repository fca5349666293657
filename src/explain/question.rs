//! What is asked: a subscriber and a message, read from JSON; what the answer is, is not known here.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::event::{Message, PROPERTIES, Scalar};
use crate::setting::Secret;

/// A longer question is refused unread: more than the largest message that is usual.
pub const MAX_QUESTION_BYTES: usize = 4 << 20;

/// Whom it is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Who {
    Anonymous,
    /// Judged like that of a request.
    Token(Secret),
    /// A JSON object, taken for the claims of a token that somebody has signed.
    Claims(String),
    /// The name of an `[[auth.api_key]]`.
    ApiKey(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub who: Who,
    pub message: Message,
}

/// Why a question cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    #[error("this is no question: {0}")]
    Json(#[from] serde_json::Error),
    #[error("say whom it is about with one of `token`, `claims`, `api_key` and `anonymous`")]
    NobodyOrSeveral,
    #[error("there is no auth.api_key with that name")]
    NoSuchApiKey,
    #[error("AMQP has no such property; it has {}", PROPERTIES.join(", "))]
    NoSuchProperty,
}

/// A question as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    token: Option<Secret>,
    claims: Option<Box<RawValue>>,
    api_key: Option<String>,
    #[serde(default)]
    anonymous: bool,
    /// The routing key.
    key: String,
    /// Text, or JSON that is taken as it stands.
    body: Option<Box<RawValue>>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    properties: Map<String, Value>,
}

impl Question {
    /// Reads `{"claims": {…}, "key": "user.42.hello", "body": …, "headers": {…}, "properties": {…}}`.
    ///
    /// # Errors
    /// When it is something else, or does not say whom it is about. None quotes the token.
    pub fn read(json: &[u8]) -> Result<Self, QuestionError> {
        let written: Written = serde_json::from_slice(json)?;
        let whos = [
            written.token.map(Who::Token),
            written.claims.map(|claims| Who::Claims(claims.get().to_owned())),
            written.api_key.map(Who::ApiKey),
            written.anonymous.then_some(Who::Anonymous),
        ];
        let mut whos = whos.into_iter().flatten();
        let (Some(who), None) = (whos.next(), whos.next()) else { return Err(QuestionError::NobodyOrSeveral) };
        let body = written.body.map(|body| {
            let text = serde_json::from_str::<String>(body.get());
            text.unwrap_or_else(|_is_other_json| body.get().to_owned())
        });
        let mut properties = Vec::with_capacity(written.properties.len());
        for (name, value) in written.properties {
            let known = PROPERTIES.into_iter().find(|known| *known == name).ok_or(QuestionError::NoSuchProperty)?;
            properties.push((known, scalar(value)));
        }
        let headers = written.headers.into_iter().map(|(name, value)| (name, scalar(value))).collect();
        let body = body.unwrap_or_default().into();
        Ok(Self { who, message: Message { routing_key: written.key, headers, properties, body } })
    }
}

fn scalar(value: Value) -> Scalar {
    match value {
        Value::String(text) => Scalar::Text(text),
        Value::Bool(truth) => Scalar::Boolean(truth),
        Value::Number(number) => number.as_i64().map_or(Scalar::Unusable, Scalar::Integer),
        Value::Null | Value::Array(_) | Value::Object(_) => Scalar::Unusable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_question_has_a_subscriber_and_a_message() {
        let json = br#"{"claims": {"sub": "a", "sub": "b"}, "key": "k", "body": {"n": 1.50},
            "headers": {"t": "x", "n": 7, "y": true, "l": []}, "properties": {"type": "order"}}"#;
        let Question { who, message } = Question::read(json).unwrap();
        assert_eq!(who, Who::Claims(r#"{"sub": "a", "sub": "b"}"#.into()), "as it is written");
        assert_eq!((message.routing_key.as_str(), &message.body[..]), ("k", &br#"{"n": 1.50}"#[..]));
        assert_eq!(message.properties, [("type", Scalar::Text("order".into()))]);
        let headers: Vec<_> = message.headers.into_iter().map(|(_, value)| value).collect();
        let expected = [Scalar::Unusable, Scalar::Integer(7), Scalar::Text("x".into()), Scalar::Boolean(true)];
        assert_eq!(headers, expected);
        let text = Question::read(br#"{"anonymous": true, "key": "k", "body": "a\nb"}"#).unwrap();
        assert_eq!((text.who, &text.message.body[..]), (Who::Anonymous, &b"a\nb"[..]));
    }

    #[test]
    fn what_is_no_question_is_refused_without_the_token() {
        for json in [
            r#"{"key": "k"}"#,
            r#"{"key": "k", "token": "s3cr3t", "anonymous": true}"#,
            r#"{"key": "k", "token": "s3cr3t", "colour": 1}"#,
            r#"{"token": "s3cr3t"}"#,
            r#"{"key": "k", "token": ["s3cr3t"]}"#,
            r#"{"key": "k", "token": "s3cr3t", "properties": {"colour": 1}}"#,
            r#"{"key": 1, "token": "s3cr3t"}"#,
            "[]",
            "",
        ] {
            let error = Question::read(json.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r#"\{"key":("a"|1|\PC{0,3}),"(token|claims|anonymous|body|\PC{0,3})":(true|"a"|\{\}|\PC{0,5})\}|\PC{0,40}"#) {
            let read = Question::read(text.as_bytes());
            prop_assert!(read.is_ok() || !read.unwrap_err().to_string().is_empty());
        }
    }
}

//! Grants by template (`team.{claim:/team}.#`): parsed once, filled from verified claims whose values stay data.

use serde_json::Value;

use super::AuthError;
use super::grants::{MAX_GRANT_BYTES, MAX_GRANTS};
use super::object::{Object, is_pointer};

/// A channel pattern with claims in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// A JSON pointer into the claims.
    Claim(String),
}

impl Template {
    /// Reads a template; the error is a clause for a fault.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, after) = after.split_once('}').ok_or("has a `{` without its `}`")?;
            let pointer = inside.strip_prefix("claim:").ok_or("knows no placeholder but `{claim:/pointer}`")?;
            if !is_pointer(pointer) {
                return Err("needs a JSON pointer such as `/team` behind `claim:`");
            }
            pieces.push(Piece::Text(before.into()));
            pieces.push(Piece::Claim(pointer.into()));
            rest = after;
        }
        pieces.push(Piece::Text(rest.into()));
        let stray = |piece: &Piece| matches!(piece, Piece::Text(text) if text.contains('}'));
        if pieces.iter().any(stray) {
            return Err("has a `}` without its `{`");
        }
        if text.is_empty() || text.len() > MAX_GRANT_BYTES {
            return Err("must be 1 to 255 bytes long");
        }
        Ok(Self(pieces))
    }

    /// The grants that `claims` make of this template: one for each element of a claim that is a list, none when a claim
    /// is missing, is neither text nor an integer, or cannot be one word of a channel name.
    pub(super) fn fill(&self, claims: &Object) -> Result<Vec<String>, AuthError> {
        let mut grants = vec![String::new()];
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => grants.iter_mut().for_each(|grant| grant.push_str(text)),
                Piece::Claim(pointer) => {
                    let values = values(claims.pointer(pointer));
                    // Two lists multiply.
                    if grants.len() * values.len() > MAX_GRANTS {
                        return Err(AuthError::ChannelsTooMany);
                    }
                    grants =
                        grants.iter().flat_map(|grant| values.iter().map(move |v| format!("{grant}{v}"))).collect();
                    grants.retain(|grant| grant.len() <= MAX_GRANT_BYTES);
                }
            }
        }
        grants.retain(|grant| grant.len() <= MAX_GRANT_BYTES);
        Ok(grants)
    }
}

fn values(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::Array(list)) => list.iter().filter_map(word).collect(),
        Some(value) => word(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The value as one word of a channel name. A claim is data: a `.` would make more words of it and `*` and `#` a wildcard,
/// so that somebody who may choose their team's name could choose everybody's.
fn word(value: &Value) -> Option<String> {
    let text = text_or_integer(value)?;
    let is_plain = !text.is_empty() && text != "*" && text != "#" && !text.contains('.');
    is_plain.then_some(text)
}

/// The text of a JSON string or of an integer that fits 64 bits.
pub(super) fn text_or_integer(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{TopicPattern, words};
    use proptest::prelude::*;

    fn fill(template: &str, claims: &str) -> Result<Vec<String>, AuthError> {
        Template::parse(template).unwrap().fill(&Object::parse(claims.as_bytes()).unwrap())
    }

    #[test]
    fn a_template_takes_text_integers_and_lists() {
        let claims = r#"{"team":"red","id":-7,"roles":["a",2,null,"b"],"deep":{"x":["y"]}}"#;
        for (template, want) in [
            ("team.{claim:/team}.#", vec!["team.red.#"]),
            ("{claim:/team}-{claim:/id}", vec!["red--7"]),
            ("role.{claim:/roles}", vec!["role.a", "role.2", "role.b"]),
            ("{claim:/roles/1}.{claim:/deep/x}", vec!["2.y"]),
            ("all", vec!["all"]),
            ("x.{claim:/none}", vec![]),
            ("x.{claim:/deep}", vec![]),
        ] {
            assert_eq!(fill(template, claims).unwrap(), want, "{template}");
        }
    }

    #[test]
    fn a_claim_brings_no_wildcard_and_no_further_word() {
        for value in ["*", "#", "", ".", "a.b", "#.a", "a.*"] {
            assert_eq!(fill("team.{claim:/t}", &format!(r#"{{"t":"{value}"}}"#)), Ok(vec![]), "{value:?}");
        }
        for claims in [r#"{"t":1.5}"#, r#"{"t":true}"#, r#"{"t":null}"#, r#"{"t":[["a"]]}"#] {
            assert_eq!(fill("team.{claim:/t}", claims), Ok(vec![]), "{claims}");
        }
    }

    #[test]
    fn lists_do_not_multiply_without_end() {
        let list = format!("{:?}", vec!["a"; 100]);
        let claims = format!(r#"{{"l":{list}}}"#);
        assert_eq!(fill("{claim:/l}.{claim:/l}.{claim:/l}", &claims), Err(AuthError::ChannelsTooMany));
        assert_eq!(fill("{claim:/l}", &claims).map(|grants| grants.len()), Ok(100));
    }

    #[test]
    fn a_malformed_template_is_refused() {
        for text in ["", "{", "a}", "{claim:/a", "{claim:a}", "{claim:}", "{user}", "{claim:/a~}", "{{claim:/a}}"] {
            assert!(Template::parse(text).is_err(), "{text:?}");
        }
        assert!(Template::parse(&"a".repeat(256)).is_err());
    }

    proptest! {
        #[test]
        fn a_filled_template_covers_nothing_that_another_value_would(a in "[*#.ab]{0,4}", b in "[*#.ab]{0,4}", other in "[ab]{1,3}") {
            let claims = serde_json::json!({ "a": a, "b": b }).to_string();
            for grant in fill("t.{claim:/a}{claim:/b}", &claims).unwrap() {
                prop_assert_eq!(words(&grant).count(), 2);
                prop_assert!(TopicPattern::new(&grant).is_literal());
                let elsewhere = format!("t.{other}");
                prop_assert!(grant == elsewhere || !TopicPattern::new(&grant).matches(&elsewhere));
            }
        }
    }
}

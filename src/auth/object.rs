//! A JSON object in which no name occurs twice, as a token's header and claims must be; what the names mean is not known here.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// A JSON object without duplicate names at any depth.
///
/// RFC 7515 §4 and RFC 7519 §4 leave a reader the choice between refusing duplicates and taking the last one. Two readers
/// that choose differently can be told different things by one token, so they are refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object(Value);

impl Object {
    /// Reads JSON text; `None` when it is anything but one object with unique names.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        match serde_json::from_slice::<Unique>(json) {
            Ok(Unique(value)) if value.is_object() => Some(Self(value)),
            _ => None,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Adds what is not there.
    pub(super) fn or_insert(&mut self, name: &str, value: Value) {
        if let Value::Object(members) = &mut self.0 {
            members.entry(name).or_insert(value);
        }
    }

    /// The value at a JSON pointer (RFC 6901).
    pub(super) fn pointer(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }
}

/// Whether `text` is a JSON pointer (RFC 6901 §3) to something inside a document.
pub(super) fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(value)) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unique(value))) = map.next_entry::<String, Unique>()? {
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("a name occurs twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_an_object_with_unique_names_is_read() {
        for json in
            ["", "1", "[]", "null", r#"{"a":1,"a":1}"#, r#"{"a":{"b":1,"\u0062":2}}"#, r#"{"a":[{"b":1,"b":1}]}"#]
        {
            assert_eq!(Object::parse(json.as_bytes()), None, "{json}");
        }
        for json in [r#"{"a":1e999}"#, r#"{"a":1} x"#, "{\"a\":\"\u{0}\"}"] {
            assert_eq!(Object::parse(json.as_bytes()), None, "{json:?}");
        }
        let deep = format!("{}1{}", r#"{"a":"#.repeat(5000), "}".repeat(5000));
        assert_eq!(Object::parse(deep.as_bytes()), None);
    }

    #[test]
    fn a_pointer_starts_with_a_slash_and_escapes_as_the_rfc_says() {
        for (text, want) in [("/a", true), ("/a~0b/c~1d", true), ("/", true), ("", false), ("a", false), ("/a~", false)]
        {
            assert_eq!(is_pointer(text), want, "{text:?}");
        }
        assert!(!is_pointer("/a~2"));
    }

    proptest! {
        #[test]
        fn what_is_read_agrees_with_serde_json(json in r#"\{("[ab]":(1|-2|0.5|"x"|null|true|\[1,\{"a":2\}\]),){0,2}"c":3\}"#) {
            if let Some(object) = Object::parse(json.as_bytes()) {
                prop_assert_eq!(object.0, serde_json::from_str::<Value>(&json).unwrap());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Some(object) = Object::parse(&bytes) {
                prop_assert!(object.0.is_object());
            }
        }
    }
}

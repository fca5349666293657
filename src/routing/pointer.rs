//! JSON pointers (RFC 6901) into JSON text: what they name is found as it stands, byte for byte, and never re-serialized.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::problem::Problem;

/// A JSON pointer, its tokens unescaped; without any it names the whole document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pointer(Box<[Box<str>]>);

impl Pointer {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Ok(Self(Box::default()));
        }
        let tokens = text.strip_prefix('/').ok_or_else(|| Problem::PointerStart(text.to_owned()))?;
        let tokens: Option<_> = tokens.split('/').map(unescape).collect();
        tokens.map(Self).ok_or_else(|| Problem::PointerEscape(text.to_owned()))
    }

    /// The value that the pointer names, without the white space around it. Of two members of one name the last counts,
    /// as everywhere in `serde_json`.
    ///
    /// One level at a time without recursion, so that neither a deep document nor a long pointer can exhaust the stack;
    /// the cost is the size of the document times the tokens that lead anywhere.
    pub(super) fn find<'d>(&self, document: &'d RawValue) -> Option<&'d RawValue> {
        self.0.iter().try_fold(document, |value, token| {
            let mut reader = serde_json::Deserializer::from_str(value.get());
            let found = match value.get().as_bytes().first() {
                Some(b'{') => reader.deserialize_map(Member(token)),
                Some(b'[') => reader.deserialize_seq(Element(index(token)?)),
                _ => return None,
            };
            // The text of a raw value is JSON already: nothing can fail but our reading of it.
            found.ok().flatten()
        })
    }
}

/// RFC 6901 §4: `~1` is `/`, `~0` is `~`, and no other `~` is allowed.
fn unescape(token: &str) -> Option<Box<str>> {
    let mut parts = token.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = part.split_at_checked(1)?;
        text.push(match escaped {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        text.push_str(rest);
    }
    Some(text.into())
}

/// RFC 6901 §4: an array index has no leading zero; `-` names the element behind the last, which does not exist.
fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (token.len() > 1 && token.starts_with('0')) {
        return None;
    }
    token.parse().ok()
}

/// Finds the last member of a name in an object.
struct Member<'t>(&'t str);

impl<'d> Visitor<'d> for Member<'_> {
    type Value = Option<&'d RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Name(self.0))? {
            if is_it {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether the name of a member is this one. Read as bytes, since JSON allows names that are not Unicode (`"\ud800"`)
/// and one of those must not spoil its neighbours.
struct Name<'t>(&'t str);

impl<'d> DeserializeSeed<'d> for Name<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<bool, E> {
        Ok(name == self.0.as_bytes())
    }
}

/// Finds one element of an array.
struct Element(usize);

impl<'d> Visitor<'d> for Element {
    type Value = Option<&'d RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        for _ in 0..self.0 {
            if elements.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = elements.next_element()?;
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn find<'d>(document: &'d str, pointer: &str) -> Option<&'d str> {
        let document: &RawValue = serde_json::from_str(document).unwrap();
        Pointer::parse(pointer).unwrap().find(document).map(RawValue::get)
    }

    #[test]
    fn the_examples_of_rfc_6901_are_found() {
        let document = r#"{ "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3,
            "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8 }"#;
        for (pointer, value) in [
            ("/foo", r#"["bar", "baz"]"#),
            ("/foo/0", r#""bar""#),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
            ("", document),
        ] {
            assert_eq!(find(document, pointer), Some(value), "{pointer}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let document = r#"{"list":[1,2],"text":"ab","null":null,"01":[3]}"#;
        for pointer in ["/none", "/list/2", "/list/-", "/list/01", "/list/+1", "/list/", "/text/0", "/null/x", "//"] {
            assert_eq!(find(document, pointer), None, "{pointer}");
        }
        assert_eq!(find(document, "/01/0"), Some("3"));
        assert_eq!(find(document, "/null"), Some("null"));
        assert_eq!(find("[1]", "/99999999999999999999999999"), None);
    }

    #[test]
    fn values_are_found_byte_for_byte() {
        let document = "{\"a\": \t{ \"n\" : 1e400 , \"m\":-0.10,\"s\":\"\\u00e9\\/é\" } }";
        assert_eq!(find(document, "/a"), Some("{ \"n\" : 1e400 , \"m\":-0.10,\"s\":\"\\u00e9\\/é\" }"));
        assert_eq!(find(document, "/a/n"), Some("1e400"));
        assert_eq!(find(document, "/a/s"), Some("\"\\u00e9\\/é\""));
    }

    #[test]
    fn of_two_members_of_one_name_the_last_counts() {
        assert_eq!(find(r#"{"a":1,"\u0061":2,"b":{"a":3}}"#, "/a"), Some("2"));
    }

    #[test]
    fn a_name_that_is_not_unicode_does_not_spoil_its_neighbours() {
        assert_eq!(find(r#"{"\ud800":1,"a":"\udfff","b":2}"#, "/b"), Some("2"));
    }

    #[test]
    fn depth_is_no_danger() {
        let depth = 200_000;
        let document = format!("{}7{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(find(&document, "/0/0").map(str::len), Some(2 * depth + 1 - 4));
        let depth = 500;
        let document = format!("{}7{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert_eq!(find(&document, &"/a".repeat(depth)), Some("7"));
    }

    #[test]
    fn each_problem_of_a_pointer_is_named() {
        assert_eq!(Pointer::parse("a"), Err(Problem::PointerStart("a".into())));
        for text in ["/~", "/a~2", "/~~0", "/a/~é"] {
            assert_eq!(Pointer::parse(text), Err(Problem::PointerEscape(text.into())));
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), ".{0,4}".prop_map(Value::from)];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map("[ab~/01]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_finds_what_serde_json_finds(document in json(), pointer in "(/([ab01]|~0|~1){0,2}){0,4}") {
            let text = document.to_string();
            let found = find(&text, &pointer).map(|found| serde_json::from_str::<Value>(found).unwrap());
            prop_assert_eq!(found.as_ref(), document.pointer(&pointer));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[a/~01é]{0,12}") {
            if let Ok(pointer) = Pointer::parse(&text) {
                let escaped = |token: &str| format!("/{}", token.replace('~', "~0").replace('/', "~1"));
                prop_assert_eq!(pointer.0.iter().map(|token| escaped(token)).collect::<String>(), text);
            }
        }
    }
}

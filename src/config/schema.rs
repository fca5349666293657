//! The configuration as a JSON schema: what each key takes is asked of the structs themselves, what it means of `config.toml`.

mod comments;

use figment::error::Kind as Cause;
use figment::value::{Dict, Tag, Value};
use serde_json::{Map, Value as Json, json};

use super::Config;
use super::shape::{Kind, Shape};
use comments::Comments;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Text that no setting takes which is not any text.
const NONSENSE: &str = "\u{1}";
/// A length of time or a size: digits first, then units; the program itself is stricter.
const QUANTITY: &str = "^[0-9][0-9A-Za-zµ. ]*$";
/// An address with its port.
const ADDRESS: &str = "^(\\[.+\\]|[^:]+):[0-9]+$";

/// The schema in draft 2020-12, ending with a line break. It refuses unknown keys and ill-typed values; what sections
/// must be among themselves only `check` knows.
#[must_use]
pub fn schema() -> String {
    let shape = Shape::new();
    let comments = Comments::read(super::SHIPPED);
    let builder = Builder { shape: &shape, comments: &comments };
    let mut root = shape.at(&[]).map_or_else(Map::new, |known| builder.section(known, &mut Vec::new()));
    root.insert("$schema".into(), DIALECT.into());
    root.insert("title".into(), "Configuration of Cottontail".into());
    format!("{:#}\n", Json::Object(root))
}

struct Builder<'a> {
    shape: &'a Shape,
    comments: &'a Comments,
}

impl Builder<'_> {
    fn section(&self, known: &Json, path: &mut Vec<String>) -> Map<String, Json> {
        let mut properties = Map::new();
        for (name, child) in known.as_object().into_iter().flatten() {
            path.push(name.clone());
            properties.insert(name.clone(), Json::Object(self.described(child, path)));
            path.pop();
        }
        object(json!({ "type": "object", "additionalProperties": false, "properties": properties }))
    }

    fn described(&self, known: &Json, path: &mut Vec<String>) -> Map<String, Json> {
        let mut schema = match Kind::of(known) {
            Kind::Section => self.section(known, path),
            Kind::Tables => {
                path.push("0".into());
                let element = self.section(&known[0], path);
                path.pop();
                object(json!({ "type": "array", "items": element }))
            }
            Kind::List => self.list(path),
            Kind::Truth => object(json!({ "type": "boolean" })),
            Kind::Number => number(path),
            Kind::Secret => object(json!({ "type": "string", "writeOnly": true })),
            Kind::Text => text(path),
        };
        if let Some(comment) = self.comments.of(path) {
            schema.insert("description".into(), comment.into());
        }
        if let Some(default) = self.default(known, path) {
            schema.insert("default".into(), default.clone());
        }
        schema
    }

    /// What a key is when it is left out, unless that is a section, nothing, or not to be shown.
    fn default<'k>(&'k self, known: &'k Json, path: &[String]) -> Option<&'k Json> {
        match Kind::of(known) {
            Kind::Section | Kind::Tables | Kind::Secret => None,
            Kind::List if known.as_array()?.iter().any(|item| Kind::of(item) == Kind::Secret) => None,
            Kind::List | Kind::Truth | Kind::Number | Kind::Text if known.is_null() => None,
            // An element of a table has the defaults of its own kind.
            Kind::List | Kind::Truth | Kind::Number | Kind::Text => self.shape.default_at(path).or(Some(known)),
        }
    }

    fn list(&self, path: &[String]) -> Map<String, Json> {
        let items = path.iter().cloned().chain(["0".to_owned()]).collect::<Vec<_>>();
        let secret = self.shape.at(&items).is_some_and(|item| Kind::of(item) == Kind::Secret);
        let item = if secret { json!({ "type": "string", "writeOnly": true }) } else { json!({ "type": "string" }) };
        if takes(path, "any") {
            return object(json!({ "type": ["string", "array"], "items": item }));
        }
        object(json!({ "type": "array", "items": item }))
    }
}

fn number(path: &[String]) -> Map<String, Json> {
    let mut schema = object(json!({ "type": "integer", "minimum": 0 }));
    let most = [u64::from(u16::MAX), u64::from(u32::MAX)].into_iter().find(|most| !takes(path, most + 1));
    if let Some(most) = most {
        schema.insert("maximum".into(), most.into());
    }
    schema
}

fn text(path: &[String]) -> Map<String, Json> {
    if takes(path, NONSENSE) {
        return object(json!({ "type": "string" }));
    }
    if let Some(words) = words(path) {
        return object(json!({ "enum": words }));
    }
    if takes(path, "1s") {
        return object(json!({ "type": "string", "pattern": QUANTITY }));
    }
    if takes(path, "1KiB") {
        let bytes = takes(path, 1_u64);
        let types = if bytes { json!(["string", "integer"]) } else { json!("string") };
        let mut schema = object(json!({ "type": types, "pattern": QUANTITY }));
        schema.extend(bytes.then(|| ("minimum".to_owned(), json!(0))));
        return schema;
    }
    object(json!({ "type": "string", "pattern": ADDRESS }))
}

/// Whether the key takes the value as far as its type goes.
fn takes(path: &[String], value: impl Into<Value>) -> bool {
    nested(path, value.into()).deserialize::<Config>().is_ok()
}

/// The words that the key takes, if these are all.
fn words(path: &[String]) -> Option<&'static [&'static str]> {
    let error = nested(path, NONSENSE.into()).deserialize::<Config>().err()?;
    if let Cause::UnknownVariant(_, words) = error.kind { Some(words) } else { None }
}

/// A configuration with nothing but that value; the index 0 stands for a list's only element.
fn nested(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |value, segment| {
        if segment == "0" {
            return Value::Array(Tag::Default, vec![value]);
        }
        Value::from(Dict::from([(segment.clone(), value)]))
    })
}

fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(map) => map,
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_the_generated_one() {
        let committed = include_str!("../../config.schema.json");
        assert!(committed == schema(), "run: cargo run config schema > config.schema.json");
    }

    #[test]
    fn each_kind_of_value_has_its_type() {
        let schema: Json = serde_json::from_str(&schema()).unwrap();
        let of = |section: &str, key: &str| schema["properties"][section]["properties"][key].clone();
        let issuer = |key: &str| of("auth", "issuer")["items"]["properties"][key].clone();
        assert_eq!(of("broker", "prefetch")["maximum"], 65535);
        assert_eq!(of("broker", "queue_max_length")["maximum"], u64::from(u32::MAX));
        assert_eq!(of("server", "threads")["maximum"], Json::Null);
        assert_eq!(of("history", "kind")["enum"], json!(["stream", "memory"]));
        assert_eq!(of("stream", "heartbeat")["pattern"], QUANTITY);
        assert_eq!(of("stream", "heartbeat")["default"], "15s");
        assert_eq!(of("history", "memory")["pattern"], QUANTITY);
        assert_eq!(of("server", "listen")["pattern"], ADDRESS);
        assert_eq!(
            of("upstream", "url"),
            json!({ "type": "string", "description": of("upstream", "url")["description"] })
        );
        assert_eq!(of("broker", "urls")["items"], json!({ "type": "string", "writeOnly": true }));
        assert_eq!(issuer("secret")["writeOnly"], true);
        assert_eq!(issuer("leeway")["default"], "30s");
        let mapping = &schema["properties"]["mapping"]["items"]["properties"];
        assert_eq!(mapping["user"]["type"], json!(["string", "array"]));
        assert_eq!(mapping["binary"]["enum"], json!(["base64", "drop"]));
    }

    #[test]
    fn each_key_says_what_it_means_and_none_shows_a_secret() {
        let text = schema();
        assert!(!text.contains("***") && !text.contains("guest"), "{text}");
        let schema: Json = serde_json::from_str(&text).unwrap();
        let comments = Comments::read(crate::config::SHIPPED);
        for key in Shape::new().keys() {
            let pointer: String = key
                .split('.')
                .map(|name| if name == "0" { "/items".to_owned() } else { format!("/properties/{name}") })
                .collect();
            let known = schema.pointer(&pointer).unwrap_or_else(|| panic!("{key}"));
            let path: Vec<String> = key.split('.').map(str::to_owned).collect();
            assert_eq!(known["description"].as_str(), comments.of(&path).as_deref(), "{key}");
        }
        assert_eq!(
            schema["properties"]["broker"]["properties"]["exchange"]["description"],
            "The exchange whose messages are streamed."
        );
    }
}

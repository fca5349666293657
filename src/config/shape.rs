//! The tree of every known key with its default, made from the structs themselves: what is known, and what kind of value each key takes.

use serde_json::Value as Json;

use super::Config;
use crate::auth::{ApiKeyConfig, IssuerConfig};
use crate::routing::MappingConfig;
use crate::setting::Secret;

/// How a `Secret` serializes; in the shape it marks the keys that are secret.
const SECRET: &str = "***";

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `[section]`, or one of an array of tables.
    Section,
    /// `[[table]]`.
    Tables,
    /// A list of strings.
    List,
    Truth,
    Number,
    Text,
    Secret,
}

impl Kind {
    pub(super) fn of(known: &Json) -> Self {
        match known {
            Json::Object(_) => Self::Section,
            Json::Array(items) if items.first().is_some_and(Json::is_object) => Self::Tables,
            Json::Array(_) => Self::List,
            Json::Bool(_) => Self::Truth,
            Json::Number(_) => Self::Number,
            Json::String(text) if text == SECRET => Self::Secret,
            // What is optional is without a default, and is text in every room.
            Json::String(_) | Json::Null => Self::Text,
        }
    }
}

pub(super) struct Shape {
    /// Each array of tables has one element.
    known: Json,
    defaults: Json,
    unnamed: Json,
}

impl Shape {
    pub(super) fn new() -> Self {
        let defaults = Config::default();
        let mut known = defaults.clone();
        // One element of each array of tables shows its keys, and an optional secret that it is one.
        known.auth.issuer = vec![IssuerConfig { secret: Some(Secret::new("")), ..IssuerConfig::default() }];
        known.auth.api_key = vec![ApiKeyConfig::default()];
        known.mapping = vec![MappingConfig::default()];
        Self { known: json(&known), defaults: json(&defaults), unnamed: Json::String(String::new()) }
    }

    /// What is known at a path; any index of a list stands for its element. `None` for an unknown key.
    pub(super) fn at(&self, path: &[String]) -> Option<&Json> {
        path.iter().try_fold(&self.known, |known, segment| match known {
            Json::Object(keys) => keys.get(segment),
            Json::Array(items) => {
                segment.parse::<usize>().ok()?;
                Some(items.first().unwrap_or(&self.unnamed))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
        })
    }

    /// The default at a path of keys, without the elements that only show an array's keys.
    pub(super) fn default_at(&self, path: &[String]) -> Option<&Json> {
        path.iter().try_fold(&self.defaults, |value, segment| value.get(segment))
    }

    /// The dotted path of every section and key; an array of tables appears with and without the index 0.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        collect(&self.known, "", &mut keys);
        keys
    }
}

fn json(config: &Config) -> Json {
    serde_json::to_value(config).expect("every setting serializes, and every key is a string")
}

fn collect(known: &Json, path: &str, keys: &mut Vec<String>) {
    let join = |segment: &str| if path.is_empty() { segment.to_owned() } else { format!("{path}.{segment}") };
    match known {
        Json::Object(children) => {
            for (name, child) in children {
                keys.push(join(name));
                collect(child, &join(name), keys);
            }
        }
        Json::Array(items) if Kind::of(known) == Kind::Tables => collect(&items[0], &join("0"), keys),
        Json::Array(_) | Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// A path as it is shown; a segment that is no bare key is quoted, so that nothing in it reaches a terminal raw.
pub(super) fn dotted(path: &[String]) -> String {
    let bare = |segment: &String| {
        !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let shown: Vec<String> =
        path.iter().map(|segment| if bare(segment) { segment.clone() } else { format!("{segment:?}") }).collect();
    shown.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &str) -> Option<Kind> {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        Shape::new().at(&path).map(Kind::of)
    }

    #[test]
    fn the_kind_of_each_key_follows_from_the_structs() {
        assert_eq!(kind("server"), Some(Kind::Section));
        assert_eq!(kind("server.listen"), Some(Kind::Text));
        assert_eq!(kind("server.threads"), Some(Kind::Number));
        assert_eq!(kind("auth.anonymous"), Some(Kind::Truth));
        assert_eq!(kind("auth.issuer"), Some(Kind::Tables));
        assert_eq!(kind("auth.issuer.7.secret"), Some(Kind::Secret));
        assert_eq!(kind("auth.issuer.7.secret_file"), Some(Kind::Text));
        assert_eq!(kind("broker.urls"), Some(Kind::List));
        assert_eq!(kind("broker.urls.3"), Some(Kind::Secret));
        assert_eq!(kind("mapping.0.continue"), Some(Kind::Truth));
        assert_eq!(kind("mapping.0.user.1"), Some(Kind::Text));
        assert_eq!(kind("mapping.first"), None);
        assert_eq!(kind("server.listen.port"), None);
    }

    #[test]
    fn the_defaults_have_no_element_that_only_shows_keys() {
        let shape = Shape::new();
        assert_eq!(shape.default_at(&["mapping".into()]), Some(&Json::Array(vec![])));
        assert_eq!(shape.default_at(&["endpoint".into()]).and_then(Json::as_array).map(Vec::len), Some(1));
    }
}

//! Settings written as text, in environment variables and flags: which key is meant, and what its text says there.

use std::ffi::{OsStr, OsString};

use figment::value::Value;
use serde_json::Value as Json;

use super::shape::{Kind, Shape, dotted};
use super::unknown;
use crate::setting::Fault;

/// `COTTONTAIL_PORT` and its like are what Kubernetes sets for a service of that name, hence the second underscore.
const PREFIX: &str = "COTTONTAIL__";

/// One setting from outside the file.
pub(super) struct Override {
    /// The variable or flag.
    pub(super) place: String,
    pub(super) path: Vec<String>,
    pub(super) value: Value,
}

/// The settings among the variables, outer keys and lower indexes first; each that is none is a fault.
pub(super) fn overrides(shape: &Shape, environment: &[(OsString, OsString)], faults: &mut Vec<Fault>) -> Vec<Override> {
    let mut found: Vec<Override> = environment
        .iter()
        .filter_map(|(name, value)| Some((name.to_string_lossy().strip_prefix(PREFIX)?.to_owned(), value)))
        .filter_map(|(rest, value)| match variable(shape, &rest, value) {
            Ok(setting) => Some(setting),
            Err(fault) => {
                faults.push(fault);
                None
            }
        })
        .collect();
    found.sort_by_cached_key(|setting| {
        let order = |segment: &String| (segment.parse::<usize>().ok(), segment.clone());
        setting.path.iter().map(order).collect::<Vec<_>>()
    });
    found
}

fn variable(shape: &Shape, rest: &str, value: &OsStr) -> Result<Override, Fault> {
    let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
    let place = format!("{PREFIX}{rest}");
    let fault = |problem: String| Fault::new(dotted(&path), problem).written_in(place.escape_debug().to_string());
    let Some(known) = shape.at(&path) else {
        let meant = unknown::nearest(shape, &path).map(|key| variable_of(&key));
        return Err(fault(format!(
            "there is no such setting{}",
            meant.map_or_else(|| unknown::hint(shape, &path), |name| format!("; did you mean {name}?"))
        )));
    };
    if indexes_a_plain_list(shape, &path) {
        return Err(fault("a list is set as a whole, not by index".into()));
    }
    let text = value.to_str().ok_or_else(|| fault("is not UTF-8 text".into()))?;
    let value = read(known, text).map_err(|problem| fault(problem.into()))?;
    Ok(Override { place, path, value })
}

/// The element that an index would replace may be a default, which is not at hand for a secret.
fn indexes_a_plain_list(shape: &Shape, path: &[String]) -> bool {
    path.split_last().and_then(|(_, list)| shape.at(list)).is_some_and(|list| Kind::of(list) == Kind::List)
}

fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// A setting given by a flag, whose key is known.
pub(super) fn flag(shape: &Shape, name: &str, key: &str, text: &str) -> Result<Override, Fault> {
    let path: Vec<String> = key.split('.').map(str::to_owned).collect();
    let fault = |problem: &str| Fault::new(key, problem).written_in(name);
    let known = shape.at(&path).ok_or_else(|| fault("there is no such setting"))?;
    let value = read(known, text).map_err(fault)?;
    Ok(Override { place: name.to_owned(), path, value })
}

/// Text as what the key takes: digits stay text where text is expected. A problem never quotes the text.
fn read(known: &Json, text: &str) -> Result<Value, &'static str> {
    let json_list = || {
        serde_json::from_str::<Vec<Json>>(text)
            .ok()
            .and_then(|items| Value::serialize(items).ok())
            .ok_or("expected a list in JSON, as in [\"a\", \"b\"]")
    };
    match Kind::of(known) {
        Kind::Section => Err("is a section; set one of its keys"),
        Kind::Tables => json_list(),
        Kind::List if text.trim_start().starts_with('[') => json_list(),
        Kind::List if text.trim().is_empty() => Ok(Value::from(Vec::<String>::new())),
        Kind::List => Ok(Value::from(text.split(',').map(str::trim).collect::<Vec<_>>())),
        Kind::Truth => text.trim().parse::<bool>().map(Value::from).map_err(|_| "expected true or false"),
        Kind::Number => text.trim().parse::<u64>().map(Value::from).map_err(|_| "expected a whole number"),
        Kind::Text | Kind::Secret => Ok(Value::from(text)),
    }
}

//! From the merged tree to the struct, gathering every unknown key and every ill-typed value instead of ending at the first.

use std::collections::BTreeSet;

use figment::error::Kind as Cause;
use figment::value::{Dict, Tag, Value};
use serde_json::Value as Json;

use super::Config;
use super::shape::{Kind, Shape, dotted};
use super::unknown;
use crate::setting::Fault;

/// More ill-typed values than this are not looked for: each costs a pass over the whole tree.
const MOST: usize = 200;

/// The configuration as far as it can be read, and what is wrong with the rest, for which defaults stand in.
pub(super) fn decode(shape: &Shape, mut tree: Value, faults: &mut Vec<Fault>) -> Config {
    tidy(shape, &mut tree, &mut Vec::new(), faults);
    let mut mended = BTreeSet::new();
    loop {
        let error = match tree.deserialize::<Config>() {
            Ok(config) => return config,
            Err(error) => error,
        };
        let known = shape.at(&error.path);
        faults.push(Fault::new(dotted(&error.path), problem(&error.kind, known)));
        let place = find(&mut tree, &error.path);
        let stand_in = known.and_then(|known| Value::serialize(known).ok());
        match (place, stand_in) {
            (Some(place), Some(value)) if mended.len() < MOST && mended.insert(error.path) => *place = value,
            _ => return Config::default(),
        }
    }
}

/// Reports keys that are not known, and replaces what is no table where one must be. Plain values are left to serde.
fn tidy(shape: &Shape, value: &mut Value, path: &mut Vec<String>, faults: &mut Vec<Fault>) {
    let Some(known) = shape.at(path) else {
        faults.push(Fault::new(dotted(path), format!("there is no such setting{}", unknown::hint(shape, path))));
        return;
    };
    match (Kind::of(known), value) {
        (Kind::Section, Value::Dict(_, children)) => {
            for (name, child) in children {
                path.push(name.clone());
                tidy(shape, child, path, faults);
                path.pop();
            }
        }
        (Kind::Tables, Value::Array(_, items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                tidy(shape, item, path, faults);
                path.pop();
            }
        }
        (Kind::Section, other) => {
            faults.push(Fault::new(dotted(path), "expected a table of settings, with one pair of brackets"));
            *other = Value::from(Dict::new());
        }
        (Kind::Tables, other) => {
            let problem = format!("expected a list of tables, each headed [[{}]]", dotted(path));
            faults.push(Fault::new(dotted(path), problem));
            *other = Value::Array(Tag::Default, Vec::new());
        }
        (Kind::List | Kind::Truth | Kind::Number | Kind::Text | Kind::Secret, _) => {}
    }
}

fn find<'v>(tree: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(tree, |value, segment| match value {
        Value::Dict(_, children) => children.get_mut(segment),
        Value::Array(_, items) => items.get_mut(segment.parse::<usize>().ok()?),
        Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) => None,
    })
}

/// What was expected. Serde's and the libraries' own messages quote the value, which may be a secret in the wrong place.
fn problem(cause: &Cause, known: Option<&Json>) -> String {
    if let Cause::UnknownVariant(_, names) = cause {
        return format!("expected one of {}", names.join(", "));
    }
    if let Cause::Message(message) = cause
        && message.starts_with("expected ")
    {
        return message.clone();
    }
    let Some(known) = known else { return "cannot be read".into() };
    match (Kind::of(known), known) {
        (Kind::Secret, _) => "expected text in quotes (a secret, so it is not shown)".into(),
        (Kind::Truth, _) => "expected true or false".into(),
        (Kind::Number, _) => most(cause).map_or_else(
            || "expected a whole number".into(),
            |most| format!("expected a whole number from 0 to {most}"),
        ),
        (Kind::List, _) => "expected a list of strings".into(),
        (Kind::Text, Json::String(default)) if !default.is_empty() => format!("expected a value such as \"{default}\""),
        (Kind::Text, _) => "expected text in quotes".into(),
        (Kind::Section | Kind::Tables, _) => "expected a table".into(),
    }
}

/// The greatest number that a key takes, by the type that serde says it expected.
fn most(cause: &Cause) -> Option<u32> {
    let (Cause::InvalidType(_, expected) | Cause::InvalidValue(_, expected)) = cause else { return None };
    match expected.as_str() {
        "u16" => Some(u16::MAX.into()),
        "u32" => Some(u32::MAX),
        _ => None,
    }
}

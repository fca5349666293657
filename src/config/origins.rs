//! Which file, variable or flag each setting was read from; holds no values.

use std::collections::BTreeMap;

use figment::value::Value;

use super::shape::dotted;
use crate::setting::Fault;

/// Dotted key to the place that set it last. Defaults are not in it.
#[derive(Clone, Debug, Default)]
pub struct Origins(BTreeMap<String, String>);

impl Origins {
    /// Records that `place` set `value` at `path`, with all that is below.
    pub(super) fn record(&mut self, path: &[String], value: &Value, place: &str) {
        if !path.is_empty() {
            self.0.insert(dotted(path), place.to_owned());
        }
        let mut below = path.to_vec();
        let mut step = |segment: String, child: &Value| {
            below.push(segment);
            self.record(&below, child, place);
            below.pop();
        };
        match value {
            Value::Dict(_, children) => children.iter().for_each(|(name, child)| step(name.clone(), child)),
            Value::Array(_, items) => items.iter().enumerate().for_each(|(at, item)| step(at.to_string(), item)),
            Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) => {}
        }
    }

    /// The place of a key; that of the table around it when the key itself is written nowhere.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&str> {
        if let Some(place) = self.0.get(key) {
            return Some(place);
        }
        // A section may be spread over several places, one element of an array of tables hardly is.
        let (around, _) = key.rsplit_once('.')?;
        let element = around.rsplit('.').next().is_some_and(|segment| segment.parse::<usize>().is_ok());
        if element { self.0.get(around).map(String::as_str) } else { None }
    }

    #[cfg(test)]
    pub(super) fn of_exactly(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The same fault with its place, where it has none yet and the key is written somewhere.
    #[must_use]
    pub fn locate(&self, fault: Fault) -> Fault {
        match (&fault.written_in, self.of(&fault.key)) {
            (None, Some(place)) => fault.written_in(place),
            _ => fault,
        }
    }
}

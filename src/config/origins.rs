//! Which file, variable or flag each setting was read from; holds no values.

use std::collections::BTreeMap;

use figment::value::Value;

use super::lines::Lines;
use super::shape::dotted;
use crate::setting::Fault;

/// Dotted key to the place that set it last. Defaults are not in it.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    places: BTreeMap<String, String>,
    /// The file and its lines.
    file: Option<(String, Lines)>,
}

impl Origins {
    /// Records what a file sets, and on which line it does.
    pub(super) fn record_file(&mut self, name: &str, settings: &Value, lines: Lines) {
        self.record(&[], settings, name);
        self.file = Some((name.to_owned(), lines));
    }

    /// Records that `place` set `value` at `path`, with all that is below.
    pub(super) fn record(&mut self, path: &[String], value: &Value, place: &str) {
        if !path.is_empty() {
            self.places.insert(dotted(path), place.to_owned());
        }
        if let Value::Array(..) = value {
            // A list replaces a list, whose elements may have had keys that these have not.
            let before = format!("{}.", dotted(path));
            self.places.retain(|key, _| !key.starts_with(&before));
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
        if let Some(place) = self.places.get(key) {
            return Some(place);
        }
        // A section may be spread over several places, one element of an array of tables hardly is.
        let (around, _) = key.rsplit_once('.')?;
        let element = around.rsplit('.').next().is_some_and(|segment| segment.parse::<usize>().is_ok());
        if element { self.places.get(around).map(String::as_str) } else { None }
    }

    /// The place of a key that is written itself, a file with the line; none for a default.
    #[must_use]
    pub fn of_exactly(&self, key: &str) -> Option<String> {
        let place = self.places.get(key)?;
        let line = self.file.as_ref().filter(|(name, _)| name == place).and_then(|(_, lines)| lines.of(key));
        Some(line.map_or_else(|| place.clone(), |line| format!("{place}:{line}")))
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

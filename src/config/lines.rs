//! On which line of the file each setting is written; what is written there is not kept.

use std::collections::BTreeMap;
use std::ops::Range;

use toml_edit::{ImDocument, Item, Key, TableLike, Value};

use super::shape::dotted;

/// Dotted key to its line, counted from 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(BTreeMap<String, usize>);

impl Lines {
    /// Of a text that is TOML; of any other text no lines.
    pub(super) fn read(text: &str) -> Self {
        let Ok(document) = ImDocument::parse(text) else { return Self::default() };
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut reader = Reader { starts, lines: Self::default() };
        reader.table(document.as_table(), &mut Vec::new());
        reader.lines
    }

    pub(super) fn of(&self, key: &str) -> Option<usize> {
        self.0.get(key).copied()
    }
}

struct Reader {
    /// Where each line starts.
    starts: Vec<usize>,
    lines: Lines,
}

impl Reader {
    fn note(&mut self, path: &[String], span: Option<Range<usize>>) {
        if let Some(span) = span {
            let line = self.starts.partition_point(|start| *start <= span.start);
            self.lines.0.insert(dotted(path), line);
        }
    }

    fn table(&mut self, table: &dyn TableLike, path: &mut Vec<String>) {
        for (name, item) in table.iter() {
            path.push(name.to_owned());
            self.note(path, table.key(name).and_then(Key::span));
            match item {
                Item::Table(below) => self.table(below, path),
                Item::ArrayOfTables(tables) => {
                    for (index, below) in tables.iter().enumerate() {
                        path.push(index.to_string());
                        self.note(path, below.span());
                        self.table(below, path);
                        path.pop();
                    }
                }
                Item::Value(value) => self.value(value, path),
                Item::None => {}
            }
            path.pop();
        }
    }

    fn value(&mut self, value: &Value, path: &mut Vec<String>) {
        match value {
            Value::InlineTable(below) => self.table(below, path),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    self.note(path, item.span());
                    self.value(item, path);
                    path.pop();
                }
            }
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_the_line_on_which_it_is_written_in_whichever_way() {
        let lines = Lines::read(
            "admin.listen = \"x\"\n[broker]\nurls = [\n  \"a\",\n  \"ü\",\n]\n\n[[mapping]]\nuser = \"x\"\n[[mapping]]\r\n\
             everyone = true\n[auth]\nissuer = [\n  {},\n  { secret = \"y\" },\n]\n",
        );
        for (key, line) in [
            ("admin.listen", 1),
            ("broker.urls", 3),
            ("broker.urls.1", 5),
            ("mapping.0.user", 9),
            ("mapping.1", 10),
            ("mapping.1.everyone", 11),
            ("auth.issuer.1.secret", 15),
        ] {
            assert_eq!(lines.of(key), Some(line), "{key}");
        }
        assert_eq!(lines.of("broker.exchange"), None);
        assert_eq!(Lines::read("= =").of("x"), None);
    }
}

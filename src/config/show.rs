//! The effective configuration as text: TOML that says behind each value where it comes from, and no secret.

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::{Loaded, Origins};
use crate::broker;

/// What stands behind a value that is written nowhere.
const DEFAULT: &str = "default";
/// What stands for a secret.
const MASK: &str = "***";

impl Loaded {
    /// All settings in TOML, each with its source as a comment behind it; those without a value are left out.
    ///
    /// Secrets are asterisks, as are passwords in URLs, and sizes are rounded to a decimal; the rest would load again as it is.
    ///
    /// # Panics
    /// Never: every setting is a value of TOML.
    #[must_use]
    pub fn show(&self) -> String {
        let text = toml_edit::ser::to_string_pretty(&self.config).expect("every setting is a value of TOML");
        let mut document: DocumentMut = text.parse().expect("what was written as TOML is TOML");
        let masked: Vec<String> = self.config.broker.urls.iter().map(broker::masked).collect();
        document["broker"]["urls"] = toml_edit::value(masked.into_iter().collect::<Value>());
        annotate(document.as_table_mut(), "", &self.origins);
        document.to_string()
    }
}

fn annotate(table: &mut dyn TableLike, path: &str, origins: &Origins) {
    for (name, item) in table.iter_mut() {
        let key = if path.is_empty() { name.get().to_owned() } else { format!("{path}.{}", name.get()) };
        match item {
            Item::Value(value) => {
                tidy(value);
                let source = origins.of_exactly(&key).unwrap_or_else(|| DEFAULT.to_owned());
                value.decor_mut().set_suffix(format!("  # {}", source.escape_debug()));
            }
            Item::Table(below) => annotate(below, &key, origins),
            Item::ArrayOfTables(tables) => {
                for (index, below) in tables.iter_mut().enumerate() {
                    annotate(below, &format!("{key}.{index}"), origins);
                }
            }
            Item::None => {}
        }
    }
}

/// Puts a list on one line, and takes the password out of any URL.
fn tidy(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(tidy);
            items.fmt();
            items.set_trailing("");
            items.set_trailing_comma(false);
        }
        Value::String(text) => {
            if let Some(masked) = without_password(text.value()) {
                *value = masked.into();
            }
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::InlineTable(_) => {}
    }
}

/// A URL with asterisks for the password that it has; up to the last `@`, for a password may hold what it should not.
fn without_password(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let (user, place) = rest.rsplit_once('@')?;
    let (user, _password) = user.split_once(':')?;
    Some(format!("{scheme}://{user}:{MASK}@{place}"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::config::{Config, Flag, Sources};

    const FILE: &str = r#"
broker.urls = ["amqp://us:pa%2Fss@[::1]/shop", "amqps://broker.example", "amqp://u:Hunter2@:x"]

[upstream]
url = "http://me:Hunter3@app:3000"

[auth]
grants = [
  "a",
  "b",
]

[[auth.issuer]]
algorithms = ["HS256"]
secret = "Hunter4"

[[auth.issuer]]
algorithms = ["HS512"]
secret = "Hunter5"

[[mapping]]
routing_key = "a.{user}"
user = "{user}"
"#;

    fn shown(file: &str) -> (String, Loaded) {
        let directory = tempfile::tempdir().unwrap();
        let path: PathBuf = directory.path().join("config.toml");
        fs::write(&path, file).unwrap();
        let environment: [(OsString, OsString); 2] = [
            ("COTTONTAIL__AUTH__ISSUER__1__SECRET".into(), "Hunter6".into()),
            ("COTTONTAIL__SERVER__THREADS".into(), "3".into()),
        ];
        let flag = Flag { name: "--listen", key: "server.listen", value: "[::1]:1".into() };
        let sources = Sources { file: Some(path), environment: environment.into(), flags: vec![flag] };
        let loaded = Config::load(&sources).unwrap();
        let text = loaded.show().replace(&directory.path().display().to_string(), "/etc");
        (text, loaded)
    }

    #[test]
    fn each_value_has_its_source_behind_it() {
        let (text, _) = shown(FILE);
        for line in [
            "listen = \"[::1]:1\"  # --listen",
            "threads = 3  # COTTONTAIL__SERVER__THREADS",
            "max_headers = 100  # default",
            "grants = [\"a\", \"b\"]  # /etc/config.toml:8",
            "algorithms = [\"HS512\"]  # /etc/config.toml:18",
            "user = [\"{user}\"]  # /etc/config.toml:23",
            "everyone = false  # default",
            "path = \"/events\"  # default",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn secrets_are_asterisks_wherever_they_stand() {
        let (text, _) = shown(FILE);
        let urls = r#"urls = ["amqp://us:***@[::1]:5672/shop", "amqps://guest:***@broker.example:5671/%2F", "***"]"#;
        assert!(text.contains(&format!("{urls}  # /etc/config.toml:2\n")), "{text}");
        assert!(text.contains("url = \"http://me:***@app:3000\"  # /etc/config.toml:5\n"), "{text}");
        assert!(text.contains("secret = \"***\"  # /etc/config.toml:15\n"), "{text}");
        assert!(text.contains("secret = \"***\"  # COTTONTAIL__AUTH__ISSUER__1__SECRET\n"), "{text}");
        assert!(!text.contains("Hunter") && !text.contains("pa%2Fss") && !text.contains("pa/ss"), "{text}");
    }

    #[test]
    fn without_secrets_it_loads_again_to_the_same() {
        let file =
            "[auth]\nanonymous = true\n[[mapping]]\nrouting_key = \"#\"\neveryone = true\ndata = \"/a\\\"\\n\"\n";
        let (text, loaded) = shown(&format!("{file}[[auth.issuer]]\nalgorithms = [\"HS256\"]\n[[auth.issuer]]\n"));
        let mut again = shown(&text).1.config;
        again.broker.urls.clone_from(&loaded.config.broker.urls);
        assert_eq!(again, loaded.config);
    }
}

//! What differs between two configurations, by key, and what of it a running process can take over; taking it over is the app's.

use serde_json::Value as Json;

use super::Config;
use super::shape::Kind;
use crate::hub::StreamConfig;

/// Sections and keys that take effect without a restart; a key counts with all that is below it.
const LIVE: [&str; 6] = ["log", "stream", "auth", "cors", "endpoint", "mapping"];
/// Keys below those that still need one: it is an option of sockets.
const FIXED: [&str; 1] = ["stream.write_timeout"];

/// Dotted keys whose values differ; a list of tables counts as one key. Holds no values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub live: Vec<String>,
    /// What is as it was until the process starts again.
    pub after_restart: Vec<String>,
}

impl Config {
    /// What is different in `new`.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Changes {
        let mut keys = Vec::new();
        if let (Ok(old), Ok(new)) = (serde_json::to_value(self), serde_json::to_value(new)) {
            differing(&old, &new, "", &mut keys);
        }
        // Secrets all look alike there.
        for (key, differs) in
            [("broker.urls", self.broker.urls != new.broker.urls), ("auth.issuer", self.auth.issuer != new.auth.issuer)]
        {
            if differs && !keys.iter().any(|known| known == key) {
                keys.push(key.to_owned());
            }
        }
        let is_live = |key: &String| among(key, &LIVE) && !among(key, &FIXED);
        let (live, after_restart) = keys.into_iter().partition(is_live);
        Changes { live, after_restart }
    }
}

impl Config {
    /// This configuration with what of `new` takes effect without a restart.
    #[must_use]
    pub fn adopting(&self, new: &Self) -> Self {
        let Self { log, stream, auth, cors, endpoint, mapping, .. } = new.clone();
        let stream = StreamConfig { write_timeout: self.stream.write_timeout, ..stream };
        Self { log, stream, auth, cors, endpoint, mapping, ..self.clone() }
    }
}

fn among(key: &str, known: &[&str]) -> bool {
    known.iter().any(|known| key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

fn differing(old: &Json, new: &Json, path: &str, keys: &mut Vec<String>) {
    match (Kind::of(old), old, new) {
        (Kind::Section, Json::Object(old), Json::Object(new)) => {
            for (name, before) in old {
                let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                differing(before, new.get(name).unwrap_or(&Json::Null), &key, keys);
            }
        }
        _ if old != new => keys.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::IssuerConfig;
    use crate::routing::MappingConfig;
    use crate::setting::{Secret, Span};

    fn issuer(secret: &str) -> Vec<IssuerConfig> {
        vec![IssuerConfig { secret: Some(Secret::new(secret)), ..IssuerConfig::default() }]
    }

    #[test]
    fn what_differs_is_named_by_key_and_told_apart_by_what_it_takes() {
        let mut old = Config::default();
        old.auth.issuer = issuer("one");
        let mut new = old.clone();
        assert_eq!(old.changes(&new), Changes::default());
        new.log.level = "debug".into();
        new.stream.heartbeat = Span::from_secs(1);
        new.stream.write_timeout = Span::from_secs(1);
        new.server.threads = 3;
        new.server.trusted_proxies = vec!["10.0.0.0/8".into()];
        new.upstream.url = Some("http://app".into());
        new.mapping = vec![MappingConfig::default()];
        let changes = old.changes(&new);
        assert_eq!(changes.live, ["log.level", "mapping", "stream.heartbeat"]);
        assert_eq!(old.adopting(&new).changes(&new), Changes { live: Vec::new(), ..changes.clone() });
        assert_eq!(old.changes(&old.adopting(&new)), Changes { after_restart: Vec::new(), ..changes.clone() });
        assert_eq!(
            changes.after_restart,
            ["server.threads", "server.trusted_proxies", "stream.write_timeout", "upstream.url"]
        );
    }

    #[test]
    fn another_secret_is_a_change_though_secrets_look_alike() {
        let mut old = Config::default();
        old.auth.issuer = issuer("one");
        let mut new = old.clone();
        new.auth.issuer = issuer("two");
        new.broker.urls = vec![Secret::new("amqp://elsewhere")];
        let changes = old.changes(&new);
        assert_eq!((changes.live, changes.after_restart), (vec!["auth.issuer".into()], vec!["broker.urls".into()]));
    }
}

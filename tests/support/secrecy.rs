//! What must never be seen in a log line, a metric or an answer: everything secret that any test of this process has used.

use std::sync::{Mutex, PoisonError};

static SECRETS: Mutex<Vec<(&'static str, String)>> = Mutex::new(Vec::new());

/// Remembers a secret; `kind` says in a failure what it is. Short texts would be found by chance.
pub fn keep_secret(kind: &'static str, secret: impl Into<String>) {
    let secret = secret.into();
    assert!(secret.len() >= 12, "too short to be told from other text: a {kind}");
    SECRETS.lock().unwrap_or_else(PoisonError::into_inner).push((kind, secret));
}

/// A text that is different each time, for a body or an id that must be found only where it belongs.
pub fn marker(kind: &'static str) -> String {
    let marker = format!("{kind}-{:016x}", fastrand::u64(..));
    keep_secret(kind, marker.clone());
    marker
}

/// Fails when `text` holds a secret, as it is or as a list of bytes; `place` says whose text it is.
pub fn assert_keeps_secrets(place: &str, text: &str) {
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (kind, secret) in secrets {
        // As Rust's `Debug` writes bytes, without the brackets, since they may be a part of something longer.
        let bytes = secret.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
        let line = text.lines().find(|line| line.contains(&secret) || line.contains(&bytes));
        assert!(line.is_none(), "{place} shows a {kind}: {}", line.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a log shows a text")]
    fn a_secret_is_seen_as_it_is() {
        let secret = marker("text");
        assert_keeps_secrets("a log", &format!("first line\nhere: x{secret}y"));
    }

    #[test]
    #[should_panic(expected = "a log shows a text")]
    fn a_secret_is_seen_as_a_list_of_bytes() {
        let secret = marker("text");
        assert_keeps_secrets("a log", &format!("{:?}", format!("x{secret}y").as_bytes()));
    }
}

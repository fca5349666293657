//! The words of a presence message: its routing key, in which a user is one word whatever its name, and its body; pure.

use std::fmt::Write;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::ledger::Statement;
use crate::broker::address::SHORT_STRING_BYTES;

/// What is escaped in a user's name: `.`, which divides words, `*` and `#`, which match others, and whatever else a
/// consumer could stumble over. Anybody's URL decoder reads it.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// A longer name, escaped, is told by its hash; the body has it whole.
const LONGEST_USER: usize = 128;
const USER: &str = "{user}";
const STATE: &str = "{state}";
/// The longer of the two states.
const LONGEST_STATE: usize = "offline".len();

/// Why a user is offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Left,
    /// This process ends; as a rule the user is about to come back elsewhere.
    Drained,
}

/// `presence.routing_key`, checked.
#[derive(Clone, Debug)]
pub(super) struct Template(String);

impl Template {
    /// The error is a clause for a fault.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.matches(USER).count() != 1 || text.matches(STATE).count() > 1 {
            return Err("must have {user} in it once, and {state} at most once");
        }
        let fixed = text.replace(USER, "").replace(STATE, "");
        if fixed.contains(['{', '}', '*', '#']) {
            return Err("can have {user} and {state} in it, and no wildcard");
        }
        if fixed.len() + LONGEST_USER + LONGEST_STATE > SHORT_STRING_BYTES {
            return Err("is too long: with a user of 128 bytes it must stay within 255");
        }
        Ok(Self(text.to_owned()))
    }

    /// At most 255 bytes.
    pub(super) fn routing_key(&self, statement: &Statement) -> String {
        // The state first: a user's name has no brace left in it, but the order would matter if it had.
        self.0.replace(STATE, state(statement)).replace(USER, &word(statement.user.as_str()))
    }
}

/// A user's name as one word of a routing key; different for different names.
fn word(user: &str) -> String {
    let escaped = utf8_percent_encode(user, ESCAPED).to_string();
    if escaped.len() <= LONGEST_USER {
        return escaped;
    }
    // No name has a `~` left in it.
    digest(&SHA256, user.as_bytes()).as_ref().iter().fold("~".to_owned(), |mut word, byte| {
        write!(word, "{byte:02x}").expect("a String takes any text");
        word
    })
}

pub(super) const fn state(statement: &Statement) -> &'static str {
    if statement.streams > 0 { "online" } else { "offline" }
}

/// Who speaks.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    pub(super) name: String,
    /// Of the process: what an earlier one of the same name has said is void.
    pub(super) started: SystemTime,
}

pub(super) fn body(statement: &Statement, replica: &Replica, why: Why, at: SystemTime) -> Vec<u8> {
    let text = |time| humantime::format_rfc3339_millis(time).to_string();
    let mut json = json!({
        "user": statement.user.as_str(),
        "state": state(statement),
        "streams": statement.streams,
        "replica": replica.name,
        "started": text(replica.started),
        "at": text(at),
    });
    if statement.streams == 0 {
        json["reason"] = match why {
            Why::Left => "left",
            Why::Drained => "drained",
        }
        .into();
    }
    json.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    fn online(user: &str) -> Statement {
        Statement { user: user.into(), streams: 2 }
    }

    fn key(user: &str) -> String {
        Template::parse("sse.user.{user}.{state}").expect("sound").routing_key(&online(user))
    }

    #[test]
    fn a_user_is_one_word_whatever_its_name() {
        for (user, word) in [
            ("42", "42"),
            ("a.b", "a%2Eb"),
            ("*", "%2A"),
            ("#", "%23"),
            ("", ""),
            ("ada@example.com", "ada%40example%2Ecom"),
            ("{state}", "%7Bstate%7D"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(key(user), format!("sse.user.{word}.online"));
        }
        let long = key(&"x".repeat(1000));
        assert!(long.starts_with("sse.user.~") && long.len() == "sse.user.~.online".len() + 64, "{long}");
        assert_ne!(long, key(&"x".repeat(1001)));
    }

    #[test]
    fn a_template_that_cannot_work_is_refused() {
        for sound in
            ["sse.user.{user}.{state}", "{state}.{user}", "presence.{user}", &format!("{}{{user}}", "x".repeat(120))]
        {
            assert!(Template::parse(sound).is_ok(), "{sound}");
        }
        for wrong in [
            "",
            "sse.user",
            "{user}.{user}",
            "{user}.{x}",
            "{user}.#",
            "*.{user}",
            &format!("{}{{user}}", "x".repeat(121)),
        ] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_body_says_who_and_how_many_and_why_not() {
        let replica = Replica { name: "web-1".into(), started: SystemTime::UNIX_EPOCH };
        let at = replica.started + Duration::from_secs(1);
        let read = |body: Vec<u8>| serde_json::from_slice::<serde_json::Value>(&body).expect("JSON");
        let expected = json!({
            "user": "a.b", "state": "online", "streams": 2, "replica": "web-1",
            "started": "1970-01-01T00:00:00.000Z", "at": "1970-01-01T00:00:01.000Z",
        });
        assert_eq!(read(body(&online("a.b"), &replica, Why::Left, at)), expected);
        let offline = Statement { user: "a".into(), streams: 0 };
        assert_eq!(read(body(&offline, &replica, Why::Drained, at))["reason"], "drained");
        assert_eq!(read(body(&offline, &replica, Why::Left, at))["reason"], "left");
    }

    proptest! {
        #[test]
        fn any_name_makes_a_key_of_four_words_that_names_nobody_else(user in ".{0,60}", other in ".{0,60}") {
            let text = key(&user);
            prop_assert!(text.len() <= SHORT_STRING_BYTES);
            let words: Vec<&str> = text.split('.').collect();
            prop_assert_eq!(words.len(), 4);
            let wild = text.contains(['*', '#']);
            prop_assert!(!wild, "{}", text);
            prop_assert_eq!(text == key(&other), user == other);
            if !words[2].starts_with('~') {
                prop_assert_eq!(percent_decode_str(words[2]).decode_utf8().expect("UTF-8"), user);
            }
        }
    }
}

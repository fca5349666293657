//! The sentences of an explanation; what happened is decided elsewhere. Names come from messages, so none reaches a terminal raw.

use std::time::{Duration, SystemTime};

use super::{Matched, Reached, Who};
use crate::auth::{AuthError, Identity};
use crate::routing::Step;

/// Names that one sentence lists; there may be hundreds.
const LISTED: usize = 20;

fn name(text: &str) -> String {
    format!("`{}`", text.escape_debug())
}

/// `a, b and 7 more`.
fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(LISTED);
    let listed = names[..names.len() - more].join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}

/// Who asks, and what that allows.
pub(super) fn subscriber(who: &Who, identity: &Result<Identity, AuthError>, now: SystemTime) -> String {
    let what = match who {
        Who::Anonymous => "A request without a token",
        Who::Token(_) => "The token",
        Who::Claims(_) => "A token with these claims",
        Who::ApiKey(_) => "The API key",
    };
    let identity = match identity {
        Ok(identity) => identity,
        Err(error) => return format!("{what} is refused: {error} ({}).", error.reason()),
    };
    let user = identity.user().map_or("nobody in particular".into(), |user| format!("user {}", name(user.as_str())));
    let mut grants = identity.grants().all().peekable();
    let grants = match grants.peek() {
        None => "no channels".into(),
        Some(_) => format!("the channels {}", list(grants.map(|grant| name(grant.text)))),
    };
    let end = identity.expires().and_then(|at| at.duration_since(now).ok()).map(|left| {
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let left = humantime::format_duration(Duration::from_secs(seconds));
        format!("; its stream would end in {left}")
    });
    format!("{what} is accepted: it is {user} and grants {grants}{}.", end.unwrap_or_default())
}

/// A routing key that nothing matches.
pub(super) fn unmapped<'a>(key: &str, patterns: impl Iterator<Item = &'a str>) -> String {
    format!("No mapping matches the routing key {}; the mappings have {}.", name(key), list(patterns.map(name)))
}

/// What a mapping made of the message, and for whom.
pub(super) fn mapping(matched: &Matched, step: &Step<'_>) -> Vec<String> {
    let start = format!("mapping.{} ({})", matched.mapping, name(&matched.routing_key));
    match &step.outcome {
        Err(reason) => {
            vec![format!("{start} matches and cannot be followed: {} ({}).", reason.clause(), reason.as_str())]
        }
        Ok(event) => {
            let made = format!("{start} matches and makes the event {}.", name(event.name.as_str()));
            std::iter::once(made).chain(matched.audiences.iter().map(audience)).collect()
        }
    }
}

fn audience(reached: &Reached) -> String {
    let whom = name(&reached.name);
    match (reached.kind, reached.granted, &reached.grant, reached.reason) {
        ("everyone", true, ..) => "It is for everyone.".into(),
        ("user", true, ..) => format!("It is for user {whom}, who this is."),
        ("user", _, _, Some(reason)) => format!("It is for user {whom}, who this is not ({reason})."),
        (_, true, Some(grant), _) if *grant == reached.name => {
            format!("It is for channel {whom}, which is granted by name.")
        }
        (_, true, Some(grant), _) => format!(
            "It is for channel {whom}, which {} grants; a stream gets it that asks for it by name (channels={}).",
            name(grant),
            reached.name.escape_debug()
        ),
        (_, _, _, Some(reason)) => format!("It is for channel {whom}, which no grant covers ({reason})."),
        ("everyone", ..) => "It is for everyone who has a stream.".into(),
        (kind, ..) => format!("It is for {kind} {whom}."),
    }
}

/// The last sentence; `reason` says why not.
pub(super) fn verdict(reason: Option<&'static str>) -> String {
    match reason {
        None => "Yes: the subscriber gets it.".into(),
        Some(reason) => format!("No: the subscriber does not get it ({reason})."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_somewhere_and_nothing_in_it_is_raw() {
        assert_eq!(list(["a", "b"].map(name).into_iter()), "`a`, `b`");
        assert!(list((0..LISTED + 7).map(|n| n.to_string())).ends_with("19 and 7 more"));
        assert_eq!(name("a\u{1b}[31m\n"), "`a\\u{1b}[31m\\n`");
    }
}

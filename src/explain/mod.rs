//! Why somebody would get the events of a message, or not: the way of both, step by step, in data and in sentences; sends nothing.
//!
//! It asks the very code that decides about requests and messages, so that it cannot tell a different story.

mod question;
mod words;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

pub use question::{MAX_QUESTION_BYTES, Question, QuestionError, Who};

use crate::auth::{AuthError, Authenticator, Credentials, Identity, Source};
use crate::event::{Audience, UserId};
use crate::routing::{Mappings, Reason, Step};

/// The reasons beside those of [`AuthError`] and [`Reason`]: the codes of the same refusals at an endpoint.
const CHANNEL_FORBIDDEN: &str = "channel_forbidden";
const USER_MISMATCH: &str = "user_mismatch";

/// What answers questions by what is in force; clones share everything.
#[derive(Clone)]
pub struct Explainer {
    authenticator: Arc<Authenticator>,
    mappings: Mappings,
}

/// What would happen, in data for programs and in sentences for people. It never holds the token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// Whether the subscriber would get an event of this message, if it asks for the channels that a pattern grants it.
    pub delivered: bool,
    /// The stable code of why not.
    pub reason: Option<&'static str>,
    /// `None` for somebody who would be refused.
    pub subscriber: Option<Subscriber>,
    /// The mappings that the routing key reaches, in their order.
    pub mappings: Vec<Matched>,
    pub sentences: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Subscriber {
    pub user: Option<String>,
    /// Channels by name and by pattern, the public ones included.
    pub grants: Vec<String>,
    /// Seconds since 1970.
    pub expires: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Matched {
    /// Index of the mapping in the configuration.
    pub mapping: usize,
    pub routing_key: String,
    /// The event's name; `None` when the mapping could not be followed.
    pub event: Option<String>,
    pub reason: Option<&'static str>,
    pub audiences: Vec<Reached>,
}

/// One audience of an event, seen from the subscriber.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// `everyone`, `user` or `channel`.
    pub kind: &'static str,
    /// Empty for everyone.
    pub name: String,
    pub granted: bool,
    /// The channel grant that covers it.
    pub grant: Option<String>,
    pub reason: Option<&'static str>,
}

impl Explainer {
    #[must_use]
    pub fn new(authenticator: Arc<Authenticator>, mappings: Mappings) -> Self {
        Self { authenticator, mappings }
    }

    /// What would happen to the question's message and subscriber at `now`.
    ///
    /// # Errors
    /// When it asks about an API key that is not configured.
    pub fn explain(&self, question: &Question, now: SystemTime) -> Result<Explanation, QuestionError> {
        let identity = self.identify(&question.who, now)?;
        let table = self.mappings.table();
        let steps = table.trace(&question.message);
        let mut sentences = vec![words::subscriber(&question.who, &identity, now)];
        if steps.is_empty() {
            sentences.push(words::unmapped(&question.message.routing_key, table.routing_keys()));
        }
        let mut mappings = Vec::with_capacity(steps.len());
        for step in steps {
            let matched = follow(&step, identity.as_ref().ok());
            sentences.extend(words::mapping(&matched, &step));
            mappings.push(matched);
        }
        let delivered = identity.is_ok() && mappings.iter().flat_map(|m| &m.audiences).any(|reached| reached.granted);
        let reason = (!delivered).then(|| denial(identity.as_ref().err(), &mappings));
        sentences.push(words::verdict(reason));
        let subscriber = identity.ok().map(|identity| Subscriber::of(&identity));
        Ok(Explanation { delivered, reason, subscriber, mappings, sentences })
    }

    fn identify(&self, who: &Who, now: SystemTime) -> Result<Result<Identity, AuthError>, QuestionError> {
        Ok(match who {
            Who::Anonymous => self.authenticator.authenticate(None, now),
            Who::Token(token) => {
                let credentials = Credentials::new(token.expose(), Source::Header);
                self.authenticator.authenticate(Some(&credentials), now)
            }
            Who::Claims(claims) => self.authenticator.suppose(claims, now),
            Who::ApiKey(name) => Ok(self.authenticator.of_api_key(name).ok_or(QuestionError::NoSuchApiKey)?),
        })
    }
}

impl std::fmt::Debug for Explainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Explainer").finish_non_exhaustive()
    }
}

impl Subscriber {
    fn of(identity: &Identity) -> Self {
        let expires = identity.expires().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Self {
            user: identity.user().map(|user| user.as_str().to_owned()),
            grants: identity.grants().all().map(|grant| grant.text.to_owned()).collect(),
            expires: expires.map(|since| since.as_secs()),
        }
    }
}

fn follow(step: &Step<'_>, identity: Option<&Identity>) -> Matched {
    let (mapping, routing_key) = (step.mapping, step.routing_key.to_owned());
    match &step.outcome {
        Ok(event) => Matched {
            mapping,
            routing_key,
            event: Some(event.name.as_str().to_owned()),
            reason: None,
            audiences: event.audiences.iter().map(|audience| reach(audience, identity)).collect(),
        },
        Err(reason) => {
            Matched { mapping, routing_key, event: None, reason: Some(reason.as_str()), audiences: Vec::new() }
        }
    }
}

/// Whether `identity` is of `audience`; nobody is of any.
fn reach(audience: &Audience, identity: Option<&Identity>) -> Reached {
    let (kind, grant, granted, reason) = match audience {
        Audience::Everyone => ("everyone", None, identity.is_some(), ""),
        Audience::User(user) => {
            let own = identity.and_then(Identity::user).map(UserId::as_str) == Some(user.as_str());
            ("user", None, own, USER_MISMATCH)
        }
        Audience::Channel(channel) => {
            let mut grants = identity.into_iter().flat_map(|identity| identity.grants().all());
            let grant = grants.find(|grant| grant.covers(channel.as_str())).map(|grant| grant.text.to_owned());
            let granted = grant.is_some();
            ("channel", grant, granted, CHANNEL_FORBIDDEN)
        }
    };
    let reason = (identity.is_some() && !granted).then_some(reason);
    Reached { kind, name: audience.name().to_owned(), granted, grant, reason }
}

/// Why nothing comes: who is refused hears nothing at all; else what the mappings failed by, the last step first.
fn denial(refused: Option<&AuthError>, mappings: &[Matched]) -> &'static str {
    let forbidden = |wanted| {
        let audiences = mappings.iter().flat_map(|matched| &matched.audiences);
        audiences.filter_map(|reached| reached.reason).find(|reason| *reason == wanted)
    };
    let unmapped = || mappings.iter().find_map(|matched| matched.reason);
    let reason = refused.map(AuthError::reason).or_else(|| forbidden(CHANNEL_FORBIDDEN));
    reason.or_else(|| forbidden(USER_MISMATCH)).or_else(unmapped).unwrap_or(Reason::NoMapping.as_str())
}

#[cfg(test)]
mod tests;

//! What an identity may hear: channels granted by name and by pattern, those of the token and those of everybody; asks no token.

use std::sync::Arc;

use super::AuthError;
use crate::event::ChannelName;
use crate::topic::TopicPattern;

/// Channel grants that one token may carry, those of the configured templates included.
pub const MAX_GRANTS: usize = 256;
/// Length of one channel grant in bytes: a routing key's own limit (AMQP 0-9-1 §4.2.5.3, shortstr).
pub const MAX_GRANT_BYTES: usize = 255;

/// Channel grants, split by how they are matched.
#[derive(Debug, Default, PartialEq, Eq)]
struct GrantSet {
    /// Sorted, each once.
    literals: Box<[ChannelName]>,
    patterns: Box<[TopicPattern]>,
}

impl GrantSet {
    fn new<T: AsRef<str>>(grants: &[T]) -> Self {
        let mut texts: Vec<&str> = grants.iter().map(AsRef::as_ref).collect();
        texts.sort_unstable();
        texts.dedup();
        let patterns = texts.iter().map(|text| TopicPattern::new(text));
        let (literals, patterns): (Vec<_>, Vec<_>) = patterns.partition(TopicPattern::is_literal);
        Self {
            literals: literals.iter().map(|literal| ChannelName::from(literal.as_str())).collect(),
            patterns: patterns.into(),
        }
    }

    fn names(&self, channel: &str) -> bool {
        self.literals.binary_search_by(|literal| literal.as_str().cmp(channel)).is_ok()
    }

    fn all(&self, public: bool) -> impl Iterator<Item = Grant<'_>> {
        let literals = self.literals.iter().map(move |name| Grant { text: name.as_str(), public, literal: true });
        literals.chain(self.patterns.iter().map(move |pattern| Grant {
            text: pattern.as_str(),
            public,
            literal: false,
        }))
    }

    fn covers(&self, channel: &str) -> bool {
        self.names(channel) || self.patterns.iter().any(|pattern| pattern.matches(channel))
    }
}

/// The channels that one identity may hear. Two words: the sets behind them are shared by every stream that holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    public: PublicGrants,
    own: Option<Arc<GrantSet>>,
}

/// One grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant<'a> {
    /// A channel's name, or a pattern.
    pub text: &'a str,
    /// Whether everybody has it.
    pub public: bool,
    /// Whether it names its channel, so that it is a subscription as well.
    pub literal: bool,
}

impl Grant<'_> {
    #[must_use]
    pub fn covers(&self, channel: &str) -> bool {
        TopicPattern::new(self.text).matches(channel)
    }
}

/// What everybody is granted, made once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PublicGrants(Arc<GrantSet>);

impl PublicGrants {
    pub(super) fn new(channels: &[String]) -> Self {
        Self(Arc::new(GrantSet::new(channels)))
    }
}

impl Grants {
    pub(super) fn public(public: &PublicGrants) -> Self {
        Self { public: public.clone(), own: None }
    }

    /// Adds what a token grants. Empty names grant nothing.
    pub(super) fn with(public: &PublicGrants, mut own: Vec<String>) -> Result<Self, AuthError> {
        own.retain(|grant| !grant.is_empty());
        if own.len() > MAX_GRANTS {
            return Err(AuthError::ChannelsTooMany);
        }
        if own.iter().any(|grant| grant.len() > MAX_GRANT_BYTES) {
            return Err(AuthError::ChannelsInvalid);
        }
        let own = (!own.is_empty()).then(|| Arc::new(GrantSet::new(&own)));
        Ok(Self { public: public.clone(), own })
    }

    /// Whether `channel` may be heard. Costs at most the number of patterns times the length of `channel` and of each.
    #[must_use]
    pub fn covers(&self, channel: &str) -> bool {
        self.own.as_ref().is_some_and(|own| own.covers(channel)) || self.public.0.covers(channel)
    }

    /// Every grant: the token's own, then the public ones, names before patterns.
    pub fn all(&self) -> impl Iterator<Item = Grant<'_>> {
        let own = self.own.as_deref().map(|set| set.all(false)).into_iter().flatten();
        own.chain(self.public.0.all(true))
    }

    /// The channels granted by name, each once: those of the token (its own and those that templates made of its claims),
    /// then the public ones. This is what a subscription gets that does not say which channels it wants.
    pub fn literals(&self) -> impl Iterator<Item = &ChannelName> {
        let own = self.own.as_deref();
        let public = self.public.0.literals.iter();
        let rest = public.filter(move |channel| !own.is_some_and(|own| own.names(channel.as_str())));
        own.map(|own| own.literals.iter()).into_iter().flatten().chain(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{naive_match, words};
    use proptest::prelude::*;

    fn grants(public: &[&str], own: &[&str]) -> Grants {
        let public: Vec<String> = public.iter().map(|text| (*text).into()).collect();
        Grants::with(&PublicGrants::new(&public), own.iter().map(|text| (*text).into()).collect()).unwrap()
    }

    #[test]
    fn literals_come_once_and_the_tokens_own_first() {
        let grants = grants(&["news", "status.#", "a"], &["z", "team.*", "news", "z", ""]);
        let names: Vec<&str> = grants.literals().map(ChannelName::as_str).collect();
        assert_eq!(names, ["news", "z", "a"]);
        assert!(grants.covers("status") && grants.covers("team.1") && !grants.covers("team.1.2") && !grants.covers(""));
    }

    #[test]
    fn every_grant_is_told_with_what_it_covers() {
        let grants = grants(&["news", "status.#"], &["z", "team.*", "news"]);
        let told: Vec<_> = grants.all().map(|grant| (grant.text, grant.public, grant.literal)).collect();
        let own = [("news", false, true), ("z", false, true), ("team.*", false, false)];
        assert_eq!(told, [&own[..], &[("news", true, true), ("status.#", true, false)]].concat());
        let covering = |channel: &str| grants.all().find(|grant| grant.covers(channel)).map(|grant| grant.text);
        assert_eq!(
            ["news", "team.a", "status.x", "b"].map(covering),
            [Some("news"), Some("team.*"), Some("status.#"), None]
        );
    }

    #[test]
    fn nothing_is_covered_without_a_grant() {
        let none = grants(&[], &[]);
        assert!(!none.covers("") && !none.covers("news") && none.literals().next().is_none());
    }

    #[test]
    fn too_many_and_too_long_grants_are_refused() {
        let public = PublicGrants::default();
        let many = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
        assert!(Grants::with(&public, many(MAX_GRANTS)).is_ok());
        assert_eq!(Grants::with(&public, many(MAX_GRANTS + 1)), Err(AuthError::ChannelsTooMany));
        assert!(Grants::with(&public, vec!["a".repeat(MAX_GRANT_BYTES)]).is_ok());
        assert_eq!(Grants::with(&public, vec!["a".repeat(MAX_GRANT_BYTES + 1)]), Err(AuthError::ChannelsInvalid));
    }

    #[test]
    fn an_identity_costs_a_stream_two_words() {
        assert_eq!(size_of::<Grants>(), 2 * size_of::<usize>());
    }

    fn text() -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(&["a", "b", "", "*", "#", "*a"]), 1..5)
            .prop_map(|words| words.join("."))
    }

    proptest! {
        #[test]
        fn covers_agrees_with_the_definition_of_a_match(
            public in proptest::collection::vec(text(), 0..4),
            own in proptest::collection::vec(text(), 0..4),
            channel in text(),
        ) {
            let want = public.iter().chain(own.iter().filter(|grant| !grant.is_empty())).any(|pattern| {
                naive_match(&words(pattern).collect::<Vec<_>>(), &words(&channel).collect::<Vec<_>>())
            });
            let grants = Grants::with(&PublicGrants::new(&public), own).unwrap();
            prop_assert_eq!(grants.covers(&channel), want);
        }
    }
}

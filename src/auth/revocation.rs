//! Which tokens and sessions are refused although they verify: revoked by `jti` or `sid` until they expire anyway; bounded, in memory.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What of a token can be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revocable {
    /// The token itself (`jti`, RFC 7519 §4.1.7).
    Token,
    /// All tokens of a session (`sid`, OpenID Connect Front-Channel Logout §3).
    Session,
}

/// A `jti` or `sid` in eight bytes, so that a stream can keep both. Keyed by the process, so that nobody can make two alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RevocationId(u64);

/// The revoked ids, each until a time. Shared by everything that verifies tokens.
#[derive(Debug)]
pub struct Revocations {
    hasher: RandomState,
    revoked: Mutex<Revoked>,
    /// How many there are, so that those who have none need no lock.
    count: AtomicUsize,
    limit: usize,
}

#[derive(Debug, Default)]
struct Revoked {
    until: HashMap<RevocationId, SystemTime>,
    by_end: BTreeSet<(SystemTime, RevocationId)>,
}

impl Revoked {
    fn forget_first(&mut self) {
        if let Some((_, id)) = self.by_end.pop_first() {
            self.until.remove(&id);
        }
    }
}

impl Revocations {
    /// Keeps up to `limit` ids; beyond that, those that end first are forgotten.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { hasher: RandomState::new(), revoked: Mutex::default(), count: AtomicUsize::new(0), limit }
    }

    /// The id of a `jti` or `sid` in this process.
    #[must_use]
    pub fn id(&self, what: Revocable, text: &str) -> RevocationId {
        RevocationId(self.hasher.hash_one((what, text)))
    }

    /// Refuses `id` until a time; false if another one had to be forgotten for it.
    pub fn revoke(&self, id: RevocationId, until: SystemTime, now: SystemTime) -> bool {
        let mut revoked = self.lock();
        while revoked.by_end.first().is_some_and(|(end, _)| *end <= now) {
            revoked.forget_first();
        }
        // Who says it twice means the longer time.
        let until = revoked.until.get(&id).map_or(until, |known| until.max(*known));
        if until > now {
            if let Some(known) = revoked.until.insert(id, until) {
                revoked.by_end.remove(&(known, id));
            }
            revoked.by_end.insert((until, id));
        }
        let fits = revoked.until.len() <= self.limit;
        if !fits {
            revoked.forget_first();
        }
        self.count.store(revoked.until.len(), Ordering::Release);
        fits
    }

    /// Whether any of `ids` is revoked at `now`.
    #[must_use]
    pub fn cover(&self, ids: impl IntoIterator<Item = RevocationId>, now: SystemTime) -> bool {
        if self.is_empty() {
            return false;
        }
        let revoked = self.lock();
        ids.into_iter().any(|id| revoked.until.get(&id).is_some_and(|until| now < *until))
    }

    /// How many there are; some may be over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Revoked> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_and_a_session_of_one_name_are_two() {
        let revocations = Revocations::new(9);
        let [token, session] = [Revocable::Token, Revocable::Session].map(|what| revocations.id(what, "a"));
        assert!(revocations.revoke(token, at(10), at(0)));
        assert!(revocations.cover([session, token], at(9)) && !revocations.cover([session], at(9)));
        assert!(!revocations.cover([token], at(10)), "it has expired by itself");
    }

    #[test]
    fn the_ones_that_end_first_give_way() {
        let revocations = Revocations::new(2);
        let id = |number: u64| revocations.id(Revocable::Token, &number.to_string());
        assert_eq!([30, 10, 20].map(|end| revocations.revoke(id(end), at(end), at(0))), [true, true, false]);
        assert_eq!([10, 20, 30].map(|end| revocations.cover([id(end)], at(5))), [false, true, true]);
        assert!(revocations.revoke(id(99), at(40), at(25)), "what is over makes room");
    }

    proptest! {
        #[test]
        fn what_is_revoked_is_refused_until_its_last_end(steps in proptest::collection::vec((0u64..5, 0u64..50), 0..40), now in 0u64..50) {
            let revocations = Revocations::new(100);
            let id = |number: u64| revocations.id(Revocable::Session, &number.to_string());
            for (number, end) in &steps {
                prop_assert!(revocations.revoke(id(*number), at(*end), at(0)));
            }
            for number in 0..5 {
                let ends = steps.iter().filter(|step| step.0 == number).map(|step| step.1).max();
                prop_assert_eq!(revocations.cover([id(number)], at(now)), ends.is_some_and(|end| now < end));
            }
        }
    }
}

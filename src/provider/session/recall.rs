//! Whose sessions are to be asked about anew, whatever is remembered of them: bounded, in memory; who recalls them is not known here.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Key, Session};
use crate::auth::Identity;

/// Recalls that are known one by one. Beyond that the oldest is forgotten, and whatever was asked before it counts no more.
const MAX_RECALLS: usize = 1 << 14;

/// From when on the application's word counts, for those who were thrown out. Shared by every [`super::Sessions`] of the
/// process, so that a new configuration changes nothing in it.
#[derive(Debug, Default)]
pub struct Recalls {
    /// Keyed by the process, so that nobody can make two users alike.
    hasher: RandomState,
    recalled: Mutex<Recalled>,
}

#[derive(Debug, Default)]
struct Recalled {
    last: HashMap<u64, Instant>,
    in_order: VecDeque<(u64, Instant)>,
    /// When somebody was recalled last, so that most look at nothing else.
    latest: Option<Instant>,
    /// What was asked by then counts no more, whoever it is about.
    everybody: Option<Instant>,
}

#[derive(Hash)]
enum Whose<'a> {
    User(&'a str),
    Session(&'a Key),
}

impl Recalls {
    /// What was asked by `now` about any session of `user` counts no more.
    pub fn user(&self, user: &str, now: Instant) {
        self.recall(&Whose::User(user), now);
    }

    /// What was asked by `now` about this session counts no more.
    pub fn session(&self, session: &Session, now: Instant) {
        self.recall(&Whose::Session(&session.key), now);
    }

    /// Whether the application's word that the session with this key is `identity`, for which it was asked at `asked`,
    /// counts no more.
    pub(super) fn cover(&self, key: &Key, identity: &Identity, asked: Instant) -> bool {
        let recalled = self.lock();
        if recalled.latest.is_none_or(|latest| latest < asked) {
            return false;
        }
        let is_recalled =
            |whose: Whose<'_>| recalled.last.get(&self.hasher.hash_one(whose)).is_some_and(|at| asked <= *at);
        recalled.everybody.is_some_and(|at| asked <= at)
            || is_recalled(Whose::Session(key))
            || identity.user().is_some_and(|user| is_recalled(Whose::User(user.as_str())))
    }

    fn recall(&self, whose: &Whose<'_>, now: Instant) {
        let id = self.hasher.hash_one(whose);
        let mut recalled = self.lock();
        recalled.latest = recalled.latest.max(Some(now));
        let last = recalled.last.entry(id).or_insert(now);
        *last = now.max(*last);
        recalled.in_order.push_back((id, now));
        if recalled.in_order.len() > MAX_RECALLS
            && let Some((id, at)) = recalled.in_order.pop_front()
        {
            recalled.everybody = recalled.everybody.max(Some(at));
            // Another recall of the same one may be known still.
            if recalled.last.get(&id).is_some_and(|last| *last <= at) {
                recalled.last.remove(&id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recalled> {
        self.recalled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthConfig, Authenticator};
    use proptest::prelude::*;
    use std::time::Duration;

    fn of(user: &str) -> Identity {
        let authenticator = Authenticator::load(&AuthConfig::default()).expect("a sound section");
        authenticator.of_session(Some(user.into()), Vec::new()).expect("a user")
    }

    #[test]
    fn what_was_asked_by_then_counts_no_more_for_this_user_alone() {
        let (recalls, start) = (Recalls::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let (ada, bob) = (of("ada"), of("bob"));
        assert!(!recalls.cover(&[1; 32], &ada, at(0)));
        recalls.user("ada", at(5));
        assert_eq!([4, 5, 6].map(|asked| recalls.cover(&[1; 32], &ada, at(asked))), [true, true, false]);
        assert!(!recalls.cover(&[1; 32], &bob, at(0)));
        recalls.user("ada", at(3));
        assert!(recalls.cover(&[1; 32], &ada, at(5)), "the latest counts, in whichever order they come");
    }

    #[test]
    fn those_beyond_the_bound_are_recalled_with_everybody() {
        let (recalls, start) = (Recalls::default(), Instant::now());
        let at = |number: usize| start + Duration::from_millis(number as u64);
        for number in 0..=MAX_RECALLS + 9 {
            recalls.user(&number.to_string(), at(number));
        }
        let known = recalls.lock();
        assert_eq!((known.last.len(), known.in_order.len()), (MAX_RECALLS, MAX_RECALLS));
        drop(known);
        assert!(recalls.cover(&[1; 32], &of("3"), at(3)), "who was forgotten");
        assert!(recalls.cover(&[1; 32], &of("bob"), at(9)) && !recalls.cover(&[1; 32], &of("bob"), at(10)));
    }

    proptest! {
        #[test]
        fn whoever_was_recalled_is_covered_however_many_come_after(
            steps in proptest::collection::vec((0u8..4, 0u64..50), 1..40), asked in 0u64..50,
        ) {
            let (recalls, start) = (Recalls::default(), Instant::now());
            let at = |seconds| start + Duration::from_secs(seconds);
            for (user, when) in &steps {
                recalls.user(&user.to_string(), at(*when));
            }
            for user in 0..4 {
                let recalled = steps.iter().any(|(other, when)| *other == user && asked <= *when);
                prop_assert_eq!(recalls.cover(&[0; 32], &of(&user.to_string()), at(asked)), recalled);
            }
        }
    }
}

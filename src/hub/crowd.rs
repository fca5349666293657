//! How many streams one user may have, and the policy by which the oldest ones make room for a new one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hashbrown::HashSet;
use uuid::Uuid;

use super::config::PerUser;
use super::core::{Core, Shared};
use super::order::{Busy, Orders, Verdict, View, Whom};
use super::shard::Refused;
use crate::event::{Audience, UserId};
use crate::telemetry;

impl Core {
    /// The lock, with room for another stream of `user`.
    ///
    /// Where the oldest have to go for it, they are ended soon after; until they are, the user gets no other one.
    pub(super) fn lock_with_room(self: &Arc<Self>, user: Option<&UserId>) -> Result<MutexGuard<'_, Shared>, Refused> {
        let mut shared = self.lock();
        let rules = self.rules();
        let limit = rules.settings.max_streams_per_user;
        let Some(user) = user.filter(|_| limit > 0) else { return Ok(shared) };
        if (shared.streams_of(&Audience::User(user.clone())) as usize) < limit {
            return Ok(shared);
        }
        if rules.settings.per_user == PerUser::Refuse || !shared.making_room.insert(user.clone()) {
            return Err(Refused::User);
        }
        // An order goes to inboxes, whose locks are not taken within this one here.
        drop(shared);
        if self.end_oldest(user, limit).is_err() {
            self.made_room(user);
            return Err(Refused::User);
        }
        Ok(self.lock())
    }

    /// Ends the oldest streams of `user` beyond `limit`, the one that is about to open included: an order to see how old
    /// each is, and then one to those that are found.
    fn end_oldest(self: &Arc<Self>, user: &UserId, limit: usize) -> Result<(), Busy> {
        let (core, user) = (Arc::clone(self), user.clone());
        let seen: Arc<Mutex<Vec<(Instant, Uuid)>>> = Arc::default();
        let whom = Whom::Audience(Audience::User(user.clone()));
        let look = {
            let seen = Arc::clone(&seen);
            move |view: &View<'_>| {
                // One that was opened without a standing has no age, and stays.
                let opened = view.standing.map(|standing| standing.opened);
                let found = opened.map(|opened| (opened, view.connection));
                seen.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                Verdict::Keep
            }
        };
        let then = whom.clone();
        let looked = move |_kept| {
            let mut seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
            seen.sort_unstable();
            let excess = seen.len().saturating_sub(limit);
            let oldest: HashSet<Uuid> = seen[..excess].iter().map(|(_, connection)| *connection).collect();
            let end = move |view: &View<'_>| {
                if oldest.contains(&view.connection) { Verdict::Displace } else { Verdict::Keep }
            };
            let ended = {
                let (core, user) = (Arc::clone(&core), user.clone());
                move |ended| {
                    telemetry::stream::disconnected(ended);
                    core.made_room(&user);
                }
            };
            if Orders::new(Arc::clone(&core)).give(then, end, ended).is_err() {
                // The next stream of the user tries again, for all that are too many by then.
                core.made_room(&user);
            }
        };
        Orders::new(Arc::clone(self)).give(whom, look, looked)
    }

    fn made_room(&self, user: &UserId) {
        self.lock().making_room.remove(user);
    }
}

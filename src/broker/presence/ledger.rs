//! What was said of each user and what is to be said: only the newest state counts, whatever came between; no connection and no clock.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use indexmap::IndexSet;

use crate::event::UserId;
use crate::hub::Changes;

/// Users who are there, and those who left and of whom that is not said yet. Nobody else is remembered, so that it is
/// bounded by the streams that are open and those that have ended within `linger` or since the broker went away.
#[derive(Debug)]
pub(super) struct Ledger {
    linger: Duration,
    users: HashMap<UserId, Entry>,
    /// Who left, and when that is to be said.
    leaving: BTreeSet<(Instant, UserId)>,
    /// Of whom something is to be said now.
    due: IndexSet<UserId, hashbrown::DefaultHashBuilder>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    streams: u32,
    /// Whether the last that the broker has taken about the user is that it is there.
    said_online: bool,
    leaves: Option<Instant>,
}

/// Something to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) user: UserId,
    /// 0 for a user who is offline.
    pub(super) streams: u32,
}

impl Ledger {
    pub(super) fn new(linger: Duration) -> Self {
        Self { linger, users: HashMap::new(), leaving: BTreeSet::new(), due: IndexSet::default() }
    }

    pub(super) fn note(&mut self, changes: Changes, now: Instant) {
        if changes.is_everybody {
            let there: HashSet<&UserId> = changes.users.iter().map(|(user, _)| user).collect();
            let gone: Vec<UserId> = self.users.keys().filter(|user| !there.contains(user)).cloned().collect();
            for user in gone {
                self.note_one(user, 0, now);
            }
        }
        for (user, streams) in changes.users {
            self.note_one(user, streams, now);
        }
    }

    fn note_one(&mut self, user: UserId, streams: u32, now: Instant) {
        let entry = self.users.entry_ref(&user).or_default();
        entry.streams = streams;
        self.settle(user, now);
    }

    /// Decides what is to be said of `user`.
    fn settle(&mut self, user: UserId, now: Instant) {
        let Some(entry) = self.users.get_mut(&user) else { return };
        match (entry.said_online, entry.streams > 0) {
            (true, false) => {
                let at = *entry.leaves.get_or_insert(now + self.linger);
                // One of whom it is due is not on the list any more.
                if !self.due.contains(&user) {
                    self.leaving.insert((at, user));
                }
                return;
            }
            (false, true) => {
                self.due.insert(user.clone());
            }
            (true, true) | (false, false) => {
                self.due.swap_remove(&user);
            }
        }
        if let Some(at) = entry.leaves.take() {
            self.leaving.remove(&(at, user.clone()));
        }
        if !entry.said_online && entry.streams == 0 {
            self.users.remove(&user);
        }
    }

    /// When the next user who left is to be called offline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.leaving.first().map(|(at, _)| *at)
    }

    /// Users of whom something is to be said, now or when they stay away.
    pub(super) fn waiting(&self) -> usize {
        self.due.len() + self.leaving.len()
    }

    /// Up to `at_most` statements that are due. They stay due until they are said to have been taken.
    pub(super) fn due(&mut self, at_most: usize, now: Instant) -> Vec<Statement> {
        while let Some((_, user)) = self.leaving.first().filter(|(at, _)| *at <= now).cloned() {
            self.leaving.pop_first();
            self.due.insert(user);
        }
        let statement = |user: &UserId| {
            let streams = self.users.get(user).map_or(0, |entry| entry.streams);
            Statement { user: user.clone(), streams }
        };
        self.due.iter().take(at_most).map(statement).collect()
    }

    /// The broker has taken a statement.
    pub(super) fn said(&mut self, statement: Statement, now: Instant) {
        // Who has left meanwhile may be unknown by now, and was told of all the same.
        self.users.entry_ref(&statement.user).or_default().said_online = statement.streams > 0;
        self.due.swap_remove(&statement.user);
        self.settle(statement.user, now);
    }

    /// This process ends, and every stream with it: whoever was said to be there is not any more.
    pub(super) fn close(&mut self, now: Instant) {
        self.linger = Duration::ZERO;
        let users: Vec<UserId> = self.users.keys().cloned().collect();
        for user in users {
            self.note_one(user, 0, now);
        }
        for (_, user) in std::mem::take(&mut self.leaving) {
            self.due.insert(user);
        }
    }
}

#[cfg(test)]
mod tests;

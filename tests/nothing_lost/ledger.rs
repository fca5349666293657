//! What was published, to whom, and what the broker said of it.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    User(usize),
    Channel(usize),
    Everyone,
}

impl Topic {
    pub fn routing_key(self) -> String {
        match self {
            Self::User(user) => format!("user.u{user}.count"),
            Self::Channel(channel) => format!("channel.c{channel}"),
            Self::Everyone => "announce.count".into(),
        }
    }
}

/// What became of a message at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Confirmed: every browser that it is for must get it.
    Kept,
    /// Confirmed and returned as unroutable: nobody can get it.
    Unroutable,
    /// Confirmed, and yet not in the broker's stream: RabbitMQ 3.10 does that to messages which come in the moment between
    /// its start and that of the stream's leader.
    Dropped,
    /// The connection broke before the broker said anything: a browser may get it.
    Unknown,
}

/// Every message by its number; numbers count from 0 and grow in the order of publication.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<(Topic, Fate)>>);

impl Ledger {
    /// Enters the next message and gives its number.
    pub fn enter(&self, topic: Topic) -> usize {
        let mut entries = self.entries();
        entries.push((topic, Fate::Unknown));
        entries.len() - 1
    }

    pub fn settle(&self, number: usize, fate: Fate) {
        self.entries()[number].1 = fate;
    }

    /// The messages from number `first` to number `last`.
    pub fn between(&self, first: usize, last: usize) -> Vec<(usize, Topic, Fate)> {
        let entries = self.entries();
        (first..=last.min(entries.len() - 1)).map(|number| (number, entries[number].0, entries[number].1)).collect()
    }

    /// How many messages were entered.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// How many messages the broker has kept.
    pub fn kept(&self) -> usize {
        self.entries().iter().filter(|(_, fate)| *fate == Fate::Kept).count()
    }

    /// The number of the last message that the broker has kept.
    pub fn last_kept(&self) -> usize {
        self.entries().iter().rposition(|(_, fate)| *fate == Fate::Kept).expect("messages were kept")
    }

    /// Settles as dropped what was confirmed and is not among `stored`; gives how many those are.
    pub fn drop_all_but(&self, stored: &HashSet<usize>) -> usize {
        let mut dropped = 0;
        for (number, (_, fate)) in self.entries().iter_mut().enumerate() {
            if *fate == Fate::Kept && !stored.contains(&number) {
                *fate = Fate::Dropped;
                dropped += 1;
            }
        }
        dropped
    }

    /// The messages from number `first` on for somebody who wants those topics, in order.
    pub fn due(&self, first: usize, wants: impl Fn(Topic) -> bool) -> Vec<(usize, Fate)> {
        let entries = self.entries();
        let numbered = entries.iter().enumerate().skip(first);
        numbered.filter(|(_, (topic, _))| wants(*topic)).map(|(number, (_, fate))| (number, *fate)).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<(Topic, Fate)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

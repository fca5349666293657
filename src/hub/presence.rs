//! Whose first stream has opened and whose last one has ended: a bounded set of users, filled under the hub's lock and collected from outside.

use std::sync::Arc;

use indexmap::IndexSet;
use tokio::sync::Notify;

use super::core::Core;
use crate::event::{Audience, UserId};

/// Users that wait to be collected; beyond them everybody is looked at once.
const MAX_CHANGED: usize = 1 << 16;
/// Users that are collected under one hold of the lock.
const COLLECTED: usize = 1024;

/// Notes users that have come or gone. Nobody is noted twice, and what is collected is how they are by then.
#[derive(Debug, Default)]
pub(super) struct Changed {
    users: IndexSet<UserId, hashbrown::DefaultHashBuilder>,
    overflowed: bool,
    noted: Arc<Notify>,
}

impl Changed {
    /// The first stream of an audience has joined, or its last one has left. Cheap: it is called under the hub's lock.
    pub(super) fn note(&mut self, audience: &Audience) {
        let Audience::User(user) = audience else { return };
        if self.users.is_empty() {
            self.noted.notify_one();
        }
        if self.users.len() < MAX_CHANGED {
            self.users.insert(user.clone());
        } else {
            self.overflowed = true;
        }
    }
}

/// A view of who has streams, for one who follows it.
#[derive(Debug)]
pub struct Presence {
    core: Arc<Core>,
    noted: Arc<Notify>,
}

/// Users with the number of streams that each of them has now.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub users: Vec<(UserId, u32)>,
    /// Whether these are all who have any stream, and not only those who have come or gone.
    pub is_everybody: bool,
}

impl Presence {
    /// Begins to note users; a second view takes the place of the first.
    pub(super) fn follow(core: Arc<Core>) -> Self {
        let noted = Arc::clone(&core.lock().presence.insert(Changed::default()).noted);
        Self { core, noted }
    }

    /// Resolves when there may be something to collect. Cancel-safe; one waiter.
    pub async fn changed(&self) {
        self.noted.notified().await;
    }

    /// Takes some of those that came or went since they were last collected; nobody when there is none left.
    #[must_use]
    pub fn collect(&self) -> Changes {
        let mut shared = self.core.lock();
        let Some(changed) = &mut shared.presence else { return Changes::default() };
        if std::mem::take(&mut changed.overflowed) {
            changed.users.clear();
            let users = shared.audiences().filter_map(|(audience, streams)| match audience {
                Audience::User(user) => Some((user.clone(), streams)),
                Audience::Channel(_) | Audience::Everyone => None,
            });
            return Changes { users: users.collect(), is_everybody: true };
        }
        let from = changed.users.len().saturating_sub(COLLECTED);
        let users: Vec<UserId> = changed.users.drain(from..).collect();
        if changed.users.is_empty() {
            changed.users.shrink_to(COLLECTED);
        }
        let users = users.into_iter().map(|user| {
            let streams = shared.streams_of(&Audience::User(user.clone()));
            (user, streams)
        });
        Changes { users: users.collect(), is_everybody: false }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::hub::{HistoryConfig, StreamConfig, Subscriber, Subscription, open};

    fn user(name: &str) -> Subscription {
        Subscription { user: Some(name.into()), channels: vec!["c".into()], ..Subscription::default() }
    }

    /// What has changed, by name; a round that looks at everybody takes the place of what was known.
    fn catch_up(presence: &Presence, known: &mut BTreeMap<String, u32>) {
        loop {
            let changes = presence.collect();
            if changes.is_everybody {
                known.clear();
            } else if changes.users.is_empty() {
                return known.retain(|_, streams| *streams > 0);
            }
            known.extend(changes.users.into_iter().map(|(user, streams)| (user.as_str().to_owned(), streams)));
        }
    }

    #[test]
    fn first_and_last_streams_are_noted_and_those_between_are_not() {
        let (_publisher, seeds, overview) = open(&HistoryConfig::default(), &StreamConfig::default(), None, 2);
        let shards: Vec<_> = seeds.into_iter().map(|seed| seed.settle(Instant::now())).collect();
        let before = shards[0].subscribe(&user("early"), None, Instant::now()).expect("room");
        let presence = overview.presence();
        let collected = || presence.collect().users;
        assert_eq!(collected(), []);
        let first = shards[0].subscribe(&user("a"), None, Instant::now()).expect("room");
        let second = shards[1].subscribe(&user("a"), None, Instant::now()).expect("room");
        let _nobody = shards[1].subscribe(&Subscription::default(), None, Instant::now()).expect("room");
        assert_eq!(collected(), [("a".into(), 2)]);
        drop(first);
        assert_eq!(collected(), []);
        drop(second);
        assert_eq!(collected(), [("a".into(), 0)]);
        let again = shards[0].subscribe(&user("a"), None, Instant::now()).expect("room");
        drop((again, before));
        let mut flickered = collected();
        flickered.sort();
        assert_eq!(flickered, [("a".into(), 0), ("early".into(), 0)], "once each, as they are now");
    }

    #[test]
    fn when_too_many_have_changed_everybody_is_looked_at() {
        let (_publisher, mut seeds, overview) = open(&HistoryConfig::default(), &StreamConfig::default(), None, 1);
        let shard = seeds.remove(0).settle(Instant::now());
        let presence = overview.presence();
        let stays = shard.subscribe(&user("stays"), None, Instant::now()).expect("room");
        for number in 0..=MAX_CHANGED {
            drop(shard.subscribe(&user(&number.to_string()), None, Instant::now()).expect("room"));
        }
        assert_eq!(presence.collect(), Changes { users: vec![("stays".into(), 1)], is_everybody: true });
        assert_eq!(presence.collect(), Changes::default());
        drop(stays);
        assert_eq!(presence.collect(), Changes { users: vec![("stays".into(), 0)], is_everybody: false });
    }

    proptest! {
        /// Whatever opens and closes, and whenever it is collected, who follows knows who is there.
        #[test]
        fn who_follows_knows_who_is_there(
            steps in proptest::collection::vec((0u8..3, 0u8..5, any::<prop::sample::Index>()), 0..100),
        ) {
            let (_publisher, mut seeds, overview) = open(&HistoryConfig::default(), &StreamConfig::default(), None, 1);
            let shard = seeds.remove(0).settle(Instant::now());
            let presence = overview.presence();
            let (mut streams, mut known): (Vec<(u8, Subscriber)>, _) = (Vec::new(), BTreeMap::new());
            for (step, name, which) in steps {
                match step {
                    0 => {
                        let stream = shard.subscribe(&user(&name.to_string()), None, Instant::now()).expect("room");
                        streams.push((name, stream));
                    }
                    1 if !streams.is_empty() => drop(streams.swap_remove(which.index(streams.len()))),
                    _ => {
                        catch_up(&presence, &mut known);
                        let there: std::collections::BTreeSet<_> = streams.iter().map(|(name, _)| name.to_string()).collect();
                        prop_assert!(known.keys().eq(there.iter()), "{known:?} and {there:?}");
                    }
                }
            }
        }
    }
}

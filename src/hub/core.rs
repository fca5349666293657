//! What the publisher and all shards share: the ring, the head, and which shards have a receiver for an audience.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use hashbrown::{HashMap, HashSet};

use super::archive::Archive;
use super::inbox::Inbox;
use super::limits::Limits;
use super::presence::Changed;
use super::ring::Ring;
use super::{HistoryConfig, StreamConfig};
use crate::event::{Audience, EventId, UserId};

/// Shards that one process may have: they are bits of a word.
pub const MAX_SHARDS: usize = 64;

#[derive(Debug)]
pub(super) struct Core {
    shared: Mutex<Shared>,
    pub(super) inboxes: Box<[Inbox]>,
    pub(super) streams: AtomicUsize,
    rules: ArcSwap<Rules>,
    /// What is older than the ring; none for a history that has nothing older.
    pub(super) archive: Option<Arc<dyn Archive>>,
}

/// What streams are held to, which may be replaced while they are open.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) settings: StreamConfig,
    pub(super) limits: Limits,
}

/// Everything that a subscription and a publication must see together.
#[derive(Debug)]
pub(super) struct Shared {
    /// The newest event.
    pub(super) head: EventId,
    pub(super) ring: Ring,
    pub(super) tail: Tail,
    /// How many histories there were before this one.
    pub(super) epoch: u32,
    /// Since when the ring's times of receipt are those of publication.
    pub(super) live_from: Option<Instant>,
    /// Users some of whose streams are being ended, for newer ones of theirs.
    pub(super) making_room: HashSet<UserId>,
    /// Users who came or went; none unless somebody follows.
    pub(super) presence: Option<Changed>,
    receivers: HashMap<Audience, Receivers>,
    /// Open streams of each shard; those with any receive what is for everyone.
    streams: Box<[usize]>,
}

/// How the source stands to the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// No position is known yet, so no stream can begin.
    NotBegun,
    /// The head is known and may lie behind.
    Away,
    /// New events come; it is as old as this.
    Current(Instant),
}

/// Who listens to one audience.
#[derive(Clone, Copy, Debug, Default)]
struct Receivers {
    shards: u64,
    streams: u32,
}

impl Core {
    pub(super) fn new(
        history: &HistoryConfig,
        stream: &StreamConfig,
        archive: Option<Arc<dyn Archive>>,
        shards: usize,
    ) -> Self {
        assert!((1..=MAX_SHARDS).contains(&shards), "the caller keeps the number of shards within a word's bits");
        let ring_bytes = usize::try_from(history.memory.as_u64()).unwrap_or(usize::MAX);
        Self {
            shared: Mutex::new(Shared {
                head: EventId::default(),
                ring: Ring::new(ring_bytes, EventId::default()),
                tail: Tail::NotBegun,
                epoch: 0,
                live_from: None,
                making_room: HashSet::new(),
                presence: None,
                receivers: HashMap::new(),
                streams: vec![0; shards].into(),
            }),
            inboxes: (0..shards).map(|_| Inbox::default()).collect(),
            streams: AtomicUsize::new(0),
            rules: ArcSwap::from_pointee(Rules { settings: stream.clone(), limits: Limits::new(stream) }),
            archive,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic elsewhere leaves at worst one event unkept; going on serves everybody else.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rules(&self) -> Guard<Arc<Rules>> {
        self.rules.load()
    }

    /// Holds every stream to other rules from now on.
    pub(super) fn hold_to(&self, settings: &StreamConfig) {
        let limits = self.rules().limits.changed_to(settings);
        self.rules.store(Arc::new(Rules { settings: settings.clone(), limits }));
    }

    /// Counts a new stream in, unless the limit is reached.
    pub(super) fn admit(&self) -> bool {
        let limit = self.rules().settings.max_streams;
        self.streams
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < limit).then_some(open + 1))
            .is_ok()
    }

    /// Counts a stream out, whether it was opened or only admitted.
    pub(super) fn dismiss(&self) {
        self.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    pub(super) fn join<'a>(&mut self, shard: usize, audiences: impl Iterator<Item = &'a Audience>) {
        self.streams[shard] += 1;
        for audience in audiences {
            self.add(shard, audience);
        }
    }

    /// Has a stream of `shard` leave some audiences, each with whether it was the shard's last, and join others.
    pub(super) fn exchange(&mut self, shard: usize, left: Vec<(&Audience, bool)>, joined: Vec<&Audience>) {
        for (audience, last) in left {
            self.take(shard, audience, last);
        }
        for audience in joined {
            self.add(shard, audience);
        }
    }

    fn add(&mut self, shard: usize, audience: &Audience) {
        let receivers = self.receivers.entry_ref(audience).or_default();
        receivers.shards |= 1 << shard;
        receivers.streams += 1;
        if let (1, Some(presence)) = (receivers.streams, &mut self.presence) {
            presence.note(audience);
        }
    }

    fn take(&mut self, shard: usize, audience: &Audience, last: bool) {
        let Some(receivers) = self.receivers.get_mut(audience) else { return };
        receivers.streams -= 1;
        if last {
            receivers.shards &= !(1 << shard);
        }
        if receivers.streams == 0 {
            self.receivers.remove(audience);
            if let Some(presence) = &mut self.presence {
                presence.note(audience);
            }
        }
    }

    pub(super) fn streams_of(&self, audience: &Audience) -> u32 {
        self.receivers.get(audience).map_or(0, |receivers| receivers.streams)
    }

    /// Takes a stream of `shard` out; `last` says for each audience whether it was the shard's last.
    pub(super) fn leave<'a>(&mut self, shard: usize, audiences: impl Iterator<Item = (&'a Audience, bool)>) {
        self.streams[shard] -= 1;
        for (audience, last) in audiences {
            self.take(shard, audience, last);
        }
    }

    /// The shards with a receiver for any of `audiences`, as bits.
    pub(super) fn shards_of(&self, audiences: &[Audience]) -> u64 {
        audiences.iter().fold(0, |bits, audience| {
            bits | match audience {
                Audience::Everyone => (0..self.streams.len())
                    .filter(|shard| self.streams[*shard] > 0)
                    .fold(0, |bits, shard| bits | 1 << shard),
                Audience::User(_) | Audience::Channel(_) => {
                    self.receivers.get(audience).map_or(0, |receivers| receivers.shards)
                }
            }
        })
    }

    /// Every audience with its number of streams, in no particular order.
    pub(super) fn audiences(&self) -> impl Iterator<Item = (&Audience, u32)> {
        self.receivers.iter().map(|(audience, receivers)| (audience, receivers.streams))
    }
}

//! The ring: the newest events, bounded in bytes and indexed by audience, so that a replay costs what it replays; knows no subscriber.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;

use crate::event::{Audience, EventId, Position};
use crate::sse::Frame;
use crate::telemetry;

/// A published event: its place, its bytes and whom it is for. Shared by the ring and every shard.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: EventId,
    pub(super) frame: Frame,
    /// Empty for a place in the order that no event has.
    pub(super) audiences: Vec<Audience>,
    /// Which of the histories that this process has seen it belongs to.
    pub(super) epoch: u32,
    /// When the source handed the message over.
    pub(super) received: Instant,
    pub(super) sent: telemetry::stream::SentCounter,
}

impl Entry {
    pub(super) const fn position(&self) -> Position {
        self.id.position
    }

    /// Bytes that keeping this entry takes: the frame, the entry, and its places in the index; an estimate on the high side.
    fn cost(&self) -> usize {
        const ENTRY: usize = size_of::<Entry>() + 96;
        const PLACE: usize = size_of::<Audience>() + 160;
        let names: usize = self.audiences.iter().map(|audience| audience.name().len()).sum();
        self.frame.size() + names + ENTRY + PLACE * self.audiences.len()
    }
}

/// The newest events in order.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Arc<Entry>>,
    by_audience: HashMap<Audience, VecDeque<Arc<Entry>>>,
    bytes: usize,
    limit: usize,
    /// Everything after this one is here; it and what lies before it may not be.
    floor: EventId,
    /// When the source handed over the newest event that was dropped.
    dropped: Option<Instant>,
}

impl Ring {
    /// An empty ring of at most `limit` bytes that begins after `floor`.
    pub(super) fn new(limit: usize, floor: EventId) -> Self {
        Self { entries: VecDeque::new(), by_audience: HashMap::new(), bytes: 0, limit, floor, dropped: None }
    }

    pub(super) const fn floor(&self) -> EventId {
        self.floor
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was dropped yet.
    pub(super) const fn is_whole(&self) -> bool {
        self.dropped.is_none()
    }

    /// Keeps `entry`, whose position must be after every other's, and drops the oldest beyond the limit.
    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        self.bytes += entry.cost();
        for audience in &entry.audiences {
            match self.by_audience.get_mut(audience) {
                Some(places) => places.push_back(Arc::clone(&entry)),
                None => {
                    self.by_audience.insert(audience.clone(), VecDeque::from([Arc::clone(&entry)]));
                }
            }
        }
        self.entries.push_back(entry);
        while self.bytes > self.limit {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        self.bytes -= oldest.cost();
        self.floor = oldest.id;
        self.dropped = Some(oldest.received);
        for audience in &oldest.audiences {
            let Some(places) = self.by_audience.get_mut(audience) else { continue };
            places.pop_front();
            if places.is_empty() {
                self.by_audience.remove(audience);
            } else if places.capacity() > 8 * places.len() {
                places.shrink_to(2 * places.len());
            }
        }
    }

    /// Whether everything after `id` is here, and `id` is of this history: one of a delivery that is here, or the floor.
    pub(super) fn holds(&self, id: EventId) -> bool {
        id.position >= self.floor.position && self.holds_delivery(id)
    }

    /// Whether the delivery that `id` belongs to is here, or is the floor's.
    pub(super) fn holds_delivery(&self, id: EventId) -> bool {
        let index = self.entries.partition_point(|entry| entry.position() < Position::before(id.position.offset));
        let found = self.entries.get(index).map_or(self.floor, |entry| entry.id);
        [found, self.floor].iter().any(|known| known.mark == id.mark && known.position.offset == id.position.offset)
    }

    /// The place before the first event that the source handed over after `since`; none if one may have been dropped.
    pub(super) fn before(&self, since: Instant) -> Option<EventId> {
        let index = self.entries.partition_point(|entry| entry.received < since);
        let newest_before = index.checked_sub(1).and_then(|index| self.entries.get(index)).map(|entry| entry.id);
        newest_before.or_else(|| self.dropped.is_none_or(|dropped| dropped < since).then_some(self.floor))
    }

    /// The place before the last `at_most` events for any of `audiences`, and how many events follow it.
    pub(super) fn before_last<'a>(
        &self,
        audiences: impl Iterator<Item = &'a Audience>,
        at_most: usize,
    ) -> (EventId, usize) {
        let tails = audiences.filter_map(|audience| self.by_audience.get(audience));
        let mut newest: Vec<Position> =
            tails.flat_map(|places| places.iter().rev().take(at_most).map(|entry| entry.position())).collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        newest.dedup();
        newest.truncate(at_most);
        let Some(first) = newest.last() else {
            return (self.entries.back().map_or(self.floor, |entry| entry.id), 0);
        };
        let index = self.entries.partition_point(|entry| entry.position() < *first);
        let before =
            index.checked_sub(1).and_then(|index| self.entries.get(index)).map_or(self.floor, |entry| entry.id);
        (before, newest.len())
    }

    /// Up to `at_most` events after `position` for any of `audiences`, in order, each once.
    ///
    /// Costs a binary search per audience and then what it returns; the ring is never scanned.
    pub(super) fn after<'a>(
        &'a self,
        position: Position,
        audiences: impl Iterator<Item = &'a Audience>,
        at_most: usize,
    ) -> Vec<Arc<Entry>> {
        let mut tails: Vec<_> = audiences
            .filter_map(|audience| self.by_audience.get(audience))
            .map(|places| places.range(places.partition_point(|entry| entry.position() <= position)..).peekable())
            .collect();
        let mut found = Vec::new();
        while found.len() < at_most {
            let Some(next) = tails.iter_mut().filter_map(|tail| tail.peek().map(|entry| entry.position())).min() else {
                break;
            };
            let mut kept: Option<&Arc<Entry>> = None;
            for tail in &mut tails {
                while let Some(entry) = tail.next_if(|entry| entry.position() == next) {
                    kept = Some(entry);
                }
            }
            found.extend(kept.map(Arc::clone));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, EventName, Mark};
    use crate::sse;
    use proptest::prelude::*;

    fn audience(number: u8) -> Audience {
        match number {
            0 => Audience::Everyone,
            1..4 => Audience::User(number.to_string().into()),
            _ => Audience::Channel(number.to_string().into()),
        }
    }

    fn entry(offset: u64, numbers: &[u8]) -> Arc<Entry> {
        let id = EventId { mark: Mark(1), position: Position::at(offset) };
        let mut audiences: Vec<_> = numbers.iter().copied().map(audience).collect();
        audiences.sort();
        audiences.dedup();
        Arc::new(Entry {
            id,
            frame: sse::event(id, &EventName::new("e"), &[b'x'; 50]),
            audiences,
            epoch: 0,
            received: Instant::now(),
            sent: telemetry::stream::SentCounter::unnamed(),
        })
    }

    proptest! {
        #[test]
        fn a_replay_is_the_matching_suffix(
            published in proptest::collection::vec(proptest::collection::vec(0u8..7, 1..4), 0..120),
            wanted in proptest::collection::btree_set(0u8..7, 0..5),
            from in 0u64..140,
            limit in 1usize..60_000,
            at_most in 1usize..50,
        ) {
            let mut ring = Ring::new(limit, EventId::default());
            for (offset, numbers) in (1..).zip(&published) {
                ring.push(entry(offset, numbers));
            }
            prop_assert!(ring.bytes() <= limit);
            let wanted: Vec<_> = wanted.into_iter().map(audience).collect();
            let kept_from = ring.floor().position.offset.max(from);
            let expected: Vec<u64> = (1..)
                .zip(&published)
                .filter(|(offset, numbers)| *offset > kept_from && numbers.iter().any(|n| wanted.contains(&audience(*n))))
                .map(|(offset, _)| offset)
                .take(at_most)
                .collect();
            let replayed: Vec<u64> =
                ring.after(Position::at(from), wanted.iter(), at_most).iter().map(|entry| entry.position().offset).collect();
            prop_assert_eq!(replayed, expected);
            prop_assert!(ring.holds(ring.floor()) && ring.entries.iter().all(|entry| ring.holds(entry.id)));
            prop_assert!(!ring.holds(entry(from, &[0]).id) || from >= ring.floor().position.offset);
        }

        #[test]
        fn what_was_dropped_leaves_nothing_behind(published in proptest::collection::vec(proptest::collection::vec(0u8..7, 1..4), 1..60)) {
            let mut ring = Ring::new(1, EventId::default());
            let last = published.len() as u64;
            for (offset, numbers) in (1..).zip(&published) {
                ring.push(entry(offset, numbers));
            }
            prop_assert_eq!((ring.len(), ring.bytes(), ring.by_audience.len()), (0, 0, 0));
            prop_assert_eq!(ring.floor().position, Position::at(last));
        }
    }
}

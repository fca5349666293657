//! Messages that were published twice, known by their `message_id` within a bounded window.

use std::collections::VecDeque;

use hashbrown::HashSet;

use crate::event::{Message, Scalar};

/// The message ids seen last, as hashes: two ids of the same hash among a million are a matter of 10^-8.
#[derive(Debug, Default)]
pub(super) struct Recent {
    known: HashSet<u64>,
    order: VecDeque<u64>,
    limit: usize,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Recent {
    /// Remembers up to `limit` ids; 0 for none, and then nothing is a duplicate.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// One of the same size that remembers nothing.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.limit)
    }

    /// Whether a message with the same id was seen before; from now on it was. A message without an id is never one.
    pub(super) fn has_seen(&mut self, message: &Message) -> bool {
        if self.limit == 0 {
            return false;
        }
        let id = message.properties.iter().find_map(|(name, value)| match value {
            Scalar::Text(id) if *name == "message_id" && !id.is_empty() => Some(id),
            Scalar::Text(_) | Scalar::Integer(_) | Scalar::Boolean(_) | Scalar::Unusable => None,
        });
        let Some(id) = id else { return false };
        let hash = std::hash::BuildHasher::hash_one(&self.hasher, id);
        if !self.known.insert(hash) {
            return true;
        }
        self.order.push_back(hash);
        if self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str) -> Message {
        Message { properties: vec![("message_id", Scalar::Text(id.into()))], ..Message::default() }
    }

    #[test]
    fn an_id_is_a_duplicate_within_the_window_and_not_after_it() {
        let mut recent = Recent::new(2);
        let seen: Vec<bool> = ["a", "b", "a", "c", "a", "b"].iter().map(|id| recent.has_seen(&message(id))).collect();
        assert_eq!(seen, [false, false, true, false, false, false]);
        assert_eq!((recent.known.len(), recent.order.len()), (2, 2));
    }

    #[test]
    fn without_an_id_or_a_window_nothing_is_a_duplicate() {
        let (mut recent, mut none) = (Recent::new(9), Recent::new(0));
        for _ in 0..2 {
            assert!(!recent.has_seen(&Message::default()) && !recent.has_seen(&message("")));
            assert!(!none.has_seen(&message("a")));
        }
    }
}

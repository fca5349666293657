//! When to say that the queue has overflowed: not before what came ahead of the loss, and not too often; no connection and no clock.
//!
//! What the broker drops goes to a second queue that keeps only the newest of it. Each delivery from there is a notice.

use std::time::{Duration, Instant};

/// The reason given for a gap that a full queue has left.
pub(super) const QUEUE_FULL: &str = "broker_queue_full";
/// Time between two announcements while the broker goes on dropping.
const INTERVAL: Duration = Duration::from_millis(300);

/// The notices among the deliveries of one AMQP channel, whose tags count 1, 2, 3, … over all its consumers.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    /// Deliveries taken so far, notices among them.
    taken: u64,
    /// Tag of the newest message taken.
    newest: u64,
    /// Tag of the newest notice that is not announced.
    notice: Option<u64>,
    next: Option<Instant>,
}

impl Overflow {
    pub(super) fn message_taken(&mut self, tag: u64) {
        self.taken += 1;
        self.newest = tag;
    }

    pub(super) fn noticed(&mut self, tag: u64) {
        self.taken += 1;
        self.notice = Some(tag);
    }

    /// Whether there is a notice, and no message that the broker sent ahead of it waits to be taken: whoever resumes after
    /// one of these must hear of the gap as well.
    pub(super) fn is_reached(&self) -> bool {
        self.notice.is_some_and(|notice| self.taken >= notice || self.newest > notice)
    }

    /// The time before which nothing is to be announced again.
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.next
    }

    /// The notice is announced `now`. Gives its tag, up to which everything was taken.
    pub(super) fn announced(&mut self, now: Instant) -> Option<u64> {
        self.next = Some(now + INTERVAL);
        self.notice.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_waits_for_the_messages_that_came_ahead_of_it() {
        let mut overflow = Overflow::default();
        assert!(!overflow.is_reached());
        overflow.noticed(3);
        assert!(!overflow.is_reached());
        overflow.message_taken(1);
        assert!(!overflow.is_reached());
        overflow.message_taken(2);
        assert!(overflow.is_reached());
        assert_eq!(overflow.announced(Instant::now()), Some(3));
        overflow.message_taken(4);
        assert!(!overflow.is_reached());
    }

    #[test]
    fn a_notice_that_was_overtaken_is_announced_at_once() {
        let mut overflow = Overflow::default();
        overflow.message_taken(1);
        overflow.message_taken(3);
        overflow.noticed(2);
        assert!(overflow.is_reached());
    }

    #[test]
    fn of_several_notices_the_newest_is_announced_and_the_next_one_waits() {
        let mut overflow = Overflow::default();
        assert_eq!(overflow.not_before(), None);
        overflow.noticed(1);
        overflow.noticed(2);
        let now = Instant::now();
        assert_eq!(overflow.announced(now), Some(2));
        assert_eq!(overflow.announced(now), None);
        assert!(overflow.not_before().is_some_and(|next| next > now));
    }
}

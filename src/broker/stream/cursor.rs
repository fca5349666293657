//! How far a reader of a stream has come, where it attaches again, and what each delivery then means; pure.

use crate::event::EventId;

/// A stream skips offsets for entries of its own, one at each new segment; a larger step means that retention removed something.
const LARGEST_STEP: u64 = 16;
/// The reason of a gap that retention left.
pub(in super::super) const TOO_OLD: &str = "too_old";
/// The reason of a gap that a message leaves which cannot be read.
pub(in super::super) const UNREADABLE: &str = "unreadable";

/// The place of one reader.
#[derive(Clone, Debug)]
pub(in super::super) struct Cursor {
    last: EventId,
    /// Since it attached, the reader has seen that `last` is where it was, or what became of it.
    confirmed: bool,
    progressed: bool,
    poison: Poison,
}

/// What cannot be read just behind the place.
#[derive(Clone, Copy, Debug)]
struct Poison {
    /// Connections that it ended in a row.
    failures: u32,
    /// Deliveries to step over.
    skip: u64,
    /// Failures after which it is stepped over.
    retries: u32,
}

/// What a delivery is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Verdict {
    /// Read before.
    Overlap,
    /// The very delivery after which the reader goes on.
    Confirmed,
    Next,
    /// The next that there is, for this reason not the next that there was.
    AfterGap(&'static str),
    /// The stream is not the one that was read before.
    OtherHistory,
}

impl Cursor {
    /// After `last`, of which any part may be meant. `retries` is at least 1.
    pub(in super::super) fn new(last: EventId, retries: u32) -> Self {
        let poison = Poison { failures: 0, skip: 0, retries };
        Self { last, confirmed: false, progressed: false, poison }
    }

    pub(in super::super) const fn last(&self) -> EventId {
        self.last
    }

    /// The offset at which to attach now: that of the last delivery, to see that it is still there.
    pub(in super::super) fn attach(&mut self) -> u64 {
        self.confirmed = false;
        self.progressed = false;
        self.entrance()
    }

    const fn entrance(&self) -> u64 {
        match self.poison.skip {
            0 => self.last.position.offset,
            skip => self.last.position.offset + 1 + skip,
        }
    }

    /// Whether what comes after `position`, where a reader attached or what it read last, comes next for this place as well.
    pub(in super::super) const fn stands_at(&self, position: u64) -> bool {
        self.last.position.offset == position || (!self.confirmed && self.entrance() == position)
    }

    /// Whether the broker owes a delivery at once. It does not where the reader stepped over what may be the newest.
    pub(in super::super) const fn is_owed(&self) -> bool {
        !self.confirmed && self.poison.skip == 0
    }

    /// What the delivery `id` is; all but an overlap moves the place there.
    pub(in super::super) fn judge(&mut self, id: EventId) -> Verdict {
        let (offset, last) = (id.position.offset, self.last.position.offset);
        if offset < last || (offset == last && self.confirmed) {
            return Verdict::Overlap;
        }
        if offset == last {
            self.confirmed = true;
            return if id.mark == self.last.mark { Verdict::Confirmed } else { Verdict::OtherHistory };
        }
        let verdict = match (self.confirmed, self.poison.skip) {
            (true, _) if offset - last <= LARGEST_STEP => Verdict::Next,
            (true, _) | (false, 0) => Verdict::AfterGap(TOO_OLD),
            (false, _) => Verdict::AfterGap(UNREADABLE),
        };
        self.last = id;
        self.confirmed = true;
        self.progressed = true;
        self.poison = Poison { failures: 0, skip: 0, ..self.poison };
        verdict
    }

    /// The connection ended for another reason. What was stepped over may be gone since, with the whole stream even.
    pub(in super::super) fn interrupted(&mut self) {
        self.poison = Poison { failures: 0, skip: 0, ..self.poison };
    }

    /// The connection ended because of something that could not be read.
    pub(in super::super) fn poisoned(&mut self) {
        self.poison.failures = if self.progressed { 1 } else { self.poison.failures + 1 };
        if self.poison.failures >= self.poison.retries {
            self.poison.skip += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Mark, Position};
    use proptest::prelude::*;

    fn id(offset: u64) -> EventId {
        EventId { mark: Mark(offset % 7), position: Position::before(offset) }
    }

    /// The offsets that a reader takes and its gaps, from a stream in which the unreadable end the connection.
    fn read(stream: &[(u64, bool)], mut cursor: Cursor, cuts: &[usize]) -> (Vec<u64>, usize) {
        let (mut taken, mut gaps, mut cuts) = (Vec::new(), 0, cuts.iter());
        for _ in 0..10_000 {
            let from = cursor.attach();
            let mut until_cut = cuts.next().copied().unwrap_or(usize::MAX);
            let mut poisoned = false;
            for (offset, readable) in stream.iter().filter(|(offset, _)| *offset >= from) {
                if until_cut == 0 {
                    cursor.interrupted();
                    break;
                }
                until_cut -= 1;
                if !readable {
                    cursor.poisoned();
                    poisoned = true;
                    break;
                }
                match cursor.judge(id(*offset)) {
                    Verdict::Next => taken.push(*offset),
                    Verdict::AfterGap(_) => {
                        gaps += 1;
                        taken.push(*offset);
                    }
                    Verdict::Overlap | Verdict::Confirmed => {}
                    Verdict::OtherHistory => unreachable!("marks go by offset here"),
                }
            }
            if !poisoned && until_cut > 0 {
                return (taken, gaps);
            }
        }
        panic!("it never comes to the end of {stream:?}")
    }

    proptest! {
        /// Whatever is unreadable and whenever the connection is cut: all that can be read is taken once and in order, and
        /// each run of what cannot be read, unless it is the newest, is one gap.
        #[test]
        fn the_readable_is_taken_once_and_the_unreadable_stepped_over(
            readable in proptest::collection::vec(prop::bool::weighted(0.8), 0..60),
            steps in proptest::collection::vec(1u64..3, 61),
            cuts in proptest::collection::vec(1usize..20, 0..10),
            retries in 1u32..4,
        ) {
            let mut offset = 5;
            let mut stream = vec![(offset, true)];
            for (readable, step) in readable.iter().zip(&steps) {
                offset += step;
                stream.push((offset, *readable));
            }
            let (taken, gaps) = read(&stream, Cursor::new(id(5), retries), &cuts);
            let expected: Vec<u64> = stream[1..].iter().filter(|(_, readable)| *readable).map(|(offset, _)| *offset).collect();
            prop_assert_eq!(taken, expected);
            let runs = stream.windows(2).filter(|pair| !pair[0].1 && pair[1].1).count();
            prop_assert_eq!(gaps, runs);
        }
    }

    #[test]
    fn after_an_interruption_the_last_delivery_is_looked_at_again() {
        let mut cursor = Cursor::new(id(10), 1);
        cursor.attach();
        cursor.judge(id(10));
        cursor.poisoned();
        assert_eq!((cursor.attach(), cursor.is_owed()), (12, false));
        cursor.interrupted();
        assert_eq!((cursor.attach(), cursor.is_owed()), (10, true));
        assert_eq!(cursor.judge(EventId { mark: Mark(99), ..id(10) }), Verdict::OtherHistory);
    }

    #[test]
    fn another_delivery_at_the_last_offset_is_another_history() {
        let mut cursor = Cursor::new(id(10), 3);
        assert_eq!(cursor.attach(), 10);
        assert!(cursor.is_owed());
        let other = EventId { mark: Mark(99), ..id(10) };
        assert_eq!(cursor.judge(other), Verdict::OtherHistory);
    }

    #[test]
    fn what_retention_removed_is_a_gap_and_what_a_segment_skips_is_none() {
        let mut cursor = Cursor::new(id(10), 3);
        cursor.attach();
        assert_eq!(cursor.judge(id(40)), Verdict::AfterGap(TOO_OLD));
        assert_eq!(cursor.judge(id(42)), Verdict::Next);
        assert_eq!(cursor.judge(id(42)), Verdict::Overlap);
        assert_eq!(cursor.judge(id(59)), Verdict::AfterGap(TOO_OLD));
        cursor.attach();
        assert_eq!(cursor.judge(id(58)), Verdict::Overlap);
        assert_eq!(cursor.judge(id(59)), Verdict::Confirmed);
        assert_eq!(cursor.judge(id(60)), Verdict::Next);
    }

    #[test]
    fn only_the_place_before_which_a_reader_stopped_has_what_stopped_it_in_its_way() {
        let (mut here, mut ahead) = (Cursor::new(id(10), 1), Cursor::new(id(20), 1));
        assert_eq!([here.attach(), ahead.attach()], [10, 20]);
        assert!(here.stands_at(10) && !ahead.stands_at(10), "before anything was read");
        here.judge(id(10));
        here.judge(id(11));
        assert!(here.stands_at(11) && !here.stands_at(10) && !ahead.stands_at(11));
        here.poisoned();
        assert_eq!(here.attach(), 13);
        assert!(here.stands_at(13), "where it attaches beyond what it steps over");
    }
}

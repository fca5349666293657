//! Judges a browser's log against what was published; pure.

use std::collections::HashMap;
use std::fmt;

use crate::browser::Noted;
use crate::ledger::Fate;
use crate::promise::Promise;

/// What is wrong, and at which place of the log it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub place: usize,
    pub fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Confirmed messages that never came, the first and the last of them and how many.
    Lost {
        first: usize,
        last: usize,
        count: usize,
    },
    Twice(usize),
    /// Came after one that was published later.
    Disordered(usize),
    /// Is not for this browser, or was never published.
    Misdirected(usize),
    /// More gaps than were promised at most.
    NeedlessGap,
    /// The server did not claim to resume after the id it was given, and told no gap before going on.
    Silence,
    /// A gap without its ids or its reason.
    EmptyGap,
    GivenUp(u16),
    Absurd,
}

/// Every fault in `log`, where `due` is what this browser was to get: numbers in order, with what became of them.
///
/// What comes after the last event of the log is not judged.
pub fn judge(log: &[Noted], due: &[(usize, Fate)], promise: Promise) -> Vec<Finding> {
    let mut judge = Judge { due, promise, next: 0, came: vec![false; due.len()], gaps: 0, fresh_gap: false };
    let mut unproven = false;
    let mut findings = Vec::new();
    for (place, noted) in log.iter().enumerate() {
        let fault = match noted {
            Noted::Opened { after, resumed, .. } => {
                unproven = !after.is_empty() && !resumed;
                None
            }
            Noted::Gap { reason, from, to } => {
                unproven = false;
                let empty = reason.is_empty() || from.is_empty() || to.is_empty();
                judge.gap().or(empty.then_some(Fault::EmptyGap))
            }
            Noted::Event { .. } if std::mem::take(&mut unproven) => Some(Fault::Silence),
            Noted::Event { number, .. } => judge.event(*number),
            Noted::Interrupted => None,
            Noted::GivenUp(status) => Some(Fault::GivenUp(*status)),
            Noted::Absurd(_) => Some(Fault::Absurd),
        };
        findings.extend(fault.map(|fault| Finding { place, fault }));
    }
    findings
}

struct Judge<'a> {
    due: &'a [(usize, Fate)],
    promise: Promise,
    /// The index in `due` of the first message after the last one that came.
    next: usize,
    came: Vec<bool>,
    gaps: usize,
    /// Whether a gap stands since the last event.
    fresh_gap: bool,
}

impl Judge<'_> {
    fn gap(&mut self) -> Option<Fault> {
        self.gaps += 1;
        self.fresh_gap = true;
        let needless = match self.promise {
            Promise::Everything => true,
            Promise::OneGap => self.gaps > 1,
            Promise::GapsCover => false,
        };
        needless.then_some(Fault::NeedlessGap)
    }

    fn event(&mut self, number: usize) -> Option<Fault> {
        let Ok(index) = self.due.binary_search_by_key(&number, |(number, _)| *number) else {
            return Some(Fault::Misdirected(number));
        };
        let after_gap = std::mem::take(&mut self.fresh_gap);
        if index < self.next {
            // A gap of a history in memory may lead to a replica that is behind the one before.
            if after_gap && self.promise == Promise::GapsCover {
                self.next = index + 1;
                self.came[index + 1..].fill(false);
                return None;
            }
            let twice = std::mem::replace(&mut self.came[index], true);
            return Some(if twice { Fault::Twice(number) } else { Fault::Disordered(number) });
        }
        self.came[index] = true;
        let skipped = &self.due[self.next..index];
        self.next = index + 1;
        let mut missing = skipped.iter().filter(|(_, fate)| *fate == Fate::Kept).map(|(number, _)| *number);
        let excused = after_gap && self.promise != Promise::Everything;
        let first = missing.next().filter(|_| !excused)?;
        let (last, count) = missing.fold((first, 1), |(_, count), number| (number, count + 1));
        Some(Fault::Lost { first, last, count })
    }
}

/// The numbers that two logs know under different ids; `known` grows with every log.
pub fn conflicting_ids(known: &mut HashMap<usize, String>, log: &[Noted]) -> Vec<(usize, String, String)> {
    let mut conflicts = Vec::new();
    for noted in log {
        if let Noted::Event { number, id } = noted {
            let first = known.entry(*number).or_insert_with(|| id.clone());
            if first != id {
                conflicts.push((*number, first.clone(), id.clone()));
            }
        }
    }
    conflicts
}

/// The part of a log around a place.
pub struct Excerpt<'a>(pub &'a [Noted], pub usize);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(log, place) = *self;
        for (index, noted) in log.iter().enumerate().skip(place.saturating_sub(8)).take(12) {
            writeln!(f, "    {} {index}: {noted:?}", if index == place { '>' } else { ' ' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize) -> Noted {
        Noted::Event { number, id: format!("a-{number}") }
    }

    fn gap() -> Noted {
        Noted::Gap { reason: "r".into(), from: "a-1".into(), to: "a-2".into() }
    }

    fn opened(after: &str, resumed: bool) -> Noted {
        Noted::Opened { replica: 0, after: after.into(), resumed }
    }

    /// Numbers 0, 2, 4, 6, 8 are due; 4 was never confirmed.
    fn faults(log: &[Noted], promise: Promise) -> Vec<Fault> {
        let due: Vec<_> = (0..5).map(|n| (2 * n, if n == 2 { Fate::Unknown } else { Fate::Kept })).collect();
        judge(log, &due, promise).into_iter().map(|finding| finding.fault).collect()
    }

    const ALL: [Promise; 3] = [Promise::Everything, Promise::OneGap, Promise::GapsCover];

    #[test]
    fn everything_in_order_is_right_with_and_without_what_was_never_confirmed() {
        for promise in ALL {
            let whole =
                [opened("", false), event(0), event(2), event(4), Noted::Interrupted, opened("a-4", true), event(6)];
            assert_eq!(faults(&whole, promise), []);
            assert_eq!(faults(&[event(0), event(2), event(6), event(8)], promise), []);
        }
    }

    #[test]
    fn what_is_lost_without_a_gap_is_found_whatever_was_promised() {
        for promise in ALL {
            assert_eq!(faults(&[event(0), event(8)], promise), [Fault::Lost { first: 2, last: 6, count: 2 }]);
            assert_eq!(faults(&[event(2)], promise), [Fault::Lost { first: 0, last: 0, count: 1 }]);
        }
    }

    #[test]
    fn what_comes_twice_or_late_is_found_whatever_was_promised() {
        for promise in ALL {
            assert_eq!(faults(&[event(0), event(0), event(2)], promise), [Fault::Twice(0)]);
            let late = [event(0), event(2), event(6), event(4), event(6)];
            assert_eq!(faults(&late, promise), [Fault::Disordered(4), Fault::Twice(6)]);
        }
    }

    #[test]
    fn a_gap_excuses_what_is_missing_in_its_place_only() {
        assert_eq!(faults(&[event(0), gap(), event(8)], Promise::GapsCover), []);
        assert_eq!(faults(&[event(0), gap(), event(8)], Promise::OneGap), []);
        let elsewhere = [gap(), event(0), event(8)];
        assert_eq!(faults(&elsewhere, Promise::GapsCover), [Fault::Lost { first: 2, last: 6, count: 2 }]);
        assert_eq!(faults(&[event(0), gap(), event(2), gap(), event(8)], Promise::OneGap), [Fault::NeedlessGap]);
        let lost = Fault::Lost { first: 2, last: 6, count: 2 };
        assert_eq!(faults(&[event(0), gap(), event(8)], Promise::Everything), [Fault::NeedlessGap, lost]);
    }

    #[test]
    fn only_a_gap_of_a_history_in_memory_leads_back() {
        let log = [event(0), event(2), event(6), gap(), event(2), event(6), event(8)];
        assert_eq!(faults(&log, Promise::GapsCover), []);
        assert_eq!(faults(&log, Promise::OneGap), [Fault::Twice(2), Fault::Twice(6)]);
        assert_eq!(faults(&[&log[..], &[event(6)]].concat(), Promise::GapsCover), [Fault::Twice(6)]);
    }

    #[test]
    fn going_on_without_a_word_after_an_id_that_was_not_resumed_is_found() {
        let silent = [event(0), opened("a-0", false), event(2)];
        assert_eq!(faults(&silent, Promise::GapsCover), [Fault::Silence]);
        let cut_before_the_gap = [event(0), opened("a-0", false), Noted::Interrupted, opened("a-0", true), event(2)];
        assert_eq!(faults(&cut_before_the_gap, Promise::GapsCover), []);
    }

    #[test]
    fn what_is_for_others_is_found() {
        assert_eq!(faults(&[event(1)], Promise::GapsCover), [Fault::Misdirected(1)]);
        assert_eq!(faults(&[Noted::GivenUp(503)], Promise::GapsCover), [Fault::GivenUp(503)]);
    }

    #[test]
    fn one_message_has_one_id() {
        let mut known = HashMap::new();
        assert_eq!(conflicting_ids(&mut known, &[event(1), event(2)]), []);
        let other = [Noted::Event { number: 2, id: "b-2".into() }];
        assert_eq!(conflicting_ids(&mut known, &other), [(2, "a-2".into(), "b-2".into())]);
    }
}

//! The ledger against a plain model: what is said is the newest state, once, and nobody is forgotten or kept.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LINGER: Duration = Duration::from_secs(5);

fn changes(user: &str, streams: u32) -> Changes {
    Changes { users: vec![(user.into(), streams)], is_everybody: false }
}

/// A ledger and the seconds that have passed.
struct Watched {
    ledger: Ledger,
    start: Instant,
}

impl Watched {
    fn new() -> Self {
        Self { ledger: Ledger::new(LINGER), start: Instant::now() }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    fn note(&mut self, second: u64, user: &str, streams: u32) {
        self.ledger.note(changes(user, streams), self.at(second));
    }

    /// Everything that is due, as `user:streams`, and taken by the broker if it is `there`.
    fn say(&mut self, second: u64, there: bool) -> Vec<String> {
        let due = self.ledger.due(usize::MAX, self.at(second));
        let said = due.iter().map(|statement| format!("{}:{}", statement.user.as_str(), statement.streams)).collect();
        for statement in due.into_iter().filter(|_| there) {
            self.ledger.said(statement, self.at(second));
        }
        said
    }
}

#[test]
fn a_user_is_offline_when_no_stream_has_come_back_in_time() {
    let mut watched = Watched::new();
    watched.note(0, "a", 1);
    assert_eq!(watched.say(0, true), ["a:1"]);
    watched.note(10, "a", 0);
    assert_eq!(watched.say(14, true), [""; 0]);
    assert_eq!(watched.ledger.next(), Some(watched.at(15)));
    watched.note(14, "a", 2);
    assert_eq!(watched.ledger.next(), None);
    assert_eq!(watched.say(60, true), [""; 0], "a page was left for another");
    watched.note(61, "a", 0);
    assert_eq!(watched.say(66, true), ["a:0"]);
    assert_eq!((watched.ledger.users.len(), watched.ledger.waiting()), (0, 0));
}

#[test]
fn a_user_who_came_and_went_before_anything_was_said_is_not_spoken_of() {
    let mut watched = Watched::new();
    watched.note(0, "a", 1);
    watched.note(0, "a", 0);
    assert_eq!(watched.say(60, true), [""; 0]);
    assert_eq!(watched.ledger.users.len(), 0);
}

#[test]
fn after_an_outage_the_newest_state_of_who_has_changed_is_said_and_nothing_else() {
    let mut watched = Watched::new();
    for user in ["stays", "goes", "flickers"] {
        watched.note(0, user, 1);
    }
    assert_eq!(watched.say(0, true).len(), 3);
    watched.note(1, "goes", 0);
    watched.note(1, "flickers", 0);
    watched.note(2, "comes", 1);
    watched.note(2, "passes", 1);
    assert_eq!(watched.say(20, false), ["comes:1", "passes:1", "flickers:0", "goes:0"]);
    watched.note(30, "flickers", 1);
    watched.note(30, "passes", 0);
    watched.note(30, "comes", 3);
    let mut said = watched.say(40, true);
    said.sort();
    assert_eq!(said, ["comes:3", "goes:0"]);
    assert_eq!(watched.say(60, true), [""; 0]);
}

#[test]
fn a_change_while_a_statement_is_on_its_way_is_said_after_it() {
    let mut watched = Watched::new();
    watched.note(0, "a", 1);
    let on_its_way = watched.ledger.due(1, watched.at(0)).remove(0);
    watched.note(1, "a", 0);
    watched.ledger.said(on_its_way, watched.at(2));
    assert_eq!(watched.say(6, true), [""; 0]);
    assert_eq!(watched.say(7, true), ["a:0"]);
    watched.note(10, "a", 1);
    assert_eq!(watched.say(10, true), ["a:1"]);
}

#[test]
fn who_is_not_among_everybody_is_gone() {
    let mut watched = Watched::new();
    watched.note(0, "a", 1);
    watched.note(0, "b", 1);
    watched.say(0, true);
    let everybody = Changes { users: vec![("b".into(), 1), ("c".into(), 1)], is_everybody: true };
    watched.ledger.note(everybody, watched.at(1));
    assert_eq!(watched.say(6, true), ["c:1", "a:0"]);
}

#[test]
fn at_the_end_everybody_who_was_said_to_be_there_is_said_to_be_gone_at_once() {
    let mut watched = Watched::new();
    for (user, streams) in [("here", 1), ("left", 1)] {
        watched.note(0, user, streams);
    }
    watched.say(0, true);
    watched.note(1, "left", 0);
    watched.note(1, "new", 1);
    watched.ledger.close(watched.at(2));
    let mut said = watched.say(2, true);
    said.sort();
    assert_eq!(said, ["here:0", "left:0"]);
    assert_eq!(watched.ledger.users.len(), 0);
}

proptest! {
    /// Whatever users do and however often the broker fails: what it was told last is how they are once it is there and
    /// their absence has lasted, it is never told the same twice in turn, and nothing is left behind.
    #[test]
    fn the_broker_ends_up_knowing_who_is_there(
        steps in proptest::collection::vec((0u8..4, 0u32..3, 0u64..4, any::<bool>()), 0..120),
    ) {
        let mut watched = Watched::new();
        let (mut there, mut told): (BTreeMap<u8, u32>, BTreeMap<String, bool>) = Default::default();
        let mut second = 0;
        let end = (0, 0, 100, true);
        for (user, streams, pause, broker) in steps.into_iter().chain([end]) {
            if pause != 100 {
                there.insert(user, streams);
                watched.note(second, &user.to_string(), streams);
            }
            second += pause;
            for statement in watched.say(second, broker).into_iter().filter(|_| broker) {
                let (user, streams) = statement.split_once(':').expect("two parts");
                let before = told.insert(user.to_owned(), streams != "0").unwrap_or(false);
                prop_assert!(before != (streams != "0"), "{statement} was said already");
            }
            prop_assert!(watched.ledger.waiting() <= watched.ledger.users.len());
        }
        for (user, streams) in there {
            prop_assert_eq!(told.get(&user.to_string()).copied().unwrap_or(false), streams > 0, "{}", user);
        }
        prop_assert_eq!(watched.ledger.users.len(), told.values().filter(|online| **online).count());
        prop_assert_eq!(watched.ledger.waiting(), 0);
    }
}

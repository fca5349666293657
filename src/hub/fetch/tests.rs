//! The way from the archive over the ring to the present, with an archive that is ahead, behind, gone or another one.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use proptest::prelude::*;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::super::{
    Archive, Archived, Beginning, HistoryConfig, Past, Publisher, ReadFrom, Shard, StreamConfig, Subscriber,
    Subscription, open,
};
use crate::event::{Audience, Event, EventId, EventName, Mark, Position};

/// A stream in which each offset has a mark of its own, as the broker's have.
fn id(offset: u64) -> EventId {
    EventId { mark: Mark(0x100 + offset * 7 % 31), position: Position::before(offset) }
}

/// The events of the delivery at `offset`, one for each user of `users`, with their place as data.
fn events(offset: u64, users: &[u8]) -> Vec<Event> {
    let event = |(part, user): (usize, &u8)| Event {
        audiences: vec![Audience::User(user.to_string().into())],
        name: EventName::new("e"),
        data: format!("{offset}.{part}").into(),
    };
    users.iter().enumerate().map(event).collect()
}

/// An archive that sends what it is told to.
#[derive(Debug, Default)]
struct Shelf(Mutex<Vec<(ReadFrom, Sender<Archived>)>>);

impl Archive for Shelf {
    fn read(&self, from: ReadFrom) -> Receiver<Archived> {
        let (sender, receiver) = channel(4);
        self.0.lock().expect("no panic").push((from, sender));
        receiver
    }
}

impl Shelf {
    /// What the newest reader asked for, and where to send it.
    fn asked(&self) -> (ReadFrom, Sender<Archived>) {
        self.0.lock().expect("no panic").pop().expect("somebody reads")
    }
}

struct Hub {
    publisher: Publisher,
    shard: Shard,
    shelf: Arc<Shelf>,
}

/// A hub whose ring keeps `ring_bytes`, after the delivery 0.
fn hub(ring_bytes: u64) -> Hub {
    let shelf = Arc::new(Shelf::default());
    let history = HistoryConfig { memory: ByteSize::b(ring_bytes), ..HistoryConfig::default() };
    let archive: Arc<dyn Archive> = Arc::clone(&shelf) as Arc<dyn Archive>;
    let (mut publisher, mut seeds, _) = open(&history, &StreamConfig::default(), Some(archive), 1);
    publisher.starts_after(id(0), Instant::now());
    publisher.current(Instant::now());
    Hub { publisher, shard: seeds.remove(0).settle(Instant::now()), shelf }
}

impl Hub {
    fn publish(&mut self, offset: u64, users: &[u8]) {
        let now = Instant::now();
        if users.is_empty() {
            self.publisher.pass(id(offset), now);
        }
        for (id, event) in id(offset).parts().zip(events(offset, users)) {
            self.publisher.publish(id, now, event);
        }
    }

    fn open(&self, beginning: Beginning) -> Subscriber {
        let subscription = Subscription { user: Some("1".into()), ..Subscription::default() };
        self.shard.subscribe(&subscription, beginning, Instant::now()).expect("room")
    }

    fn after(&self, offset: u64) -> Subscriber {
        self.open(Beginning::After(id(offset).to_string()))
    }
}

/// What a stream has to give now; its end is told as `END`.
fn read(stream: &mut Subscriber) -> String {
    let mut text = String::new();
    loop {
        match stream.poll_chunk(&Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(chunk)) => {
                text.push_str(std::str::from_utf8(&chunk.expect("keeps up").bytes).expect("UTF-8"));
            }
            Poll::Ready(None) => return text + "END",
            Poll::Pending => return text,
        }
    }
}

fn data(text: &str) -> Vec<String> {
    let events = text.split("\n\n").filter(|block| block.contains("event: e\n"));
    events.filter_map(|block| Some(block.rsplit_once("data: ")?.1.to_owned())).collect()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish,
    /// The archive sends so many deliveries as one piece.
    Send(usize),
    Turn,
    Read,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![Just(Step::Publish), (1usize..9).prop_map(Step::Send), Just(Step::Turn), Just(Step::Read)];
    proptest::collection::vec(step, 0..150)
}

proptest! {
    /// However the archive, the tail and the reader take turns, and whichever of the first two is ahead: everything after the
    /// id comes once and in order.
    #[test]
    fn the_way_from_the_archive_to_the_present_has_no_gap_and_no_overlap(
        deliveries in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..4), 40..80),
        before in 20usize..40,
        from in 1u64..20,
        part in 0u16..3,
        ring_bytes in 1u64..6000,
        steps in steps(),
    ) {
        let mut hub = hub(ring_bytes);
        let content = |offset: u64| &deliveries[usize::try_from(offset).expect("small") - 1];
        let (mut head, end) = (before as u64, deliveries.len() as u64);
        (1..=head).for_each(|offset| hub.publish(offset, content(offset)));
        let asked = id(from).parts().nth(part.into()).expect("a part");
        let mut stream = hub.open(Beginning::After(asked.to_string()));
        let mut archive: Option<Sender<Archived>> = None;
        let (mut sent, mut text) = (0, String::new());
        let finish = (0..400).map(|number| [Step::Publish, Step::Send(8), Step::Turn, Step::Read][number % 4]);
        for step in steps.into_iter().chain(finish) {
            match step {
                Step::Publish if head < end => {
                    head += 1;
                    hub.publish(head, content(head));
                }
                Step::Send(count) => if let Some(archive) = archive.as_ref() {
                    let last = (sent + count as u64).min(end);
                    let past: Arc<[Past]> = (sent + 1..=last).map(|offset| Past::new(id(offset), events(offset, content(offset)))).collect();
                    if last > sent && archive.try_send(Archived::Deliveries(past)).is_ok() {
                        sent = last;
                    }
                },
                Step::Turn => { hub.shard.turn(Instant::now()); }
                Step::Read => text.push_str(&read(&mut stream)),
                Step::Publish => {}
            }
            // A request: the first, or another after the ring has overtaken the replay.
            if let Some((ReadFrom::After(from), sender)) = hub.shelf.0.lock().expect("no panic").pop() {
                sender.try_send(Archived::After(from)).expect("room");
                sent = from.position.offset - 1;
                archive = Some(sender);
            }
        }
        let expected: Vec<String> = (from..=end)
            .flat_map(|offset| content(offset).iter().enumerate().map(move |(part, user)| (offset, part, *user)))
            .filter(|(offset, at, user)| *user == 1 && (*offset > from || *at > usize::from(part)))
            .map(|(offset, part, _)| format!("{offset}.{part}"))
            .collect();
        prop_assert_eq!(data(&text), expected);
        prop_assert!(text.contains("\"resumed\":true"), "{}", text);
    }
}

#[test]
fn streams_that_come_before_the_history_wait_and_are_told_the_truth_then() {
    let history = HistoryConfig::default();
    let (mut publisher, mut seeds, _) = open(&history, &StreamConfig::default(), None, 1);
    let start = Instant::now();
    let shard = seeds.remove(0).settle(start);
    let mut hub = Hub {
        publisher: {
            publisher.away();
            publisher
        },
        shard,
        shelf: Arc::default(),
    };
    let (mut new, mut back) = (hub.open(Beginning::Now), hub.after(1));
    hub.shard.turn(start);
    for second in 0..16 {
        hub.shard.turn(start + Duration::from_secs(second));
    }
    for waiting in [&mut new, &mut back] {
        assert_eq!(read(waiting).replace(":\n", ""), "", "signs of life and no position");
    }
    hub.publisher.starts_after(id(0), start);
    for offset in 1..=3 {
        hub.publish(offset, &[1]);
    }
    hub.publisher.current(start);
    hub.shard.turn(start + Duration::from_secs(17));
    let (new, back) = (read(&mut new), read(&mut back));
    assert!(new.contains(&format!("id: {}\nevent: connected", id(3).parts().next().expect("a part"))), "{new}");
    assert_eq!(data(&new), Vec::<String>::new());
    assert!(back.contains("\"resumed\":true"), "{back}");
    assert_eq!(data(&back), ["1.0", "2.0", "3.0"], "its id was the place before the delivery's own event");
}

#[test]
fn an_archive_that_has_lost_something_says_so_once_and_goes_on() {
    let mut hub = hub(1);
    (1..=9).for_each(|offset| hub.publish(offset, &[1]));
    let mut stream = hub.after(2);
    let (from, archive) = hub.shelf.asked();
    assert_eq!(from, ReadFrom::After(id(2)));
    archive.try_send(Archived::Gap { reason: "too_old", to: id(6) }).expect("room");
    let past: Arc<[Past]> = (6..=9).map(|offset| Past::new(id(offset), events(offset, &[1]))).collect();
    archive.try_send(Archived::Deliveries(past)).expect("room");
    let text = read(&mut stream);
    assert!(text.contains("\"resumed\":false") && text.contains(&format!("id: {}\nevent: connected", id(2))), "{text}");
    assert_eq!(text.matches("event: gap").count(), 1, "{text}");
    assert_eq!(data(&text), ["6.0", "7.0", "8.0", "9.0"]);
    assert!(archive.is_closed(), "the rest comes from the ring");
}

#[test]
fn an_archive_that_gives_up_sends_the_browser_away_with_what_it_has() {
    let mut hub = hub(1);
    (1..=9).for_each(|offset| hub.publish(offset, &[1]));
    let mut stream = hub.after(2);
    drop(hub.shelf.asked());
    let text = read(&mut stream);
    assert!(text.starts_with("retry: ") && text.ends_with("END") && !text.contains("id:"), "{text}");
}

#[test]
fn another_history_is_a_gap_for_the_living_and_a_goodbye_for_those_who_read_the_old_one() {
    let mut hub = hub(1 << 20);
    (1..=9).for_each(|offset| hub.publish(offset, &[1]));
    let mut live = hub.open(Beginning::Now);
    let mut old = hub.open(Beginning::After(EventId { mark: Mark(1), position: Position::before(0) }.to_string()));
    read(&mut live);
    assert!(read(&mut old).contains("unknown_id"));
    hub.publisher.starts_after(EventId { mark: Mark(5), position: Position::before(0) }, Instant::now());
    let anew = EventId { mark: Mark(6), position: Position::at(1) };
    hub.publisher.publish(anew, Instant::now(), events(1, &[1]).remove(0));
    hub.shard.turn(Instant::now());
    let text = read(&mut live);
    assert!(text.contains("history_changed") && text.contains("id: 5-0.0\n"), "{text}");
    assert_eq!(data(&text), ["1.0"]);
    let mut late = hub.open(Beginning::After("5-0.0".into()));
    assert_eq!(data(&read(&mut late)), ["1.0"]);
}

#[test]
fn an_id_that_is_ahead_is_waited_for_a_moment_and_no_longer() {
    let mut hub = hub(1 << 20);
    let start = Instant::now();
    hub.publish(1, &[1]);
    let next = id(2).parts().next().expect("a part").to_string();
    let (mut quick, mut never) = (hub.open(Beginning::After(next.clone())), hub.after(99));
    hub.shard.turn(start);
    assert_eq!(data(&(read(&mut quick) + &read(&mut never))), Vec::<String>::new());
    hub.publish(2, &[1]);
    hub.publish(3, &[1]);
    hub.shard.turn(start + Duration::from_millis(500));
    let text = read(&mut quick);
    assert!(text.contains("\"resumed\":true"), "{text}");
    assert_eq!(data(&text), ["3.0"]);
    hub.shard.turn(start + Duration::from_secs(3));
    assert!(read(&mut never).contains("unknown_id"));
}

#[test]
fn the_last_events_are_those_of_the_stream_itself() {
    let mut hub = hub(1 << 20);
    for offset in 1..=10 {
        hub.publish(offset, &[u8::from(offset % 2 == 0)]);
    }
    let text = read(&mut hub.open(Beginning::Last(3)));
    assert_eq!(data(&text), ["6.0", "8.0", "10.0"]);
    assert!(!text.contains("event: gap"), "{text}");
    let text = read(&mut hub.open(Beginning::Last(6)));
    assert!(text.contains("event: gap"), "there may have been a sixth: {text}");
    assert_eq!(data(&text).len(), 5);
}

#[test]
fn a_time_that_the_ring_reaches_back_to_is_answered_from_it() {
    let mut hub = hub(1 << 20);
    hub.publish(1, &[1]);
    let between = Instant::now();
    hub.publish(2, &[1]);
    let time = std::time::SystemTime::now();
    let text = read(&mut hub.open(Beginning::Since { time, instant: Some(between) }));
    assert_eq!(data(&text), ["2.0"]);
    let long_ago = between.checked_sub(Duration::from_secs(60));
    let mut older = hub.open(Beginning::Since { time, instant: long_ago });
    assert_eq!(hub.shelf.asked().0, ReadFrom::Since(time));
    assert!(read(&mut older).ends_with("END"));
}

#[test]
fn a_replay_never_goes_on_in_another_history() {
    let mut hub = hub(1 << 20);
    (1..=9).for_each(|offset| hub.publish(offset, &[1]));
    let mut stream = hub.after(5);
    hub.publisher.starts_after(EventId { mark: Mark(5), position: Position::before(0) }, Instant::now());
    for offset in 1..=20 {
        let anew = EventId { mark: Mark(6), position: Position::at(offset) };
        hub.publisher.publish(anew, Instant::now(), events(offset, &[1]).remove(0));
    }
    // The shard has not heard of the other history yet.
    let text = read(&mut stream);
    assert_eq!(data(&text), Vec::<String>::new());
    assert!(text.ends_with("END") && !text.contains("id: 6-"), "{text}");
}

#[test]
fn a_time_before_a_history_that_began_here_is_answered_with_all_of_it_and_no_gap() {
    for (ring_bytes, complete) in [(1 << 20, true), (1, false)] {
        let mut hub = hub(ring_bytes);
        hub.publisher.starts_after(EventId { mark: Mark(1 << 47), position: Position::before(0) }, Instant::now());
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60));
        let time = std::time::SystemTime::now() - Duration::from_secs(60);
        let mut stream = hub.open(Beginning::Since { time, instant: long_ago });
        (1..=3).for_each(|offset| hub.publish(offset, &[1]));
        let (from, archive) = hub.shelf.asked();
        assert_eq!(from, ReadFrom::Since(time));
        archive.try_send(Archived::Nothing).expect("room");
        let text = read(&mut stream);
        assert!(!text.contains("event: gap"), "{text}");
        let expected: &[&str] = if complete { &["1.0", "2.0", "3.0"] } else { &[] };
        assert!(data(&text) == expected && text.ends_with("END") != complete, "{text}");
    }
}

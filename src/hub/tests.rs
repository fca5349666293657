//! The hub as a whole against plain models: what a stream gets, where it begins, how it ends.

mod orders;

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use proptest::prelude::*;

use super::*;
use crate::event::{Event, EventId, EventName, Mark, Position};
use crate::setting::Span;

mod limits;

const MARK: Mark = Mark(0xe);

fn event_id(offset: u64) -> EventId {
    EventId { mark: MARK, position: Position::at(offset) }
}

fn settings() -> StreamConfig {
    StreamConfig { max_connection_age: Span::from_secs(0), ..StreamConfig::default() }
}

fn hub(history_bytes: u64, stream: &StreamConfig) -> (Publisher, Shard, Overview) {
    let history = HistoryConfig { memory: ByteSize::b(history_bytes), ..HistoryConfig::default() };
    let (mut publisher, mut seeds, overview) = open(&history, stream, None, 1);
    publisher.starts_after(event_id(0), Instant::now());
    publisher.current(Instant::now());
    let seed = seeds.remove(0);
    (publisher, seed.settle(Instant::now()), overview)
}

fn user(name: &str) -> Subscription {
    Subscription { user: Some(name.into()), ..Subscription::default() }
}

fn publish(publisher: &mut Publisher, offset: u64, audiences: Vec<Audience>) {
    let event = Event { audiences, name: EventName::new("e"), data: format!("{offset}").into() };
    publisher.publish(event_id(offset), Instant::now(), event);
}

fn id(offset: u64) -> String {
    event_id(offset).to_string()
}

/// What a stream has to give now, as text; `None` at its end.
fn read(subscriber: &mut Subscriber) -> Option<String> {
    let mut text = String::new();
    loop {
        match subscriber.poll_chunk(&Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(chunk))) => text.push_str(std::str::from_utf8(&chunk.bytes).expect("UTF-8")),
            Poll::Ready(Some(Err(Lagged))) => text.push_str("LAGGED"),
            Poll::Ready(None) if text.is_empty() => return None,
            Poll::Ready(None) | Poll::Pending => return Some(text),
        }
        if text.ends_with("LAGGED") {
            return Some(text);
        }
    }
}

/// The data of the events named `e` in a stream's text.
fn data(text: &str) -> Vec<u64> {
    text.split("\n\n")
        .filter(|block| block.contains("event: e\n"))
        .filter_map(|block| block.rsplit_once("data: ")?.1.parse().ok())
        .collect()
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<u8>),
    Subscribe {
        user: u8,
        channels: Vec<u8>,
        resume: Option<u64>,
    },
    /// After so many milliseconds.
    Turn(u64),
    Read(usize),
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let audiences = proptest::collection::vec(0u8..8, 1..4);
    let step = prop_oneof![
        4 => audiences.prop_map(Step::Publish),
        2 => (0u8..3, proptest::collection::vec(3u8..7, 0..3), proptest::option::of(0u64..60))
            .prop_map(|(user, channels, resume)| Step::Subscribe { user, channels, resume }),
        2 => prop_oneof![Just(0), 0u64..20_000].prop_map(Step::Turn),
        2 => any::<usize>().prop_map(Step::Read),
        1 => any::<usize>().prop_map(Step::Leave),
    ];
    proptest::collection::vec(step, 0..120)
}

/// 0 to 2 are users, 3 to 6 channels, 7 is everyone.
fn audience(number: u8) -> Audience {
    match number {
        0..3 => Audience::User(number.to_string().into()),
        3..7 => Audience::Channel(number.to_string().into()),
        _ => Audience::Everyone,
    }
}

struct Reader {
    subscriber: Subscriber,
    wants: Vec<u8>,
    after: u64,
    got: Vec<u64>,
    /// The position that the browser has reached, events and heartbeats alike.
    reached: u64,
}

impl Reader {
    fn read(&mut self) {
        let text = read(&mut self.subscriber).expect("the stream is open");
        for reached in text.lines().filter_map(|line| line.strip_prefix("id: e-")?.parse().ok()) {
            assert!(reached >= self.reached, "{reached} after {} in {text}", self.reached);
            self.reached = reached;
        }
        self.got.extend(data(&text));
    }

    fn expects(&self, published: &[Vec<u8>]) -> Vec<u64> {
        (1..)
            .zip(published)
            .filter(|(offset, to)| *offset > self.after && to.iter().any(|number| self.wants.contains(number)))
            .map(|(offset, _)| offset)
            .collect()
    }
}

proptest! {
    /// Each stream gets what is for it after the place where it began: all of it, once, in order, and nothing else;
    /// whenever it subscribed, resumed and read, and whoever else came and went.
    #[test]
    fn every_stream_gets_its_suffix_once_and_in_order(steps in steps()) {
        // Its readers take their time.
        let settings = StreamConfig { write_timeout: Span::from_secs(1 << 20), ..settings() };
        let (mut publisher, shard, overview) = hub(1 << 20, &settings);
        let mut published: Vec<Vec<u8>> = Vec::new();
        let mut readers: Vec<Reader> = Vec::new();
        let mut gone: Vec<Reader> = Vec::new();
        let mut now = Instant::now();
        for step in steps {
            match step {
                Step::Publish(to) => {
                    published.push(to.clone());
                    publish(&mut publisher, published.len() as u64, to.into_iter().map(audience).collect());
                }
                Step::Subscribe { user, channels, resume } => {
                    let head = published.len() as u64;
                    let after = resume.filter(|from| *from <= head);
                    let subscription = Subscription {
                        user: Some(user.to_string().into()),
                        channels: channels.iter().collect::<std::collections::BTreeSet<_>>().into_iter()
                            .map(|number| number.to_string().into()).collect(),
                        ..Subscription::default()
                    };
                    let subscriber = shard.subscribe(&subscription, after.map(id).as_deref(), Instant::now()).expect("room");
                    let wants = [vec![user, 7], channels].concat();
                    readers.push(Reader { subscriber, wants, after: after.unwrap_or(head), got: Vec::new(), reached: 0 });
                }
                Step::Turn(after) => { now += Duration::from_millis(after); shard.turn(now); }
                Step::Read(which) if !readers.is_empty() => { let which = which % readers.len(); readers[which].read(); }
                Step::Leave(which) if !readers.is_empty() => gone.push(readers.swap_remove(which % readers.len())),
                Step::Read(_) | Step::Leave(_) => {}
            }
            prop_assert_eq!(overview.streams(), readers.len() + gone.len());
        }
        for reader in &gone {
            prop_assert!(reader.expects(&published).starts_with(&reader.got));
        }
        drop(gone);
        while shard.turn(Instant::now()).more {}
        for reader in &mut readers {
            reader.read();
            prop_assert_eq!(&reader.got, &reader.expects(&published));
        }
        drop(readers);
        prop_assert_eq!(overview.figures(9).users, 0);
        prop_assert_eq!(overview.streams(), 0);
    }
}

#[test]
fn a_heartbeat_never_sets_a_browser_back() {
    let (mut publisher, shard, _) = hub(1 << 20, &settings());
    let start = Instant::now();
    shard.turn(start);
    let _listening = shard.subscribe(&user("a"), None, start).expect("room");
    // More than one turn hands out, so that the shard is behind the head when the next stream begins there.
    for offset in 1..=200 {
        publish(&mut publisher, offset, vec![Audience::User("a".into())]);
    }
    let mut ahead = shard.subscribe(&user("b"), None, start).expect("room");
    assert!(read(&mut ahead).expect("open").contains("id: e-200\n"));
    shard.turn(start + Duration::from_secs(16));
    assert_eq!(read(&mut ahead).as_deref(), Some(":\nid: e-200\n\n"));
}

#[test]
fn the_opening_says_where_the_stream_is() {
    let (mut publisher, shard, _) = hub(1 << 20, &settings());
    publish(&mut publisher, 7, vec![Audience::Everyone]);
    let mut stream = shard.subscribe(&user("42"), None, Instant::now()).expect("room");
    let text = read(&mut stream).expect("open");
    assert!(text.starts_with("retry: "), "{text}");
    assert!(text.contains("\nid: e-7\nevent: connected\n"), "{text}");
    assert!(text.contains(r#""resumed":false"#) && text.contains(r#""user":"42""#), "{text}");
    assert_eq!(data(&text), Vec::<u64>::new());
}

#[test]
fn a_resumed_stream_claims_no_more_than_it_was_given() {
    let (mut publisher, shard, _) = hub(1 << 20, &settings());
    for offset in 1..=9 {
        publish(&mut publisher, offset, vec![Audience::Everyone]);
    }
    let mut stream = shard.subscribe(&user("a"), Some(&*id(4)), Instant::now()).expect("room");
    let text = read(&mut stream).expect("open");
    assert!(text.contains("\nid: e-4\nevent: connected\n") && text.contains(r#""resumed":true"#), "{text}");
    assert_eq!(data(&text), [5, 6, 7, 8, 9]);
}

#[test]
fn what_cannot_be_given_any_more_is_a_gap() {
    let (mut publisher, shard, _) = hub(3000, &settings());
    for offset in 1..=50 {
        publish(&mut publisher, offset, vec![Audience::Everyone]);
    }
    for (asked, reason) in [
        (id(1), "too_old"),
        (id(51), "unknown_id"),
        ("f-3".into(), "unknown_id"),
        ("rubbish".into(), "unknown_id"),
        ("a\nb".into(), "unknown_id"),
    ] {
        let mut stream = shard.subscribe(&user("a"), Some(&*asked), Instant::now()).expect("room");
        let text = read(&mut stream).expect("open");
        let blocks: Vec<&str> = text.split("\n\n").collect();
        assert!(blocks[0].contains(r#""resumed":false"#), "{text}");
        assert!(blocks[1].contains("event: gap") && blocks[1].contains(&format!(r#""reason":"{reason}""#)), "{text}");
        if reason == "too_old" {
            // A connection that breaks before the gap was told is told again.
            assert!(blocks[0].contains(&format!("id: {asked}\n")), "{text}");
            let replayed = data(&text);
            assert_eq!(replayed.last(), Some(&50));
            assert!(blocks[1].contains(&format!("id: {}\n", id(replayed[0] - 1))), "{text}");
        } else {
            assert_eq!(data(&text), Vec::<u64>::new());
        }
    }
}

#[test]
fn an_interruption_is_told_to_the_living_and_to_those_who_come_back() {
    let (mut publisher, shard, _) = hub(1 << 20, &settings());
    publish(&mut publisher, 1, vec![Audience::Everyone]);
    let mut living = shard.subscribe(&user("a"), None, Instant::now()).expect("room");
    publisher.interrupted(event_id(2), Instant::now(), "broker_reconnected");
    shard.turn(Instant::now());
    let mut back = shard.subscribe(&user("a"), Some(&*id(1)), Instant::now()).expect("room");
    for stream in [&mut living, &mut back] {
        let text = read(stream).expect("open");
        assert!(
            text.contains(
                "id: e-2\nevent: gap\ndata: {\"from\":\"e-1\",\"reason\":\"broker_reconnected\",\"to\":\"e-2\"}\n"
            ),
            "{text}"
        );
    }
}

#[test]
fn who_does_not_read_is_cut_off_and_the_rest_go_on() {
    let limits = StreamConfig { queue_events: 8, ..settings() };
    let (mut publisher, shard, _) = hub(1 << 20, &limits);
    let mut slow = shard.subscribe(&user("slow"), None, Instant::now()).expect("room");
    let mut quick = shard.subscribe(&user("quick"), None, Instant::now()).expect("room");
    read(&mut slow);
    let mut got = Vec::new();
    for offset in 1..=20 {
        publish(&mut publisher, offset, vec![Audience::Everyone]);
        shard.turn(Instant::now());
        got.extend(data(&read(&mut quick).expect("open")));
    }
    assert_eq!(got, (1..=20).collect::<Vec<_>>());
    assert_eq!(read(&mut slow).as_deref(), Some("LAGGED"));
    assert!(slow.poll_cut_off(&Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn a_queue_is_bounded_in_bytes_too() {
    let limits = StreamConfig { queue_bytes: ByteSize::b(300), ..settings() };
    let (mut publisher, shard, _) = hub(1 << 20, &limits);
    let mut stream = shard.subscribe(&user("a"), None, Instant::now()).expect("room");
    read(&mut stream);
    let large = |offset, publisher: &mut Publisher| {
        let event =
            Event { audiences: vec![Audience::Everyone], name: EventName::new("e"), data: vec![b'7'; 2000].into() };
        publisher.publish(event_id(offset), Instant::now(), event);
    };
    large(1, &mut publisher);
    shard.turn(Instant::now());
    assert!(read(&mut stream).expect("open").len() > 2000, "one large event alone cuts nobody off");
    large(2, &mut publisher);
    large(3, &mut publisher);
    shard.turn(Instant::now());
    assert_eq!(read(&mut stream).as_deref(), Some("LAGGED"));
}

#[test]
fn heartbeats_carry_the_position_and_reach_everybody_once_a_period() {
    let (mut publisher, shard, _) = hub(1 << 20, &settings());
    let start = Instant::now();
    shard.turn(start);
    let mut streams: Vec<_> =
        (0..100).map(|n| shard.subscribe(&user(&n.to_string()), None, start).expect("room")).collect();
    for stream in &mut streams {
        read(stream);
    }
    publish(&mut publisher, 5, vec![Audience::User("nobody".into())]);
    let mut beats = vec![0; streams.len()];
    let mut most_at_once = 0;
    for tick in 1..=60 {
        shard.turn(start + Duration::from_millis(250) * tick);
        let mut at_once = 0;
        for (stream, beats) in streams.iter_mut().zip(&mut beats) {
            if let Some(text) = read(stream).filter(|text| !text.is_empty()) {
                assert_eq!(text, ":\nid: e-5\n\n");
                *beats += 1;
                at_once += 1;
            }
        }
        most_at_once = most_at_once.max(at_once);
    }
    assert_eq!(beats, vec![1; 100]);
    assert!(most_at_once <= 4, "{most_at_once} of 100 in one tick of 60");
}

#[test]
fn a_reader_that_leaves_what_waits_is_cut_off_in_time_and_its_place_is_free() {
    let (_publisher, shard, overview) = hub(1 << 20, &settings());
    let start = Instant::now();
    shard.turn(start);
    let mut left = shard.subscribe(&user("left"), None, start).expect("room");
    let mut ended =
        shard.subscribe(&Subscription { expires: Some(start), ..user("ended") }, None, start).expect("room");
    read(&mut ended);
    for seconds in 1..=60 {
        shard.turn(start + Duration::from_secs(seconds));
    }
    assert_eq!(overview.streams(), 0, "one left its opening, the other its end");
    let cx = Context::from_waker(Waker::noop());
    assert!(left.poll_cut_off(&cx).is_ready() && ended.poll_cut_off(&cx).is_ready());
    assert_eq!(read(&mut left).as_deref(), Some("LAGGED"));
}

#[test]
fn a_stream_ends_when_its_token_does() {
    let (_publisher, shard, _) = hub(1 << 20, &settings());
    let now = Instant::now();
    let expires = Some(now + Duration::from_secs(5));
    let mut stream = shard.subscribe(&Subscription { expires, ..user("a") }, None, now).expect("room");
    read(&mut stream);
    shard.turn(now + Duration::from_millis(4999));
    assert_eq!(read(&mut stream).map(|text| text.contains("id:")), Some(false));
    assert!(!shard.turn(now + Duration::from_secs(5)).more);
    assert_eq!(read(&mut stream).as_deref(), Some("event: token-expired\ndata: {}\n\n"));
    assert_eq!(read(&mut stream), None);
}

#[test]
fn a_drain_ends_streams_in_batches_each_with_a_reconnection_time() {
    let (_publisher, shard, _) = hub(1 << 20, &settings());
    let mut streams: Vec<_> =
        (0..10).map(|_| shard.subscribe(&user("a"), None, Instant::now()).expect("room")).collect();
    for stream in &mut streams {
        read(stream);
    }
    for left in [6, 2, 0] {
        assert_eq!(shard.drain(4, Instant::now()), left);
    }
    let mut retries = std::collections::BTreeSet::new();
    for stream in &mut streams {
        let text = read(stream).expect("a farewell");
        let retry: u64 = text.strip_prefix("retry: ").and_then(|text| text.trim_end().parse().ok()).expect(&text);
        assert!((1000..3000).contains(&retry));
        retries.insert(retry);
        assert_eq!(read(stream), None);
    }
    assert!(retries.len() > 1, "the reconnections are spread");
}

#[test]
fn no_more_streams_open_than_are_allowed() {
    let (_publisher, shard, overview) = hub(1 << 20, &StreamConfig { max_streams: 2, ..settings() });
    let first = shard.subscribe(&user("a"), None, Instant::now()).expect("room");
    let _second = shard.subscribe(&user("b"), None, Instant::now()).expect("room");
    assert!(shard.subscribe(&user("c"), None, Instant::now()).is_err());
    drop(first);
    assert!(shard.subscribe(&user("c"), None, Instant::now()).is_ok());
    assert_eq!(overview.streams(), 1);
}

#[test]
fn a_replay_that_the_ring_overtakes_is_cut_off_and_not_patched() {
    let (mut publisher, shard, _) = hub(60_000, &settings());
    for offset in 1..=100 {
        publish(&mut publisher, offset, vec![Audience::Everyone]);
    }
    let mut stream = shard.subscribe(&user("a"), Some(&*id(1)), Instant::now()).expect("room");
    for offset in 101..=400 {
        publish(&mut publisher, offset, vec![Audience::Everyone]);
    }
    let text = read(&mut stream).expect("open");
    assert!(text.ends_with("LAGGED") && data(&text).is_empty(), "{text}");
}

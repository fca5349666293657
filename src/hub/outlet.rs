//! The seam between the hub and whatever carries a stream: an outlet that the hub writes to itself, or a reader that polls.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use super::core::Core;

/// A stream's way out when the hub writes it without anybody's help: no task, no buffer. Its drop closes the stream.
pub trait Outlet: Debug {
    /// Writes what it takes at once of `pieces`, frames with their chunk framing (RFC 9112 §7.1); when it takes nothing
    /// it is `Pending` and wakes `cx` later, to be offered the same bytes first again.
    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Ready when the other side is gone; otherwise wakes `cx` when that may have changed.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// An event that the source handed over at `received` has left. Called for a sample of them.
    fn delivered(&self, received: Instant);
}

/// Wakes one seat of a shard: puts its number on the shard's list and wakes the shard.
#[derive(Debug)]
struct SeatWaker {
    core: Arc<Core>,
    shard: usize,
    key: usize,
}

impl Wake for SeatWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.core.inboxes[self.shard].call(self.key);
    }
}

/// A waker for seat `key` of `shard`. A wake for a seat that is gone, or that is another's by now, is harmless.
pub(super) fn waker(core: &Arc<Core>, shard: usize, key: usize) -> Waker {
    Waker::from(Arc::new(SeatWaker { core: Arc::clone(core), shard, key }))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::event::{Audience, Event, EventId, EventName, Mark, Position};
    use crate::hub::{HistoryConfig, Overview, Publisher, Shard, ShardSeed, StreamConfig, Subscription, open};
    use crate::setting::Span;
    use proptest::prelude::*;

    /// A socket that takes as many bytes as it is told to.
    #[derive(Debug, Default)]
    struct Sink {
        taken: Vec<u8>,
        room: usize,
        gone: bool,
        dropped: bool,
        waker: Option<Waker>,
    }

    #[derive(Debug)]
    struct SinkOutlet(Rc<RefCell<Sink>>);

    impl Outlet for SinkOutlet {
        fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
            let sink = &mut *self.0.borrow_mut();
            let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).take(sink.room).collect();
            if bytes.is_empty() {
                sink.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            sink.room -= bytes.len();
            sink.taken.extend_from_slice(&bytes);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
            let sink = &mut *self.0.borrow_mut();
            sink.waker = Some(cx.waker().clone());
            if sink.gone { Poll::Ready(()) } else { Poll::Pending }
        }

        fn delivered(&self, _: Instant) {}
    }

    impl Drop for SinkOutlet {
        fn drop(&mut self) {
            self.0.borrow_mut().dropped = true;
        }
    }

    fn give_room(sink: &Rc<RefCell<Sink>>, room: usize) {
        let waker = {
            let mut sink = sink.borrow_mut();
            sink.room += room;
            sink.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The events in what a sink took, out of its chunks; and whether the last chunk is there.
    fn decoded(sink: &Rc<RefCell<Sink>>) -> (Vec<u64>, bool) {
        let sink = sink.borrow();
        let (mut rest, mut text) = (&sink.taken[..], String::new());
        while let Some(line) = rest.windows(2).position(|pair| pair == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).expect("ASCII"), 16).expect("a size");
            if size == 0 {
                return (numbers(&text), true);
            }
            let Some(block) = rest.get(line + 2..line + 2 + size) else { break };
            text.push_str(std::str::from_utf8(block).expect("UTF-8"));
            rest = rest.get(line + 4 + size..).unwrap_or_default();
        }
        (numbers(&text), false)
    }

    fn numbers(text: &str) -> Vec<u64> {
        text.split("\n\n")
            .filter(|block| block.contains("event: e\n"))
            .filter_map(|block| block.rsplit_once("data: ")?.1.parse().ok())
            .collect()
    }

    fn stream(shard: &Shard, user: u64, last_event_id: Option<&str>) -> Rc<RefCell<Sink>> {
        let sink = Rc::default();
        let subscription = Subscription { user: Some(user.to_string().into()), ..Subscription::default() };
        let subscriber = shard.subscribe(&subscription, last_event_id, Instant::now()).expect("room");
        subscriber.hand_over(Box::new(SinkOutlet(Rc::clone(&sink))), "", Instant::now());
        sink
    }

    fn id(offset: u64) -> EventId {
        EventId { mark: Mark(1), position: Position::at(offset) }
    }

    fn event(audience: Audience, number: u64) -> Event {
        Event { audiences: vec![audience], name: EventName::new("e"), data: number.to_string().into() }
    }

    fn settings() -> StreamConfig {
        StreamConfig { queue_events: 100_000, max_connection_age: Span::from_secs(0), ..StreamConfig::default() }
    }

    /// A hub whose history begins after the id 0.
    fn hub() -> (Publisher, Vec<ShardSeed>, Overview) {
        let (mut publisher, seeds, overview) = open(&HistoryConfig::default(), &settings(), None, 1);
        publisher.starts_after(id(0), Instant::now());
        publisher.current(Instant::now());
        (publisher, seeds, overview)
    }

    proptest! {
        // Each case opens and feeds more than a hundred streams.
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// However much each socket takes at a time, each stream gets its own events once and in order, live or replayed,
        /// whether many of them are merged or one.
        #[test]
        fn sockets_of_any_pace_get_everything(
            steps in proptest::collection::vec((0u64..300, 0u64..5, 0usize..5, 0usize..2000), 1..60),
        ) {
            let (mut publisher, mut seeds, overview) = hub();
            let shard = seeds.remove(0).settle(Instant::now());
            let mut sinks: Vec<_> = (0..80).map(|user| (user % 4, 0, stream(&shard, user % 4, None))).collect();
            let mut published = Vec::new();
            for (count, to, which, room) in steps {
                for _ in 0..count {
                    let audience = if to == 4 { Audience::Everyone } else { Audience::User(to.to_string().into()) };
                    published.push(to);
                    let offset = published.len() as u64;
                    publisher.publish(id(offset), Instant::now(), event(audience, offset));
                    if offset.is_multiple_of(50) {
                        shard.turn(Instant::now());
                    }
                }
                give_room(&sinks[which].2, room);
                let from = published.len() as u64 / 2;
                sinks.push((to % 4, from, stream(&shard, to % 4, Some(&id(from).to_string()))));
                shard.turn(Instant::now());
            }
            for (_, _, sink) in &sinks {
                give_room(sink, usize::MAX / 2);
            }
            while shard.turn(Instant::now()).more {}
            for (user, from, sink) in &sinks {
                let expected: Vec<u64> = (1..)
                    .zip(&published)
                    .filter(|(offset, to)| offset > from && (*to == user || **to == 4))
                    .map(|(offset, _)| offset)
                    .collect();
                prop_assert_eq!(decoded(sink), (expected, false));
            }
            prop_assert_eq!(overview.streams(), sinks.len());
        }
    }

    #[test]
    fn a_stream_ends_with_its_last_chunk_and_gives_its_outlet_back() {
        let (_publisher, mut seeds, overview) = hub();
        let shard = seeds.remove(0).settle(Instant::now());
        let (sent, stuck) = (stream(&shard, 1, None), stream(&shard, 2, None));
        give_room(&sent, usize::MAX / 2);
        assert_eq!(shard.drain(10, Instant::now()), 0);
        assert!(decoded(&sent).1 && sent.borrow().dropped);
        assert!(!stuck.borrow().dropped, "what waits for a slow socket still goes out");
        give_room(&stuck, usize::MAX / 2);
        shard.turn(Instant::now());
        assert!(decoded(&stuck).1 && stuck.borrow().dropped);
        assert_eq!(overview.streams(), 0);
    }

    #[test]
    fn who_is_gone_or_stuck_is_taken_away() {
        let (_publisher, mut seeds, overview) = hub();
        let now = Instant::now();
        let shard = seeds.remove(0).settle(now);
        let (gone, stuck) = (stream(&shard, 1, None), stream(&shard, 2, None));
        gone.borrow_mut().gone = true;
        give_room(&gone, 0);
        shard.turn(now);
        assert!(gone.borrow().dropped && !stuck.borrow().dropped);
        for seconds in 1..=60 {
            shard.turn(now + Duration::from_secs(seconds));
        }
        assert!(stuck.borrow().dropped, "it took nothing for longer than stream.write_timeout");
        assert_eq!(overview.streams(), 0);
    }

    #[test]
    fn a_crowd_that_leaves_keeps_nobodys_event_waiting() {
        let (mut publisher, mut seeds, overview) = hub();
        let now = Instant::now();
        let shard = seeds.remove(0).settle(now);
        let crowd: Vec<_> = (0..500).map(|_| stream(&shard, 1, None)).collect();
        let listener = stream(&shard, 2, None);
        give_room(&listener, usize::MAX / 2);
        while shard.turn(now).more {}
        for sink in &crowd {
            sink.borrow_mut().gone = true;
            give_room(sink, 0);
        }
        publisher.publish(id(1), now, event(Audience::User("2".into()), 1));
        assert!(shard.turn(now).more);
        assert_eq!(decoded(&listener).0, [1]);
        assert!(overview.streams() > crowd.len() / 2, "a turn is short: {} are left", overview.streams());
        while shard.turn(now).more {}
        assert_eq!(overview.streams(), 1);
    }

    #[tokio::test]
    async fn what_an_early_turn_leaves_is_done_in_the_next() {
        let (mut publisher, mut seeds, _overview) = hub();
        let now = Instant::now();
        let shard = seeds.remove(0).settle(now);
        let crowd: Vec<_> = (0..500).map(|_| stream(&shard, 1, None)).collect();
        for sink in &crowd {
            give_room(sink, usize::MAX / 2);
        }
        while shard.turn(now).more {}
        publisher.publish(id(1), now, event(Audience::User("1".into()), 1));
        shard.filled().await;
        shard.turn_early(now);
        let served = || crowd.iter().filter(|sink| decoded(sink).0 == [1]).count();
        assert!((1..crowd.len()).contains(&served()), "{}", served());
        shard.filled().await;
        while shard.turn(now).more {}
        assert_eq!(served(), crowd.len());
    }
}

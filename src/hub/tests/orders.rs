//! Orders to open streams: whom they meet, what a changed stream gets from then on, and what is told before a token's end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use uuid::Uuid;

use super::*;

fn stream(shard: &Shard, number: u128, subscription: Subscription) -> Subscriber {
    let subscription = Subscription { connection_id: Uuid::from_u128(number), ..subscription };
    let mut stream = shard.subscribe(&subscription, None, Instant::now()).expect("room");
    read(&mut stream).expect("the opening block");
    stream
}

fn on(channels: &[u8]) -> Subscription {
    let channels = channels.iter().map(|channel| channel.to_string().as_str().into()).collect();
    Subscription { channels, ..Subscription::default() }
}

fn turn(shard: &Shard) -> usize {
    (1..10_000).find(|_| !shard.turn(Instant::now()).more).expect("it comes to an end")
}

/// What a stream has to give now besides heartbeats.
fn said(stream: &mut Subscriber) -> Option<String> {
    let text = read(stream)?;
    Some(text.split_inclusive("\n\n").filter(|block| !block.starts_with(':')).collect())
}

/// Where the number of streams that an order has met will be.
fn counter() -> (impl FnOnce(usize) + Send + 'static, Arc<OnceLock<usize>>) {
    let met = Arc::new(OnceLock::new());
    let kept = Arc::clone(&met);
    (move |count| kept.set(count).expect("it is told once"), met)
}

const OUT: Option<&str> = Some("event: disconnected\ndata: {\"reason\":\"out\"}\n\n");

#[test]
fn an_order_meets_those_it_is_for_and_nobody_else() {
    let (_publisher, shard, overview) = hub(1 << 20, &settings());
    let mut streams: Vec<_> =
        [(1, user("a")), (2, user("a")), (3, user("b")), (4, on(&[7]))].map(|(n, s)| stream(&shard, n, s)).into();
    let give = |whom| {
        let (done, met) = counter();
        overview.orders().give(whom, |_| Verdict::End { reason: "out".into() }, done).expect("room");
        assert_eq!(met.get(), None, "nothing is done before the shard's turn");
        turn(&shard);
        met.get().copied().expect("carried out")
    };
    assert_eq!(give(Whom::Connection(Uuid::from_u128(2))), 1);
    assert_eq!(said(&mut streams[1]).as_deref(), OUT);
    assert_eq!(said(&mut streams[1]), None);
    assert_eq!(give(Whom::Audience(Audience::User("b".into()))), 1);
    assert_eq!(give(Whom::Connection(Uuid::from_u128(9))), 0);
    assert_eq!(give(Whom::Audience(Audience::User("7".into()))), 0);
    assert_eq!(said(&mut streams[0]).as_deref(), Some(""));
    assert_eq!(said(&mut streams[2]).as_deref(), OUT);
    assert_eq!(give(Whom::All), 2, "who has ended is not met again");
    assert_eq!(said(&mut streams[0]).as_deref(), OUT);
    assert_eq!(said(&mut streams[3]).as_deref(), OUT);
}

#[test]
fn an_order_to_everybody_is_carried_out_in_slices() {
    let (_publisher, shard, overview) = hub(1 << 20, &settings());
    let streams: Vec<_> = (0..1000).map(|number| stream(&shard, number, user("a"))).collect();
    let met = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&met);
    let count = move |view: &View<'_>| {
        assert_eq!(view.audiences, [Audience::User("a".into())]);
        seen.fetch_add(1, Ordering::Relaxed);
        Verdict::Keep
    };
    let (done, changed) = counter();
    overview.orders().give(Whom::All, count, done).expect("room");
    assert!(turn(&shard) > 3, "others have their turn in between");
    assert_eq!(changed.get(), Some(&0), "all were kept");
    assert_eq!(met.load(Ordering::Relaxed), streams.len());
}

#[test]
fn orders_are_bounded() {
    let (_publisher, _shard, overview) = hub(1 << 20, &settings());
    let refused = (0..10_000).position(|_| overview.orders().give(Whom::All, |_| Verdict::Keep, drop).is_err());
    assert_eq!(refused, Some(1024));
}

#[test]
fn a_stream_hears_that_its_token_expires_and_may_live_on_with_another() {
    let (_publisher, shard, overview) = hub(1 << 20, &settings());
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let expires = |seconds| Subscription { expires: Some(at(seconds)), ..user("a") };
    let mut stream = stream(&shard, 1, expires(300));
    shard.turn(at(239));
    assert!(!read(&mut stream).expect("open").contains("token-expiring"));
    shard.turn(at(240));
    assert!(read(&mut stream).expect("open").ends_with("event: token-expiring\ndata: {\"expires\":null}\n\n"));
    let renewed = expires(1000);
    let change = move |_: &View<'_>| Verdict::Change(Box::new(renewed.clone()));
    overview.orders().give(Whom::Connection(Uuid::from_u128(1)), change, drop).expect("room");
    shard.turn(at(250));
    shard.turn(at(301));
    assert!(!read(&mut stream).expect("still open").contains("token-"));
    shard.turn(at(940));
    assert!(read(&mut stream).expect("open").contains("token-expiring"));
    shard.turn(at(1000));
    assert!(read(&mut stream).expect("open").ends_with("event: token-expired\ndata: {}\n\n"));
    assert_eq!(read(&mut stream), None);
}

#[derive(Clone, Debug)]
enum Act {
    Publish(Vec<u8>),
    Open(Vec<u8>),
    Change(usize, Vec<u8>),
    /// Comes back with its last id and other channels.
    Resume(usize, Vec<u8>),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let some = || proptest::collection::vec(0u8..5, 0..4);
    let act = prop_oneof![
        4 => some().prop_map(Act::Publish),
        1 => some().prop_map(Act::Open),
        1 => (0usize..8, some()).prop_map(|(stream, channels)| Act::Change(stream, channels)),
        1 => (0usize..8, some()).prop_map(|(stream, channels)| Act::Resume(stream, channels)),
    ];
    proptest::collection::vec(act, 0..60)
}

/// One stream, what it may hear, and everything that it heard.
struct Listener {
    stream: Subscriber,
    channels: Vec<u8>,
    heard: Vec<u64>,
    expected: Vec<u64>,
}

proptest! {
    #[test]
    fn a_stream_hears_what_it_may_hear_at_the_time_and_nothing_else(acts in acts()) {
        let (mut publisher, shard, overview) = hub(1 << 20, &settings());
        let mut listeners: Vec<Listener> = Vec::new();
        let mut published: Vec<Vec<u8>> = Vec::new();
        for (number, act) in (0..).zip(acts) {
            match act {
                Act::Publish(channels) => {
                    published.push(channels.clone());
                    let offset = published.len() as u64;
                    let audiences = channels.iter().map(|c| Audience::Channel(c.to_string().as_str().into()));
                    publish(&mut publisher, offset, audiences.collect());
                    for listener in &mut listeners {
                        if channels.iter().any(|channel| listener.channels.contains(channel)) {
                            listener.expected.push(offset);
                        }
                    }
                }
                Act::Open(channels) => {
                    let stream = stream(&shard, number, on(&channels));
                    listeners.push(Listener { stream, channels, heard: Vec::new(), expected: Vec::new() });
                }
                Act::Change(of, channels) => {
                    let among = listeners.len();
                    let Some(listener) = listeners.get_mut(of % among.max(1)) else { continue };
                    let (old, new) = (on(&listener.channels).audiences(), on(&channels));
                    let change = move |view: &View<'_>| {
                        let is_it = *view.audiences == *old;
                        if is_it { Verdict::Change(Box::new(new.clone())) } else { Verdict::Keep }
                    };
                    // All that listen to the same are changed: the order goes to everybody.
                    let same = |channels: &[u8]| channels.iter().copied().collect::<std::collections::BTreeSet<_>>();
                    let before = same(&listener.channels);
                    overview.orders().give(Whom::All, change, drop).expect("room");
                    for listener in listeners.iter_mut().filter(|listener| same(&listener.channels) == before) {
                        listener.channels.clone_from(&channels);
                    }
                }
                Act::Resume(of, channels) => {
                    let among = listeners.len();
                    let Some(listener) = listeners.get_mut(of % among.max(1)) else { continue };
                    listener.channels.clone_from(&channels);
                    let (subscription, from) = (on(&channels), listener.heard.last().copied().unwrap_or(0));
                    let resumed = shard.subscribe(&subscription, Some(id(from).as_str()), Instant::now());
                    listener.stream = resumed.expect("room");
                    listener.heard.retain(|offset| *offset <= from);
                    listener.expected.retain(|offset| *offset <= from);
                    let missed = (1..).zip(&published).filter(|(offset, to)| {
                        *offset > from && to.iter().any(|channel| channels.contains(channel))
                    });
                    listener.expected.extend(missed.map(|(offset, _)| offset));
                }
            }
            turn(&shard);
            for listener in &mut listeners {
                listener.heard.extend(data(&read(&mut listener.stream).expect("open")));
                prop_assert_eq!(&listener.heard, &listener.expected);
            }
        }
        drop(listeners);
        turn(&shard);
        prop_assert_eq!(overview.figures(9).channels, Vec::new());
    }
}

#[test]
fn who_gives_many_orders_may_wait_for_room() {
    let (_publisher, shard, overview) = hub(1 << 20, &settings());
    let orders = overview.orders();
    let give = || orders.give(Whom::All, |_| Verdict::Keep, drop);
    assert!(tokio_test::task::spawn(orders.room()).poll().is_ready());
    let given = (0..1 << 20).take_while(|_| give().is_ok()).count();
    assert!(given < 1 << 20, "there is a limit");
    let mut waiting = tokio_test::task::spawn(orders.room());
    assert!(waiting.poll().is_pending());
    turn(&shard);
    assert!(waiting.is_woken() && waiting.poll().is_ready());
    assert_eq!(give(), Ok(()));
}

#[test]
fn who_has_waited_for_room_gives_his_order_although_others_have_filled_it_since() {
    let (_publisher, shard, overview) = hub(1 << 20, &settings());
    let mut stream = stream(&shard, 1, user("a"));
    let orders = overview.orders();
    while orders.give(Whom::All, |_| Verdict::Keep, drop).is_ok() {}
    let (done, met) = counter();
    orders.give_in_any_case(Whom::All, |_| Verdict::End { reason: "out".into() }, done);
    turn(&shard);
    assert_eq!((met.get(), said(&mut stream).as_deref()), (Some(&1), OUT));
}

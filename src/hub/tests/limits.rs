//! What limits streams: how many there may be, how many of one user, and how fast events may come for one.

use std::collections::HashSet;

use super::*;

fn audience(name: &str) -> Vec<Audience> {
    vec![Audience::User(name.into())]
}

#[test]
fn a_stream_for_which_events_come_too_fast_ends_with_what_it_has_and_a_late_return() {
    let limits = StreamConfig { max_events_per_second: 1, ..settings() };
    let (mut publisher, shard, _) = hub(1 << 20, &limits);
    let mut stream = shard.subscribe(&user("a"), None, Instant::now()).expect("room");
    let mut other = shard.subscribe(&user("b"), None, Instant::now()).expect("room");
    assert!(read(&mut other).expect("open").contains("connected"));
    let mut text = read(&mut stream).expect("open");
    for offset in 1..=20 {
        publish(&mut publisher, offset, audience("a"));
        shard.turn(Instant::now());
        text.extend(read(&mut stream));
    }
    // Ten seconds' worth, and one more that begins just below it.
    let last = data(&text).len() as u64;
    assert!((10..=11).contains(&last) && data(&text) == (1..=last).collect::<Vec<_>>(), "{text}");
    let (_, farewell) = text.rsplit_once("retry: ").expect("a farewell");
    let retry: u64 = farewell.trim_end().parse().expect("milliseconds and nothing after them");
    assert!((30_000..=60_000).contains(&retry), "{retry}");
    assert_eq!(read(&mut stream), None, "a proper end, since it could have read more");
    drop(stream);

    // The rest is not lost, and what comes out of the history is held to no rate.
    let mut again = shard.subscribe(&user("a"), Some(&*id(last)), Instant::now()).expect("room");
    assert_eq!(data(&read(&mut again).expect("open")), (last + 1..=20).collect::<Vec<_>>());
    publish(&mut publisher, 21, audience("b"));
    shard.turn(Instant::now());
    assert_eq!(data(&read(&mut other).expect("open")), [21]);
}

#[test]
fn a_burst_that_is_merged_into_one_frame_counts_as_what_it_is() {
    let limits = StreamConfig { max_events_per_second: 3, ..settings() };
    let (mut publisher, shard, _) = hub(1 << 20, &limits);
    let mut stream = shard.subscribe(&user("a"), None, Instant::now()).expect("room");
    for offset in 1..=100 {
        publish(&mut publisher, offset, audience("a"));
    }
    while shard.turn(Instant::now()).more {}
    let received = data(&read(&mut stream).expect("open")).len();
    // A frame that begins below the limit is taken whole.
    assert!((30..100).contains(&received), "{received}");
    assert_eq!(read(&mut stream), None);
}

#[test]
fn a_user_has_no_more_streams_than_are_allowed_whatever_its_name() {
    let (_publisher, shard, _) = hub(1 << 20, &StreamConfig { max_streams_per_user: 2, ..settings() });
    for name in ["a", "a.b", "*", "#", "", &"x".repeat(1000)] {
        let open = |name: &str| shard.subscribe(&user(name), None, Instant::now());
        let (_first, second) = (open(name).expect("room"), open(name).expect("room"));
        assert_eq!(open(name).err(), Some(Refused::User), "{name}");
        drop(second);
        let _third = open(name).expect("room again");
        assert_eq!(open(name).err(), Some(Refused::User), "{name}");
    }
    let anonymous: Vec<_> =
        (0..5).map(|_| shard.subscribe(&Subscription::default(), None, Instant::now()).expect("nobody's")).collect();
    assert_eq!(anonymous.len(), 5);
}

/// One more stream of user `a` on each of the shards in turn, as a request opens it.
fn newer(shards: &[Shard], number: usize) -> Result<Subscriber, Refused> {
    let config = crate::auth::AuthConfig { anonymous: true, ..crate::auth::AuthConfig::default() };
    let authenticator = crate::auth::Authenticator::load(&config).expect("a sound section");
    let standing = Standing {
        identity: authenticator.authenticate(None, std::time::SystemTime::now()).expect("anonymous"),
        session: None,
        asked: None,
        defaults: Vec::new().into(),
        address: None,
        opened: Instant::now(),
    };
    let subscription =
        Subscription { connection_id: uuid::Uuid::new_v4(), standing: Some(Arc::new(standing)), ..user("a") };
    shards[number % shards.len()].subscribe(&subscription, None, Instant::now())
}

#[test]
fn where_the_oldest_make_room_each_new_stream_ends_the_oldest_one_on_whichever_shard_it_is() {
    let limits = StreamConfig { max_streams_per_user: 3, per_user: PerUser::EndOldest, ..settings() };
    let (mut publisher, seeds, overview) = open(&HistoryConfig::default(), &limits, None, 3);
    publisher.starts_after(event_id(0), Instant::now());
    let shards: Vec<_> = seeds.into_iter().map(|seed| seed.settle(Instant::now())).collect();
    let turn = || {
        // An order to look, and one to end.
        for shard in shards.iter().chain(&shards) {
            while shard.turn(Instant::now()).more {}
        }
    };
    let _other = shards[0].subscribe(&user("b"), None, Instant::now()).expect("another user's");
    let mut streams: Vec<_> = (0..3).map(|number| newer(&shards, number).expect("room")).collect();
    for number in 3..10 {
        streams.push(newer(&shards, number).expect("room is made"));
        assert_eq!(newer(&shards, number).err(), Some(Refused::User), "while room is being made");
        turn();
        let mut oldest = streams.remove(0);
        let text = read(&mut oldest).expect("a farewell");
        let (_, end) = text.split_once("event: disconnected\n").expect(&text);
        let retry = end.strip_prefix("data: {\"reason\":\"displaced\"}\n\nretry: ").expect(end);
        assert!((30_000..=60_000).contains(&retry.trim_end().parse::<u64>().expect(retry)), "{retry}");
        assert_eq!(read(&mut oldest), None);
        drop(oldest);
        assert_eq!(overview.streams(), 4);
        for stream in &mut streams {
            let text = read(stream).expect("open");
            assert!(!text.contains("disconnected"), "{text}");
        }
    }
    drop(streams);
    assert_eq!(overview.streams(), 1);
}

proptest! {
    /// Whatever opens and closes on whichever shard, the counts are those of the streams that are open.
    #[test]
    fn counts_agree_with_a_plain_model(
        steps in proptest::collection::vec((any::<bool>(), 0usize..3, 0u8..4, any::<prop::sample::Index>()), 0..150),
    ) {
        let limits = StreamConfig { max_streams: 8, max_streams_per_user: 3, ..settings() };
        let (mut publisher, seeds, overview) = open(&HistoryConfig::default(), &limits, None, 3);
        publisher.starts_after(event_id(0), Instant::now());
        let shards: Vec<_> = seeds.into_iter().map(|seed| seed.settle(Instant::now())).collect();
        let mut streams: Vec<(u8, Subscriber)> = Vec::new();
        for (opens, shard, name, which) in steps {
            if opens {
                let its_own = streams.iter().filter(|(other, _)| *other == name).count();
                let expected = match (streams.len(), its_own) {
                    (8.., _) => Some(Refused::Full),
                    (_, 3..) => Some(Refused::User),
                    _ => None,
                };
                let outcome = shards[shard].subscribe(&user(&name.to_string()), None, Instant::now());
                prop_assert_eq!(outcome.as_ref().err().copied(), expected);
                streams.extend(outcome.ok().map(|stream| (name, stream)));
            } else if !streams.is_empty() {
                streams.swap_remove(which.index(streams.len()));
            }
            let users: HashSet<u8> = streams.iter().map(|(name, _)| *name).collect();
            prop_assert_eq!((overview.streams(), overview.figures(0).users), (streams.len(), users.len()));
        }
        drop(streams);
        prop_assert_eq!((overview.streams(), overview.figures(0).users), (0, 0));
    }
}

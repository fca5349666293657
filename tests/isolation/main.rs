//! No stream ever gets an event that its grants do not cover, and each gets every one that they do: live, replayed, after a new token and after a new configuration, against a model that shares no code with the product.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "nothing in a test binary is reachable")]

#[allow(dead_code, unreachable_pub, reason = "shared by test binaries that each use a part")]
#[path = "../support/eventsource_decoder.rs"]
mod eventsource_decoder;

mod model;
mod world;

use cottontail::auth::AuthError;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use model::{Claims, Settings, Target, long};
use world::World;

/// Names of users and channels that mean something else elsewhere.
fn name() -> impl Strategy<Value = String> {
    let names = ["a", "a.b", "*", "#", "a.*", "*.b", "", "a.", ".", "team.red", "team.red.x", "team.#"];
    prop_oneof![12 => select(names.to_vec()).prop_map(str::to_owned), 1 => Just(long(1000)), 1 => Just(long(250))]
}

/// A channel's name as a grant or a request may have it.
fn short_name() -> impl Strategy<Value = String> {
    name().prop_filter("empty names grant nothing, and long ones are refused", |name| (1..=255).contains(&name.len()))
}

fn claims() -> impl Strategy<Value = Claims> {
    let user = proptest::option::weighted(0.9, name().prop_filter("refused", |name| !name.is_empty()));
    let team = proptest::option::of(select(vec!["red", "*", "#", "a.b", ""]).prop_map(str::to_owned));
    (user, vec(short_name(), 0..3), team).prop_map(|(user, channels, team)| Claims { user, channels, team })
}

fn settings() -> impl Strategy<Value = Settings> {
    (vec(short_name(), 0..3), any::<bool>(), any::<bool>()).prop_map(|(public, teams, anonymous)| Settings {
        public,
        teams,
        anonymous,
    })
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        1 => Just(Target::Everyone),
        3 => name().prop_map(Target::User),
        4 => name().prop_map(Target::Channel),
        2 => (name(), name()).prop_map(|(user, channel)| Target::Both { user, channel }),
    ]
}

/// What happens next; an index picks among the streams or events that there are.
#[derive(Clone, Debug)]
enum Step {
    /// With a token, or without one.
    Open {
        claims: Option<Claims>,
        asked: Option<Vec<String>>,
        resume: Option<usize>,
        shard: usize,
    },
    Publish(Target),
    Renew {
        stream: usize,
        channels: Vec<String>,
        team: Option<String>,
    },
    Reconfigure(Settings),
    Revoke(usize),
    Turn(usize),
    Settle,
    Read(usize),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let asked = proptest::option::of(vec(short_name(), 0..3));
    let renewed = (any::<usize>(), vec(short_name(), 0..3), proptest::option::of(Just("red".to_owned())));
    prop_oneof![
        4 => (proptest::option::weighted(0.9, claims()), asked, proptest::option::of(0usize..60), 0..world::SHARDS)
            .prop_map(|(claims, asked, resume, shard)| Step::Open { claims, asked, resume, shard }),
        12 => target().prop_map(Step::Publish),
        2 => renewed.prop_map(|(stream, channels, team)| Step::Renew { stream, channels, team }),
        1 => settings().prop_map(Step::Reconfigure),
        1 => any::<usize>().prop_map(Step::Revoke),
        3 => (0..world::SHARDS).prop_map(Step::Turn),
        1 => Just(Step::Settle),
        2 => any::<usize>().prop_map(Step::Read),
        1 => any::<usize>().prop_map(Step::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_stream_gets_what_it_may_hear_and_nothing_else(before in settings(), steps in vec(step(), 1..80)) {
        let mut world = World::new(&before);
        for step in steps {
            match step {
                Step::Open { claims, asked, resume, shard } => world.open(claims, asked, resume, shard),
                Step::Publish(target) => world.publish(&target),
                Step::Renew { stream, channels, team } => world.renew(stream, channels, team),
                Step::Reconfigure(settings) => world.reconfigure(&settings),
                Step::Revoke(stream) => world.revoke(stream),
                Step::Turn(shard) => world.turn(shard),
                Step::Settle => world.settle(),
                Step::Read(stream) => world.read(stream),
                Step::Leave(stream) => world.leave(stream),
            }
        }
        world.finish();
    }
}

#[test]
fn a_user_without_a_name_and_one_with_too_long_a_name_are_refused() {
    let world = World::new(&Settings { public: Vec::new(), teams: false, anonymous: true });
    let refused = |user: String| world.present(&Claims { user: Some(user), channels: Vec::new(), team: None }).err();
    assert_eq!(refused(String::new()), Some(AuthError::UserInvalid));
    assert_eq!(refused(long(1025)), Some(AuthError::UserInvalid));
    assert_eq!(refused(long(1000)), None);
}

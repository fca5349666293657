//! Several workers: the kernel gives each stream to one of them, and which one it was makes no difference.

use crate::scenario::Scenario;
use crate::support::application::with_header;

const USERS: usize = 16;
/// So many that no worker is left without one.
const STREAMS_OF_A_USER: usize = 8;

#[tokio::test]
async fn on_every_worker_each_stream_gets_everyones_events_once_and_of_the_others_only_its_own() {
    let scenario = Scenario::start_with("[server]\nthreads = 4").await;
    let mut streams = Vec::new();
    for user in 0..USERS {
        let token = scenario.issuer.token(&format!("u{user}"));
        for _ in 0..STREAMS_OF_A_USER {
            streams.push((user.to_string(), scenario.subscribe_at("/events", &token).await));
        }
    }
    let announce = async |name: &str| {
        scenario.app.publish_with("announce.all", with_header("event-type", name), name).await;
    };
    announce("first").await;
    for user in 0..USERS {
        scenario.app.publish(&format!("user.u{user}.own"), user.to_string()).await;
    }
    announce("last").await;

    let mut ids = None;
    for (user, stream) in &mut streams {
        let messages = [stream.message().await, stream.message().await, stream.message().await];
        let [first, own, last] = messages.each_ref().map(|message| (message.name.as_str(), message.data.as_str()));
        assert_eq!([first, own, last], [("first", "first"), ("own", user.as_str()), ("last", "last")]);
        let [first, _, last] = messages.map(|message| message.last_event_id);
        assert_eq!(ids.get_or_insert_with(|| (first.clone(), last.clone())), &(first, last), "the same on each worker");
    }
    let metrics = scenario.server.metrics().await;
    let all = u32::try_from(streams.len()).expect("few streams");
    assert!((metrics.sum("sse_active_connections") - f64::from(all)).abs() < f64::EPSILON, "{}", metrics.0);
}

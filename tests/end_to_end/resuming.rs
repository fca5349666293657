//! Coming back with the id of the last event: what is replayed, and what is said when it cannot be.

use serde_json::Value;

use crate::scenario::Scenario;
use crate::support::eventsource_decoder::Message;
use crate::support::http1::Request;
use crate::support::sse::{EventStream, Occurrence, Reconnecting};

/// Publishes the bodies `1` to `count` for `ada` and gives them as they were received.
async fn received(scenario: &Scenario, count: usize) -> Vec<Message> {
    let mut stream = scenario.subscribe("ada").await;
    let mut messages = Vec::new();
    for number in 1..=count {
        scenario.app.publish("user.ada.count", number.to_string()).await;
        messages.push(stream.message().await);
    }
    messages
}

#[tokio::test]
async fn every_way_to_say_the_last_id_resumes_after_it() {
    let scenario = Scenario::start().await;
    let messages = received(&scenario, 3).await;
    let id = &messages[0].last_event_id;
    let request = |target: String| Request::get(target).bearer(&scenario.issuer.token("ada"));
    for request in [
        request("/events".into()).header("Last-Event-ID", id),
        request(format!("/events?lastEventId={id}")),
        request(format!("/events?last_event_id={id}")),
    ] {
        let mut stream = EventStream::open(scenario.server.address(), &request).await;
        assert_eq!(stream.connected().await["resumed"], true, "{request:?}");
        assert_eq!([stream.message().await, stream.message().await], messages[1..], "{request:?}");
    }
}

#[tokio::test]
async fn the_header_wins_over_the_query() {
    let scenario = Scenario::start().await;
    let messages = received(&scenario, 3).await;
    let request = Request::get(format!("/events?lastEventId={}", messages[0].last_event_id))
        .bearer(&scenario.issuer.token("ada"))
        .header("Last-Event-ID", &messages[1].last_event_id);
    let mut stream = EventStream::open(scenario.server.address(), &request).await;
    stream.connected().await;
    assert_eq!(stream.message().await, messages[2]);
}

#[tokio::test]
async fn replay_holds_nothing_of_others() {
    let scenario = Scenario::start().await;
    let mut stream = scenario.subscribe("ada").await;
    let start = stream.last_event_id().to_owned();
    scenario.app.publish("user.bob.hello", "for bob").await;
    scenario.app.publish("channel.team.red", "for the team").await;
    scenario.app.publish("user.ada.hello", "for ada").await;
    let live = stream.message().await;
    assert_eq!(live.data, "for ada");
    let target = format!("/events?lastEventId={start}");
    let mut resumed = scenario.subscribe_at(&target, &scenario.issuer.token("ada")).await;
    assert_eq!(resumed.message().await, live);
}

#[tokio::test]
async fn an_id_of_another_history_is_answered_with_a_gap_before_anything_live() {
    let scenario = Scenario::start().await;
    for id in ["dead-1", "not an id", "%F0%9F%90%B0", "dead-1%0D%0Adata:%20forged%0A%0Aid:%009"] {
        let target = format!("/events?lastEventId={}", id.replace(' ', "%20"));
        let mut stream = scenario.open_at(&target, &scenario.issuer.token("ada")).await;
        assert_eq!(stream.connected().await["resumed"], false, "{id}");
        scenario.app.publish("user.ada.hello", "live").await;
        let gap = stream.message().await;
        assert_eq!(gap.name, "gap", "{id}");
        let said: Value = serde_json::from_str(&gap.data).unwrap();
        let mut keys: Vec<&String> = said.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["from", "reason", "to"], "{id}");
        assert_eq!(stream.message().await.data, "live", "{id}");
    }
    let metrics = scenario.server.metrics().await;
    assert!((metrics.sum_where("sse_gaps_total", "reason", "unknown_id") - 4.0).abs() < f64::EPSILON, "{}", metrics.0);
}

#[tokio::test]
async fn an_id_that_fell_off_the_history_is_answered_with_a_gap() {
    let scenario = Scenario::start_with("[history]\nmemory = \"64KiB\"").await;
    let mut stream = scenario.subscribe("ada").await;
    let start = stream.last_event_id().to_owned();
    for _ in 0..32 {
        scenario.app.publish("user.ada.big", "x".repeat(8192)).await;
        stream.message().await;
    }
    let target = format!("/events?lastEventId={start}");
    let mut late = scenario.open_at(&target, &scenario.issuer.token("ada")).await;
    late.connected().await;
    assert_eq!(late.message().await.name, "gap");
}

#[tokio::test]
async fn a_client_that_comes_back_after_a_restart_hears_of_the_gap_and_goes_on() {
    let mut scenario = Scenario::start().await;
    let request = Request::get("/events").bearer(&scenario.issuer.token("ada"));
    let mut client = Reconnecting::start(scenario.server.address(), request);
    assert_eq!(client.message().await.name, "connected");
    scenario.app.publish("user.ada.hello", "before").await;
    assert_eq!(client.message().await.data, "before");

    scenario.restart().await;
    assert_eq!(client.next().await, Occurrence::Interrupted);
    assert_eq!(client.message().await.name, "connected");
    assert_eq!(client.message().await.name, "gap", "memory does not survive a restart, and that is said");
    scenario.app.publish("user.ada.hello", "after").await;
    let mut next = client.message().await;
    if next.name == "gap" {
        // The client was back before the new process had its queue.
        assert!(next.data.contains("broker_connected"), "{next:?}");
        next = client.message().await;
    }
    assert_eq!(next.data, "after");
}

#[tokio::test]
async fn on_a_stream_a_restart_is_no_gap() {
    let mut scenario = Scenario::start_with("[history]\nkind = \"stream\"").await;
    let request = Request::get("/events").bearer(&scenario.issuer.token("ada"));
    let mut client = Reconnecting::start(scenario.server.address(), request);
    assert_eq!(client.message().await.name, "connected");
    scenario.app.publish("user.ada.hello", "before").await;
    assert_eq!(client.message().await.data, "before");

    scenario.restart().await;
    scenario.app.publish("user.ada.hello", "after").await;
    assert_eq!(client.next().await, Occurrence::Interrupted);
    let connected = client.message().await;
    assert!(connected.name == "connected" && connected.data.contains("\"resumed\":true"), "{connected:?}");
    assert_eq!(client.message().await.data, "after");
}

#[tokio::test]
async fn on_a_stream_what_is_older_than_memory_is_replayed_through_the_program() {
    let scenario = Scenario::start_with("[history]\nkind = \"stream\"\nmemory = \"64KiB\"").await;
    let mut stream = scenario.subscribe("ada").await;
    let start = stream.last_event_id().to_owned();
    for number in 0..32 {
        scenario.app.publish("user.ada.big", format!("{number}{}", "x".repeat(8192))).await;
        stream.message().await;
    }
    let target = format!("/events?lastEventId={start}");
    let mut late = scenario.open_at(&target, &scenario.issuer.token("ada")).await;
    assert_eq!(late.connected().await["resumed"], true);
    for number in 0..32 {
        assert!(late.message().await.data.starts_with(&format!("{number}x")), "{number}");
    }
    let mut last = scenario.open_at("/events?last=2", &scenario.issuer.token("ada")).await;
    last.connected().await;
    assert!(last.message().await.data.starts_with("30x"));
}

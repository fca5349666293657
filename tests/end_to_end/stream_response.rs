//! What one open stream looks like on the wire: its head, its first block, its heartbeats and its end.

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::eventsource_decoder::{EventSourceDecoder, Observed};
use crate::support::http1::{Ended, Request};
use crate::support::tokens::now;

#[tokio::test]
async fn the_head_is_what_browsers_and_proxies_need() {
    let scenario = Scenario::start().await;
    let stream = scenario.open("ada").await;
    let header = |name| stream.head.header(name);
    assert_eq!(stream.head.status, 200);
    assert_eq!(header("content-type"), Some("text/event-stream"));
    assert_eq!(header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(header("x-accel-buffering"), Some("no"));
    assert_eq!(header("transfer-encoding"), Some("chunked"));
    assert_eq!(header("connection"), Some("close"), "no proxy is to send another request on it");
    assert_eq!(header("content-length"), None);
    assert_eq!(header("content-encoding"), None);
    assert!(header("x-request-id").is_some_and(|id| !id.is_empty()));
}

#[tokio::test]
async fn a_request_id_is_returned_as_it_came() {
    let scenario = Scenario::start().await;
    let request = Request::get("/events").header("X-Request-Id", "checkout-4711");
    let response = scenario.server.fetch(&request).await;
    assert_eq!(response.head.header("x-request-id"), Some("checkout-4711"));
}

#[tokio::test]
async fn the_first_block_holds_retry_id_and_connected_together() {
    let scenario = Scenario::start().await;
    let token = scenario.issuer.token_with_channels("ada", &["team.red"]);
    let mut stream = scenario.open_at("/events", &token).await;
    let connected = stream.connected().await;

    let mut keys: Vec<&String> = connected.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["channels", "connectionId", "resumed", "user"]);
    assert_eq!(connected["user"], "ada");
    assert_eq!(connected["channels"], json!(["team.red"]));
    assert_eq!(connected["resumed"], false);
    assert!(connected["connectionId"].as_str().is_some_and(|id| !id.is_empty()));
    assert_ne!(stream.last_event_id(), "");

    let first_block = stream.raw().split_inclusive(|&byte| byte == b'\n').take_while(|line| *line != b"\n");
    let first_block = first_block.flatten().copied().chain([b'\n']).collect::<Vec<u8>>();
    match EventSourceDecoder::new().feed(&first_block).as_slice() {
        [Observed::Retry(milliseconds), Observed::Message(message)] => {
            assert!((100..=300).contains(milliseconds), "200 ms, jittered by half of it: {milliseconds}");
            assert_eq!((message.name.as_str(), message.last_event_id.as_str()), ("connected", stream.last_event_id()));
        }
        other => panic!("not one block: {other:?}"),
    }
}

#[tokio::test]
async fn two_streams_have_different_connection_ids_and_the_same_position() {
    let scenario = Scenario::start().await;
    let (mut one, mut other) = (scenario.open("ada").await, scenario.open("ada").await);
    assert_ne!(one.connected().await["connectionId"], other.connected().await["connectionId"]);
    assert_eq!(one.last_event_id(), other.last_event_id());
}

#[tokio::test]
async fn head_answers_as_get_would_and_has_no_body() {
    let scenario = Scenario::start().await;
    let token = scenario.issuer.token("ada");
    let response = scenario.server.fetch(&Request::new("HEAD", "/events").bearer(&token)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(response.head.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(scenario.server.fetch(&Request::new("HEAD", "/events")).await.status(), 401);
}

#[tokio::test]
async fn a_heartbeat_moves_a_quiet_subscriber_to_the_current_position() {
    let scenario = Scenario::start_with("[stream]\nheartbeat = \"100ms\"").await;
    let mut quiet = scenario.subscribe("ada").await;
    let mut busy = scenario.subscribe("bob").await;
    scenario.app.publish("user.bob.hello", "hi").await;
    let current = busy.message().await.last_event_id;
    let mut comments = 0;
    loop {
        match quiet.next().await.unwrap() {
            Observed::Comment(_) => comments += 1,
            Observed::Position(id) => {
                assert_eq!(id, current);
                break;
            }
            other @ (Observed::Retry(_) | Observed::Message(_)) => panic!("not a heartbeat: {other:?}"),
        }
    }
    assert!(comments > 0, "a heartbeat is a comment as well");
    assert_eq!(quiet.last_event_id(), current);
}

#[tokio::test]
async fn a_heartbeat_is_an_event_on_request() {
    let scenario = Scenario::start_with("[stream]\nheartbeat = \"100ms\"\nheartbeat_event = \"ping\"").await;
    let mut stream = scenario.subscribe("ada").await;
    let heartbeat = stream.message().await;
    assert_eq!(heartbeat.name, "ping");
    assert_eq!(heartbeat.last_event_id, stream.last_event_id());
}

#[tokio::test]
async fn a_stream_ends_properly_when_its_token_expires() {
    let scenario = Scenario::start().await;
    let expiry = now() + 4;
    let token = scenario.issuer.sign(&json!({ "sub": "ada", "exp": expiry }));
    let mut stream = scenario.subscribe_at("/events", &token).await;
    let (_, ended) = stream.rest().await;
    assert_eq!(ended, Ended::Properly);
    assert!(now() >= expiry, "not before its time");
    let again = scenario.server.fetch(&Request::get("/events").bearer(&token)).await;
    assert_eq!(again.status(), 401);
}

#[tokio::test]
async fn a_stream_ends_properly_at_its_greatest_age() {
    let scenario = Scenario::start_with("[stream]\nmax_connection_age = \"500ms\"").await;
    let mut stream = scenario.subscribe("ada").await;
    let (said, ended) = stream.rest().await;
    assert_eq!(ended, Ended::Properly);
    assert!(!said.iter().any(|observed| matches!(observed, Observed::Message(_))), "{said:?}");
}

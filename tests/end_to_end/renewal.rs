//! The life of a token on a living stream: the notice before its end, a new token for the same stream, and the end.

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::support::http1::{Request, Response};
use crate::support::sse::EventStream;
use crate::support::tokens::now;

fn claims(user: &str, seconds: u64, channels: &[&str]) -> Value {
    json!({ "sub": user, "exp": now() + seconds, "channels": channels })
}

async fn renew(scenario: &Scenario, target: &str, body: &Value) -> Response {
    scenario.server.fetch(&Request::new("POST", target).body(body.to_string())).await
}

/// A stream of these claims, and its connection id.
async fn open(scenario: &Scenario, target: &str, claims: &Value) -> (EventStream, Value) {
    let mut stream = scenario.open_at(target, &scenario.issuer.sign(claims)).await;
    let connection = stream.connected().await["connectionId"].take();
    (stream, connection)
}

#[tokio::test]
async fn a_stream_hears_of_its_tokens_end_before_it_comes() {
    // Whole seconds: the notice comes three or four after the token was made, and three before its end.
    let scenario = Scenario::start_with("[stream]\ntoken_expiring = \"3s\"").await;
    let end = now() + 7;
    let (mut stream, _) = open(&scenario, "/events", &json!({ "sub": "ada", "exp": end })).await;
    scenario.app.publish("user.ada.hello", "hi").await;
    assert_eq!(stream.message().await.name, "hello");
    let id = stream.last_event_id().to_owned();
    let notice = stream.message().await;
    assert_eq!(notice.name, "token-expiring");
    let expires: Value = serde_json::from_str(&notice.data).unwrap();
    let expires = humantime::parse_rfc3339(expires["expires"].as_str().unwrap()).unwrap();
    assert_eq!(expires.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), end);
    assert!(now() < end, "the notice comes before the end");
    let last = stream.message().await;
    assert_eq!((last.name.as_str(), last.data.as_str()), ("token-expired", "{}"));
    assert!(stream.message_or_end().await.is_err(), "that is the end");
    assert!(now() >= end);
    assert_eq!(stream.last_event_id(), id, "neither takes the browser's place");
}

#[tokio::test]
async fn a_new_token_continues_the_same_stream_with_its_own_grants() {
    let scenario = Scenario::start_with("[stream]\ntoken_expiring = \"0s\"").await;
    let (mut stream, connection) = open(&scenario, "/events", &claims("ada", 5, &["old", "both"])).await;
    let first_end = now() + 5;
    let token = scenario.issuer.sign(&claims("ada", 600, &["both", "new"]));
    let answer = renew(&scenario, "/events/token", &json!({ "connectionId": connection, "token": token })).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["channels"], json!(["both", "new"]));
    assert_eq!((&answer["connectionId"], &answer["user"]), (&connection, &json!("ada")));
    for key in ["channel.old", "channel.new", "channel.both", "user.ada.own"] {
        scenario.app.publish(key, key).await;
    }
    for key in ["channel.new", "channel.both", "user.ada.own"] {
        assert_eq!(stream.message().await.data, key);
    }
    // The old token's end passes.
    while now() <= first_end {
        scenario.app.publish("user.ada.tick", "t").await;
        assert_eq!(stream.message().await.name, "tick");
    }
}

#[tokio::test]
async fn a_renewal_keeps_to_the_channels_that_were_asked_for() {
    let scenario = Scenario::start().await;
    let (mut stream, connection) = open(&scenario, "/events?channels=a,b", &claims("ada", 600, &["a", "b", "c"])).await;
    let token = scenario.issuer.sign(&claims("ada", 600, &["b", "c"]));
    // In the header, and at another worker's or endpoint's connection.
    let request = Request::new("POST", "/api/dashboard/sse/token").bearer(&token);
    let answer = scenario.server.fetch(&request.body(json!({ "connectionId": connection }).to_string())).await;
    assert_eq!((answer.status(), &answer.json()["channels"]), (200, &json!(["b"])));
    for key in ["channel.a", "channel.c", "channel.b"] {
        scenario.app.publish(key, key).await;
    }
    assert_eq!(stream.message().await.data, "channel.b");
}

#[tokio::test]
async fn a_renewal_that_is_not_the_streams_own_changes_nothing() {
    let scenario = Scenario::start().await;
    let (mut stream, connection) = open(&scenario, "/events", &claims("ada", 600, &["news"])).await;
    let sign = |claims: &Value| scenario.issuer.sign(claims);
    let [eve, late, good, other] =
        [claims("eve", 600, &["all"]), claims("ada", 0, &[]), claims("ada", 600, &[]), claims("ada", 601, &[])]
            .each_ref()
            .map(sign);
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (body, status, code) in [
        (json!({ "connectionId": connection, "token": eve }), 403, "user_mismatch"),
        (json!({ "connectionId": connection, "token": late }), 401, "token_expired"),
        (json!({ "connectionId": connection, "token": "nonsense" }), 401, "token_malformed"),
        (json!({ "connectionId": connection }), 401, "token_missing"),
        (json!({ "connectionId": unknown, "token": good }), 404, "connection_unknown"),
        (json!({ "connectionId": "x", "token": good }), 400, "renewal_invalid"),
        (json!({ "token": good }), 400, "renewal_invalid"),
        (json!("x"), 400, "renewal_invalid"),
        (json!({ "connectionId": connection, "token": "x".repeat(64 << 10) }), 400, "renewal_invalid"),
    ] {
        let answer = renew(&scenario, "/events/token", &body).await;
        assert_eq!((answer.status(), answer.json()["code"].as_str()), (status, Some(code)), "{body}");
        assert!(!answer.text().contains(&good[..20]), "no token is repeated");
    }
    let request = Request::new("POST", "/events/token").bearer(&other);
    let two =
        scenario.server.fetch(&request.body(json!({ "connectionId": connection, "token": good }).to_string())).await;
    assert_eq!(two.json()["code"], "tokens_disagree");
    scenario.app.publish("channel.all", "for eve").await;
    scenario.app.publish("channel.news", "still").await;
    assert_eq!(stream.message().await.data, "still");
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_renew_and_a_channel_named_token_can_still_be_read() {
    let scenario = Scenario::start_with("[cors]\norigins = [\"https://app.example\"]").await;
    let preflight = Request::new("OPTIONS", "/events/token").header("origin", "https://app.example");
    let answer = scenario.server.fetch(&preflight.header("access-control-request-method", "POST")).await;
    assert!(answer.head.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(answer.head.header("access-control-allow-headers").unwrap().contains("Content-Type"));
    let (_stream, connection) = open(&scenario, "/events/token", &claims("ada", 600, &["token"])).await;
    let body = json!({ "connectionId": connection, "token": scenario.issuer.sign(&claims("ada", 600, &["token"])) });
    let request = Request::new("POST", "/events/token").header("origin", "https://app.example").body(body.to_string());
    let answer = scenario.server.fetch(&request).await;
    assert_eq!(answer.json()["channels"], json!(["token"]));
    assert_eq!(answer.head.header("access-control-allow-origin"), Some("https://app.example"));
}

#[tokio::test]
async fn renewals_count_among_what_one_address_may_open() {
    let scenario = Scenario::start_with("[stream]\nmax_opens_per_second_per_address = 1").await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    let body = json!({ "connectionId": unknown, "token": scenario.issuer.token("ada") });
    let mut codes = Vec::new();
    for _ in 0..30 {
        let answer = renew(&scenario, "/events/token", &body).await;
        codes.push((answer.status(), answer.json()["code"].as_str().unwrap().to_owned()));
    }
    assert_eq!(codes[0], (404, "connection_unknown".into()));
    assert!(codes.contains(&(429, "address_opening_too_fast".into())), "{codes:?}");
}

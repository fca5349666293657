//! A new configuration while streams are open: what it changes at once, what it leaves alone, and what becomes of a bad one.

use std::time::UNIX_EPOCH;

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::http1::Request;
use crate::support::metrics::Metrics;
use crate::support::sse::EventStream;
use crate::support::tokens::now;

const OWN: &str = "[admin]\nreload_interval = \"50ms\"\n[auth]\npublic_channels = [\"news\"]";

/// How the configuration in force was taken over, as a number that grows.
fn taken(metrics: &Metrics) -> f64 {
    metrics.sum("config_last_reload_success_timestamp_seconds")
}

/// Lays `changes` over the scenario's configuration and waits until they are in force.
async fn change(scenario: &mut Scenario, changes: &str) {
    let before = taken(&scenario.server.metrics().await);
    scenario.rewrite(changes);
    scenario.server.metrics_until("a new configuration to be in force", |metrics| taken(metrics) > before).await;
}

async fn open(scenario: &Scenario, claims: &serde_json::Value) -> EventStream {
    let mut stream = scenario.open_at("/events", &scenario.issuer.sign(claims)).await;
    stream.connected().await;
    stream
}

fn ada(channels: &[&str]) -> serde_json::Value {
    json!({ "sub": "ada", "exp": now() + 600, "channels": channels, "team": "red" })
}

#[tokio::test]
async fn grants_of_open_streams_follow_the_configuration() {
    let mut scenario = Scenario::start_with(OWN).await;
    let mut stream = open(&scenario, &ada(&["own"])).await;
    change(&mut scenario, "[auth]\npublic_channels = [\"weather\"]\ngrants = [\"team.{claim:/team}\"]").await;
    for channel in ["news", "weather", "team.red", "team.blue", "own"] {
        scenario.app.publish(&format!("channel.{channel}"), channel).await;
    }
    for channel in ["weather", "team.red", "own"] {
        assert_eq!(stream.message().await.data, channel);
    }
    change(&mut scenario, "[auth]\npublic_channels = []\ngrants = []").await;
    for channel in ["news", "weather", "team.red", "own"] {
        scenario.app.publish(&format!("channel.{channel}"), channel).await;
    }
    assert_eq!(stream.message().await.data, "own");
}

#[tokio::test]
async fn a_stream_whose_issuer_is_gone_ends_and_its_token_is_refused() {
    let mut scenario = Scenario::start_with(OWN).await;
    let token = scenario.issuer.sign(&ada(&[]));
    let mut stream = open(&scenario, &ada(&[])).await;
    let other = "[[auth.issuer]]\nalgorithms = [\"HS256\"]\nsecret = \"another-secret-of-at-least-32-bytes!\"";
    change(&mut scenario, other).await;
    let last = stream.message().await;
    assert_eq!((last.name.as_str(), last.data.as_str()), ("disconnected", r#"{"reason":"issuer_refused"}"#));
    assert!(stream.message_or_end().await.is_err());
    assert_eq!(scenario.server.fetch(&Request::get("/events").bearer(&token)).await.status(), 401);
}

async fn new_mappings_bring_new_messages(kind: &str) {
    let mut scenario = Scenario::start_with(&format!("{OWN}\n[history]\nkind = \"{kind}\"")).await;
    let mut stream = open(&scenario, &ada(&["own"])).await;
    scenario.app.publish("fresh.ada", "bound by nobody").await;
    let mapping = "[[mapping]]\nrouting_key = \"fresh.{user}\"\nuser = \"{user}\"\nevent = \"fresh\"";
    change(&mut scenario, mapping).await;
    scenario.app.publish("user.ada.hello", "mapped by nothing").await;
    scenario.app.publish("fresh.ada", "salad").await;
    let message = stream.message().await;
    assert_eq!((message.name.as_str(), message.data.as_str()), ("fresh", "salad"));
    assert_eq!(scenario.server.metrics().await.sum("amqp_reconnects_total").to_bits(), 0f64.to_bits());
}

#[tokio::test]
async fn new_mappings_bring_new_messages_over_the_same_link() {
    new_mappings_bring_new_messages("memory").await;
    new_mappings_bring_new_messages("stream").await;
}

#[tokio::test]
async fn a_bad_configuration_is_refused_whole_and_what_needs_a_restart_is_named() {
    let mut scenario = Scenario::start_with(OWN).await;
    let mut stream = open(&scenario, &ada(&[])).await;
    scenario.rewrite("[auth]\npublic_channels = [\"weather\"]\n[stream]\nqueue_events = 0");
    let refused = |metrics: &Metrics| metrics.sum("config_last_reload_successful") < 0.5;
    scenario.server.metrics_until("a bad configuration to be refused", refused).await;
    assert!(scenario.server.log().contains("stream.queue_events"), "{}", scenario.server.log());
    scenario.app.publish("channel.weather", "no").await;
    scenario.app.publish("channel.news", "yes").await;
    assert_eq!(stream.message().await.data, "yes");
    change(&mut scenario, "[stream]\nqueue_events = 7\n[upstream]\nurl = \"http://127.0.0.1:1\"").await;
    let metrics = scenario.server.metrics().await;
    assert!(metrics.sum("config_last_reload_successful") > 0.5);
    assert!(taken(&metrics) <= UNIX_EPOCH.elapsed().unwrap().as_secs_f64());
    let log = scenario.server.log();
    assert!(log.contains("upstream.url") && log.contains("restart"), "{log}");
    assert!(!log.contains(scenario.issuer.secret()), "no secret is logged");
}

#[tokio::test]
async fn a_hangup_has_it_read_at_once_and_limits_change_with_it() {
    let mut scenario = Scenario::start_with("[admin]\nreload_interval = \"0s\"").await;
    let mut streams = [open(&scenario, &ada(&[])).await, open(&scenario, &ada(&[])).await];
    scenario.rewrite("[stream]\nmax_streams_per_address = 2\n[log]\nlevel = \"error\"");
    let before = taken(&scenario.server.metrics().await);
    scenario.server.hang_up();
    scenario.server.metrics_until("the hangup to be heard", |metrics| taken(metrics) > before).await;
    let request = Request::get("/events").bearer(&scenario.issuer.token("ada")).header("prefer", "overload=status");
    let refused = scenario.server.fetch(&request).await;
    assert_eq!((refused.status(), refused.json()["code"].as_str()), (429, Some("too_many_streams_of_address")));
    scenario.app.publish("user.ada.hello", "hi").await;
    for stream in &mut streams {
        assert_eq!(stream.message().await.data, "hi", "no stream is ended by another limit");
    }
}

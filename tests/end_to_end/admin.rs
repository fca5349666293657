//! What operators see: the admin listener's answers and the metrics' names.

use crate::scenario::Scenario;
use crate::support::application::with_header;
use crate::support::http1::{Request, fetch};
use crate::support::secrecy::marker;

/// The contract's names, without those of the proxy.
const METRICS: [&str; 14] = [
    "amqp_connected",
    "amqp_deliveries_total",
    "amqp_reconnects_total",
    "amqp_unmapped_total",
    "auth_failures_total",
    "sse_active_connections",
    "sse_connection_duration_seconds",
    "sse_connection_errors_total",
    "sse_delivery_latency_seconds",
    "sse_event_size_bytes",
    "sse_events_sent_total",
    "sse_gaps_total",
    "sse_replayed_events_total",
    "sse_subscribers_lagged_total",
];

#[tokio::test]
async fn the_admin_listener_answers_and_is_not_the_browsers_listener() {
    let scenario = Scenario::start().await;
    let _stream = scenario.subscribe("ada").await;
    let admin = async |path: &str| fetch(scenario.server.admin(), &Request::get(path)).await;
    assert_eq!(admin("/livez").await.status(), 200);
    assert_eq!(admin("/readyz").await.status(), 200);
    let metrics = admin("/metrics").await;
    assert!(metrics.head.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let stats = admin("/stats").await.json();
    assert_eq!(stats["connections"], 1, "{stats}");
    assert_eq!(stats["users"], 1, "{stats}");
    assert_eq!(admin("/nowhere").await.status(), 404);
    for path in ["/livez", "/readyz", "/metrics", "/stats"] {
        assert_eq!(scenario.server.fetch(&Request::get(path)).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn every_promised_metric_is_there_once_its_thing_has_happened() {
    let scenario = Scenario::start().await;
    let user = marker("user");
    let mut stream = scenario.subscribe(&user).await;
    let start = stream.last_event_id().to_owned();
    scenario.app.publish(&format!("user.{user}.hello"), "hi").await;
    stream.message().await;
    scenario.app.publish("order.1.updated", "poison").await;
    let resumed = format!("/events?lastEventId={start}");
    scenario.subscribe_at(&resumed, &scenario.issuer.token(&user)).await.message().await;
    scenario.subscribe_at("/events?lastEventId=dead-1", &scenario.issuer.token(&user)).await.message().await;
    assert_eq!(scenario.server.fetch(&Request::get("/events")).await.status(), 401);
    drop(stream);

    // `metrics` itself fails when a user shows.
    let all = |metrics: &crate::support::metrics::Metrics| METRICS.iter().all(|name| metrics.has(name));
    let metrics = scenario.server.metrics_until("every promised metric to be there", all).await;
    assert!((metrics.sum("amqp_connected") - 1.0).abs() < f64::EPSILON);
    assert!(metrics.sum_where("sse_events_sent_total", "event_type", "hello") >= 1.0, "{}", metrics.0);
    assert!(metrics.sum("sse_replayed_events_total") >= 1.0);
    assert!(metrics.sum("sse_gaps_total") >= 1.0);
}

#[tokio::test]
async fn event_names_out_of_messages_do_not_multiply_labels_without_end() {
    let scenario = Scenario::start().await;
    let mut stream = scenario.subscribe("ada").await;
    for number in 0..500 {
        scenario.app.publish_with("announce.all", with_header("event-type", &format!("n{number}")), "x").await;
        stream.message().await;
    }
    let metrics = scenario.server.metrics().await;
    let series = metrics.0.lines().filter(|line| line.starts_with("sse_events_sent_total{")).count();
    assert!((1..=200).contains(&series), "{series} series");
    assert!(metrics.sum("sse_events_sent_total") >= 500.0, "{}", metrics.0);
}

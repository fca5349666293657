//! What operators see: the admin listener's answers and the metrics' names.

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::application::with_header;
use crate::support::http1::{Request, fetch};
use crate::support::secrecy::marker;
use crate::support::sse::EventStream;

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
async fn who_is_connected_is_listed_by_user_and_channel_and_a_page_at_a_time() {
    let scenario = Scenario::start_with("[server]\nthreads = 3\ntrusted_proxies = [\"127.0.0.0/8\"]").await;
    let mut connections = Vec::new();
    let mut open = Vec::new();
    for number in 0..10 {
        let user = if number < 4 { "ada" } else { "bob" };
        let token = scenario.issuer.token_with_channels(user, &["news"]);
        let address = format!("203.0.113.{number}");
        let request = Request::get("/events").bearer(&token).header("X-Forwarded-For", address);
        let mut stream = EventStream::open(scenario.server.address(), &request).await;
        connections.push(stream.connected().await["connectionId"].as_str().unwrap().to_owned());
        open.push(stream);
    }
    let list = async |query: &str| {
        let response = fetch(scenario.server.admin(), &Request::get(format!("/subscribers{query}"))).await;
        assert_eq!(response.status(), 200, "{}", response.text());
        response.json()
    };
    let adas = list("?user=ada&channel=news").await;
    assert_eq!((adas["subscribers"].as_array().unwrap().len(), &adas["next"]), (4, &serde_json::Value::Null));
    let first =
        adas["subscribers"].as_array().unwrap().iter().find(|row| row["connectionId"] == connections[0]).unwrap();
    assert_eq!((&first["user"], &first["address"]), (&"ada".into(), &"203.0.113.0".into()));
    assert_eq!((&first["channels"], &first["events_waiting"]), (&serde_json::json!(["news"]), &0.into()));
    assert!(first["age_seconds"].is_u64() && first["bytes_waiting"] == 0, "{first}");
    assert_eq!(list("?user=nobody").await["subscribers"], serde_json::json!([]));

    let (mut listed, mut query) = (Vec::new(), "?limit=3".to_owned());
    loop {
        let page = list(&query).await;
        let rows = page["subscribers"].as_array().unwrap();
        assert!(rows.len() <= 3);
        listed.extend(rows.iter().map(|row| row["connectionId"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=3&after={next}");
    }
    connections.sort();
    assert_eq!(listed, connections, "each once, in the order of the ids");

    for (query, status) in [("?limit=1001", 400), ("?after=x", 400), ("?name=ada", 400)] {
        let response = fetch(scenario.server.admin(), &Request::get(format!("/subscribers{query}"))).await;
        assert_eq!(response.status(), status, "{query}");
    }
    let post = fetch(scenario.server.admin(), &Request::new("POST", "/subscribers")).await;
    assert_eq!(post.status(), 405);
    assert_eq!(scenario.server.fetch(&Request::get("/subscribers")).await.status(), 404);
}

#[tokio::test]
async fn every_promised_metric_is_there_once_its_thing_has_happened() {
    let scenario = Scenario::start().await;
    let user = marker("user");
    let mut stream = scenario.subscribe(&user).await;
    let start = stream.last_event_id().to_owned();
    scenario.app.publish(&format!("user.{user}.hello"), "hi").await;
    stream.message().await;
    scenario.app.publish("order.1.updated", &json!({ "customer": { "id": user } }).to_string()).await;
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
    // A name out of the configuration, which is known from the start.
    assert!(metrics.sum_where("sse_events_sent_total", "event_type", "order-updated") >= 1.0, "{}", metrics.0);
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

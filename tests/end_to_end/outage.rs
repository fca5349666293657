//! A broker that is away, at the start or later: streams stay, operators see it, and nobody is told a lie afterwards.

use crate::scenario::{Scenario, configuration};
use crate::support::application::Application;
use crate::support::http1::{Request, fetch};
use crate::support::metrics::Metrics;
use crate::support::process::Server;
use crate::support::rabbitmq::Node;
use crate::support::sse::EventStream;

fn connected(wanted: f64) -> impl Fn(&Metrics) -> bool {
    move |metrics| metrics.has("amqp_connected") && (metrics.sum("amqp_connected") - wanted).abs() < f64::EPSILON
}

#[tokio::test]
async fn streams_outlive_the_broker_and_hear_of_the_gap() {
    let node = Node::private().await;
    let app = Application::connect(node.vhost("outage").await).await;
    let scenario = Scenario::start_for(app, "[admin]\nready_needs_broker = false").await;
    // `/readyz` does not wait for it, and what is published before is lost.
    scenario.server.metrics_until("amqp_connected to be 1", connected(1.0)).await;
    let mut stream = scenario.subscribe("ada").await;
    scenario.app.publish("user.ada.hello", "before").await;
    assert_eq!(stream.message().await.data, "before");

    node.kill().await;
    scenario.server.metrics_until("amqp_connected to be 0", connected(0.0)).await;
    assert_eq!(fetch(scenario.server.admin(), &Request::get("/readyz")).await.status(), 200);
    let _late = scenario.subscribe("bob").await;

    node.start().await;
    // A node that is killed may forget what was declared a moment before: the application declares its exchange again.
    let app = scenario.app.reconnect().await;
    scenario.server.metrics_until("amqp_connected to be 1", connected(1.0)).await;
    assert!(scenario.server.metrics().await.sum("amqp_reconnects_total") >= 1.0);
    app.publish("user.ada.hello", "after").await;
    assert_eq!(stream.message().await.name, "gap");
    assert_eq!(stream.message().await.data, "after");
}

#[tokio::test]
async fn a_broker_that_is_away_at_the_start_takes_no_stream_away() {
    let node = Node::private().await;
    let app = Application::connect(node.vhost("start").await).await;
    let issuer = crate::support::tokens::Issuer::hmac("HS256");
    let config = configuration(&app, &issuer, "[admin]\nready_needs_broker = false");
    node.stop().await;
    let server = Server::start(&config).await;
    let request = Request::get("/events").bearer(&issuer.token("ada"));
    let mut stream = EventStream::open(server.address(), &request).await;
    stream.connected().await;
    server.metrics_until("amqp_connected to be 0", connected(0.0)).await;

    node.start().await;
    let app = app.reconnect().await;
    server.metrics_until("amqp_connected to be 1", connected(1.0)).await;
    app.publish("user.ada.hello", "at last").await;
    let mut message = stream.message().await;
    if message.name == "gap" {
        message = stream.message().await;
    }
    assert_eq!(message.data, "at last");
}

#[tokio::test]
async fn what_the_operator_must_change_is_named() {
    let scenario = Scenario::start().await;
    let missing = configuration(&scenario.app, &scenario.issuer, "[broker]\nexchange = \"no-such-exchange\"");
    let password = scenario.app.url.replace("guest:guest@", "guest:wrong-password@");
    let refused = format!("[broker]\nurls = [\"{password}\"]");
    let refused = configuration(&scenario.app, &scenario.issuer, &refused);
    crate::support::secrecy::keep_secret("broker password", "wrong-password");
    for (config, setting) in [(missing, "broker.exchange"), (refused, "broker.urls")] {
        let server = Server::start_unready(&config, "127.0.0.1:0").await;
        let named = async || server.log().contains(setting).then_some(());
        crate::support::deadline::eventually(&format!("the log to name {setting}"), named).await;
        let readyz = fetch(server.admin(), &Request::get("/readyz")).await;
        assert_eq!(readyz.status(), 503, "as `ready_needs_broker` asks");
    }
}

#[tokio::test]
async fn on_a_stream_browsers_wait_for_a_broker_that_is_away_at_the_start_and_miss_nothing_then() {
    let node = Node::private().await;
    let app = Application::connect(node.vhost("wait").await).await;
    let issuer = crate::support::tokens::Issuer::hmac("HS256");
    let changes = "[admin]\nready_needs_broker = false\n[history]\nkind = \"stream\"\n[stream]\nheartbeat = \"200ms\"";
    let config = configuration(&app, &issuer, changes);
    node.stop().await;
    let server = Server::start(&config).await;
    let request = Request::get("/events").bearer(&issuer.token("ada"));
    let mut stream = EventStream::open(server.address(), &request).await;
    server.metrics_until("amqp_connected to be 0", connected(0.0)).await;

    node.start().await;
    assert_eq!(stream.connected().await["resumed"], false);
    app.reconnect().await.publish("user.ada.hello", "at last").await;
    assert_eq!(stream.message().await.data, "at last");
}

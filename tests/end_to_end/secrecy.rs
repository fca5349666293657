//! Busy runs at the program's most talkative, after which no output may hold a token, a secret, a password or a body.
//!
//! The check of the output is in `Server`'s drop, so that every other test makes it as well.

use serde_json::json;

use crate::http2;
use crate::scenario::Scenario;
use crate::support::application::Application;
use crate::support::http1::{Request, send};
use crate::support::rabbitmq::Node;
use crate::support::secrecy::{assert_keeps_secrets, marker};
use crate::support::sse::EventStream;
use crate::support::tokens::{Issuer, now};

#[tokio::test]
async fn at_debug_and_trace_of_our_own_no_line_holds_a_token_a_secret_or_a_body() {
    busy_run("debug,cottontail=trace").await;
}

#[tokio::test]
async fn at_trace_of_everything_no_line_holds_a_token_a_secret_or_a_body() {
    // Directives of an operator who looks for a fault in a library.
    busy_run("trace,lapin=trace,lapin::channels=trace,hyper=trace").await;
}

async fn busy_run(level: &str) {
    let node = Node::shared().await;
    let vhost = format!("secrecy-{:016x}", fastrand::u64(..));
    let (url, wrong_url) = urls_with_passwords(node, &vhost).await;
    // The refusal of the first is logged before the second is tried.
    let changes = format!(
        "[log]\nlevel = \"{level}\"\n[auth]\ncookie = \"session\"\n[broker]\nurls = [\"{wrong_url}\", \"{url}\"]\n"
    );
    let mut scenario = Scenario::start_for(Application::connect(url).await, &changes).await;
    ask_in_every_way(&scenario).await;
    receive_and_reject(&scenario).await;
    node.ctl(&["close_all_connections", "--vhost", &vhost, "gone for tea"]).await;
    scenario
        .server
        .metrics_until("the link to come back", |metrics| {
            metrics.sum("amqp_reconnects_total") >= 1.0 && metrics.sum("amqp_connected") >= 1.0
        })
        .await;
    scenario.server.terminate();
    scenario.server.exit().await;
    let log = scenario.server.log();
    for part in ["gone for tea", "a message was not sent on", "broker.urls"] {
        assert!(log.contains(part), "the run was logged, and so should be {part}: {log}");
    }
    assert_keeps_secrets("the log", &log);
}

/// URLs of `vhost` for a new user: with its password and with another.
async fn urls_with_passwords(node: &Node, vhost: &str) -> (String, String) {
    node.vhost(vhost).await;
    let (user, password, wrong) = (format!("user-{vhost}"), marker("password"), marker("wrong-password"));
    node.ctl(&["add_user", &user, &password]).await;
    node.ctl(&["set_permissions", "--vhost", vhost, &user, ".*", ".*", ".*"]).await;
    [password, wrong].map(|password| node.url(&format!("{user}:{password}"), vhost)).into()
}

/// Tokens, good and bad, in every place where one can stand.
async fn ask_in_every_way(scenario: &Scenario) {
    let issuer = &scenario.issuer;
    let ada = issuer.token("ada");
    for request in [
        Request::get(format!("/events?token={ada}")),
        Request::get(format!("/events?access_token={ada}&channels=x")),
        Request::get(format!("/events?token={ada}&access_token={}", issuer.token("bob"))),
        Request::get("/events").header("Cookie", format!("a=b; session={ada}")),
        Request::get("/events").bearer(&Issuer::hmac("HS256").token("ada")),
        Request::get(format!("/events?token={}", issuer.sign(&json!({ "sub": "ada", "exp": now() - 60 })))),
        Request::get(format!("/events?token=%22{ada}%22&userId=bob")),
        Request::get(format!("/nowhere?token={ada}")),
        Request::get(format!("/events/{ada}")).bearer(&ada),
        Request::new("POST", format!("/events?token={ada}")),
        Request::new("OPTIONS", format!("/events?token={ada}")).header("Origin", "https://app.example.com"),
        Request::get("/events").header("Authorization", format!("Basic {ada}")),
    ] {
        let request = request.header("Accept", "text/event-stream");
        let (head, _) = send(scenario.server.address(), &request).await.expect("an answer");
        assert_keeps_secrets("the head of an answer", &format!("{head:?}"));
    }
    let mut requests = http2::connect(scenario).await;
    for (target, status) in [(format!("/events?token={ada}"), 200), (format!("/nowhere?token={ada}"), 404)] {
        assert_eq!(http2::get(&mut requests, scenario, &target, &ada).await.status(), status);
    }
}

/// Bodies that reach a stream, and bodies that cannot.
async fn receive_and_reject(scenario: &Scenario) {
    let target = format!("/events?token={}", scenario.issuer.token("ada"));
    let mut stream = EventStream::open(scenario.server.address(), &Request::get(target)).await;
    stream.connected().await;
    for key in ["user.ada.hello", "order.1.updated", "announce.all", "nobody.listens"] {
        let body = marker("body");
        scenario.app.publish(key, format!("{{\"customer\": {{}}, \"text\": \"{body}\"}}")).await;
    }
    stream.message().await;
    let counted = |metrics: &crate::support::metrics::Metrics| metrics.sum("amqp_unmapped_total") >= 2.0;
    scenario.server.metrics_until("the poison to be counted", counted).await;
}

//! Orders that the application publishes: streams that end on every replica at once, and tokens that are refused from then on.

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::support::http1::{self, Request};
use crate::support::process::{Server, cottontail};
use crate::support::sse::EventStream;
use crate::support::tokens::now;

const KEY: &str = "app.control.disconnect";

async fn start(kind: &str) -> Scenario {
    let control = format!("[control]\ndisconnect = \"{KEY}\"\nstream = \"control-{:016x}\"", fastrand::u64(..));
    let everything = "[[mapping]]\nrouting_key = \"#\"\neveryone = true";
    Scenario::start_with(&format!("{control}\n[history]\nkind = \"{kind}\"\n{everything}")).await
}

/// Waits until `server` hears orders.
async fn heard_by(server: &Server) {
    server.metrics_until("the orders to be consumed", |metrics| metrics.sum("control_connected") > 0.5).await;
}

async fn open(server: &Server, token: &str) -> EventStream {
    let mut stream = EventStream::open(server.address(), &Request::get("/events").bearer(token)).await;
    stream.connected().await;
    stream
}

fn token(scenario: &Scenario, user: &str, jti: &str, sid: &str) -> String {
    scenario.issuer.sign(&json!({ "sub": user, "exp": now() + 600, "jti": jti, "sid": sid, "channels": ["c"] }))
}

/// What a stream is told at its end.
async fn end_of(stream: &mut EventStream) -> Value {
    let last = stream.message().await;
    assert_eq!(last.name, "disconnected");
    assert!(stream.message_or_end().await.is_err());
    serde_json::from_str(&last.data).unwrap()
}

async fn order(scenario: &Scenario, order: &Value) {
    scenario.app.publish(KEY, order.to_string()).await;
}

#[tokio::test]
async fn a_logout_is_one_message_and_ends_the_session_on_every_replica() {
    let scenario = start("stream").await;
    let other = scenario.replica().await;
    let servers = [&scenario.server, &other];
    for server in servers {
        heard_by(server).await;
    }
    let [ada, again, bob] = [("ada", "1", "s1"), ("ada", "2", "s2"), ("bob", "3", "s3")]
        .map(|(user, jti, sid)| token(&scenario, user, jti, sid));
    let mut ended = [open(servers[0], &ada).await, open(servers[1], &ada).await];
    let mut kept = [open(servers[0], &again).await, open(servers[1], &bob).await];
    order(&scenario, &json!({ "sid": "s1", "reason": "logout" })).await;
    for stream in &mut ended {
        assert_eq!(end_of(stream).await, json!({ "reason": "logout" }));
    }
    for server in servers {
        let refused = server.fetch(&Request::get("/events").bearer(&ada)).await;
        assert_eq!((refused.status(), refused.json()["code"].as_str()), (401, Some("token_revoked")));
    }
    scenario.app.publish("event.for.all", "still here").await;
    for stream in &mut kept {
        assert_eq!(stream.message().await.data, "still here", "an order itself is nobody's event");
    }
    let late = scenario.replica().await;
    let knows = |metrics: &crate::support::metrics::Metrics| metrics.sum("auth_revocations") > 0.5;
    late.metrics_until("a process that starts later to know of it", knows).await;
    assert_eq!(late.fetch(&Request::get("/events").bearer(&ada)).await.status(), 401);
}

#[tokio::test]
async fn an_order_ends_what_it_names() {
    let scenario = start("memory").await;
    heard_by(&scenario.server).await;
    let issue = |user: &str, jti: &str| token(&scenario, user, jti, jti);
    let [by_user, by_token, bystander] = [issue("ada", "1"), issue("bob", "2"), issue("eve", "3")];
    let mut user = open(&scenario.server, &by_user).await;
    let mut jti = open(&scenario.server, &by_token).await;
    let mut stream = scenario.open_at("/events", &bystander).await;
    let connection = stream.connected().await["connectionId"].take();
    order(&scenario, &json!({ "user": "ada" })).await;
    assert_eq!(end_of(&mut user).await, json!({ "reason": "disconnected" }));
    open(&scenario.server, &by_user).await;
    order(&scenario, &json!({ "jti": "2", "reason": "stolen" })).await;
    assert_eq!(end_of(&mut jti).await, json!({ "reason": "stolen" }));
    assert_eq!(scenario.server.fetch(&Request::get("/events").bearer(&by_token)).await.status(), 401);
    order(&scenario, &json!({ "connection": connection, "reason": "you" })).await;
    assert_eq!(end_of(&mut stream).await, json!({ "reason": "you" }));
    let mut channel = open(&scenario.server, &bystander).await;
    order(&scenario, &json!({ "channel": "c", "reason": "closed" })).await;
    assert_eq!(end_of(&mut channel).await, json!({ "reason": "closed" }));
}

#[tokio::test]
async fn what_is_no_order_is_counted_and_ends_nobody() {
    let scenario = start("memory").await;
    heard_by(&scenario.server).await;
    let mut stream = scenario.subscribe("ada").await;
    for malformed in ["{}", "nonsense", r#"{"user":"ada","all":true}"#, r#"{"user":"ada","sid":"x"}"#] {
        scenario.app.publish(KEY, malformed).await;
    }
    let counted = |metrics: &crate::support::metrics::Metrics| {
        metrics.sum_where("control_orders_total", "outcome", "malformed") > 3.5
    };
    scenario.server.metrics_until("the four to be counted", counted).await;
    assert!(!scenario.server.log().contains("nonsense"), "what an order says is not logged");
    scenario.app.publish("user.ada.hello", "hi").await;
    assert_eq!(stream.message().await.data, "hi");
}

#[tokio::test]
async fn the_command_line_gives_orders_too() {
    let scenario = start("memory").await;
    heard_by(&scenario.server).await;
    let mut stream = open(&scenario.server, &token(&scenario, "ada", "1", "s1")).await;
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        std::fs::write(directory.path().join("config.toml"), scenario.config()).unwrap();
        cottontail(directory.path()).arg("disconnect").args(arguments).output().unwrap()
    };
    for wrong in [&["--user", "a", "--sid", "b"][..], &["--connection", "nonsense"], &["--reason", "none"]] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let output = run(&["--sid", "s1", "--reason", "by hand", "--revoke-for", "1h"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(end_of(&mut stream).await, json!({ "reason": "by hand" }));
}

#[tokio::test]
async fn an_operator_gives_orders_to_one_process_at_its_admin_listener() {
    // Without any order over RabbitMQ.
    let scenario = Scenario::start().await;
    let other = scenario.replica().await;
    let admin = scenario.server.admin();
    let ask = async |body: &str| http1::fetch(admin, &Request::new("POST", "/disconnect").body(body)).await;
    let [ada, bob] = [("ada", "1"), ("bob", "2")].map(|(user, jti)| token(&scenario, user, jti, jti));
    let mut ended = [open(&scenario.server, &ada).await, open(&scenario.server, &ada).await];
    let mut kept = [open(&scenario.server, &bob).await, open(&other, &ada).await];
    let answer = ask(r#"{"jti": "1", "reason": "stolen"}"#).await;
    assert_eq!((answer.status(), answer.json()), (200, json!({ "streams": 2 })));
    for stream in &mut ended {
        assert_eq!(end_of(stream).await, json!({ "reason": "stolen" }));
    }
    assert_eq!(scenario.server.fetch(&Request::get("/events").bearer(&ada)).await.status(), 401);
    assert_eq!(ask(r#"{"user": "nobody"}"#).await.json(), json!({ "streams": 0 }));
    for wrong in ["", "{}", r#"{"user":"bob","all":true}"#, r#"{"connection":"s3cr3t"}"#] {
        let answer = ask(wrong).await;
        assert!(answer.status() == 400 && !answer.text().contains("s3cr3t"), "{wrong}: {}", answer.text());
    }
    scenario.app.publish("channel.c", "still here").await;
    for stream in &mut kept {
        assert_eq!(stream.message().await.data, "still here");
    }
    assert!(!scenario.server.log().contains("stolen"), "what an order says is not logged");
}

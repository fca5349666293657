//! One busy run at the program's most talkative, after which no output may hold a token, a secret or a body.
//!
//! The check itself is in `Server`'s drop, so that every other test makes it as well.

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::http1::Request;
use crate::support::secrecy::{assert_keeps_secrets, marker};
use crate::support::sse::EventStream;
use crate::support::tokens::{Issuer, now};

#[tokio::test]
async fn no_log_line_holds_a_token_a_secret_or_a_body() {
    let changes = "[log]\nlevel = \"debug,cottontail=trace\"\n[auth]\ncookie = \"session\"";
    let mut scenario = Scenario::start_with(changes).await;
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
        Request::get("/events").header("Authorization", format!("Basic {ada}")),
    ] {
        let request = request.header("Accept", "text/event-stream");
        let answer = crate::support::http1::send(scenario.server.address(), &request).await;
        assert!(answer.is_ok(), "{request:?}");
    }
    let mut stream = EventStream::open(scenario.server.address(), &Request::get(format!("/events?token={ada}"))).await;
    stream.connected().await;
    for key in ["user.ada.hello", "order.1.updated", "announce.all", "nobody.listens"] {
        let body = marker("body");
        scenario.app.publish(key, format!("{{\"customer\": {{}}, \"text\": \"{body}\"}}")).await;
    }
    stream.message().await;
    scenario
        .server
        .metrics_until("the poison to be counted", |metrics| metrics.sum("amqp_unmapped_total") >= 2.0)
        .await;
    scenario.server.terminate();
    scenario.server.exit().await;
    let log = scenario.server.log();
    assert!(log.lines().count() > 10, "the run was logged: {log}");
    assert_keeps_secrets("the log", &log);
}

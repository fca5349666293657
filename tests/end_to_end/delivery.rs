//! From the exchange to the right streams: order, bodies, and messages that nothing can be made of.

use lapin::BasicProperties;

use crate::scenario::Scenario;
use crate::support::application::with_header;

#[tokio::test]
async fn a_message_published_from_a_shell_reaches_its_user_and_nobody_else() {
    let scenario = Scenario::start().await;
    let (mut ada, mut bob) = (scenario.subscribe("ada").await, scenario.subscribe("bob").await);
    scenario.app.publish_from_the_shell("user.ada.hello", "from a shell");
    let message = ada.message().await;
    assert_eq!((message.name.as_str(), message.data.as_str()), ("hello", "from a shell"));
    scenario.app.publish_from_the_shell("user.bob.hello", "for bob");
    assert_eq!(bob.message().await.data, "for bob", "and nothing before it");
}

#[tokio::test]
async fn events_come_in_the_order_of_the_exchange_with_ids_of_their_own() {
    let scenario = Scenario::start().await;
    let mut streams = [scenario.subscribe("ada").await, scenario.subscribe("ada").await];
    for number in 0..200 {
        scenario.app.publish("user.ada.count", number.to_string()).await;
    }
    let mut ids = [Vec::new(), Vec::new()];
    for (stream, ids) in streams.iter_mut().zip(&mut ids) {
        for number in 0..200 {
            let message = stream.message().await;
            assert_eq!(message.data, number.to_string());
            ids.push(message.last_event_id);
        }
    }
    assert_eq!(ids[0], ids[1], "an id means the same to every subscriber");
    ids[0].sort();
    ids[0].dedup();
    assert_eq!(ids[0].len(), 200);
}

#[tokio::test]
async fn text_bodies_survive_as_they_are() {
    let scenario = Scenario::start().await;
    let mut ada = scenario.subscribe("ada").await;
    for (body, data) in [
        ("{\"text\": \"h\u{e9}llo \u{1F430}\"}", "{\"text\": \"h\u{e9}llo \u{1F430}\"}"),
        ("one\ntwo\rthree\r\nfour", "one\ntwo\nthree\nfour"),
        ("\n\n trailing \n", "\n\n trailing \n"),
        (" id: 1\n\nevent: forged\ndata: x", " id: 1\n\nevent: forged\ndata: x"),
        ("\u{FEFF}mark", "\u{FEFF}mark"),
        ("", ""),
    ] {
        scenario.app.publish("user.ada.text", body).await;
        let message = ada.message().await;
        assert_eq!((message.name.as_str(), message.data.as_str()), ("text", data));
    }
}

#[tokio::test]
async fn a_body_that_is_not_text_comes_as_base64_and_its_event_says_so() {
    let scenario = Scenario::start().await;
    let mut ada = scenario.subscribe("ada").await;
    scenario.app.publish("user.ada.picture", [0xFF, 0xD8, 0x00]).await;
    let message = ada.message().await;
    assert_eq!((message.name.as_str(), message.data.as_str()), ("picture+base64", "/9gA"));
}

#[tokio::test]
async fn line_breaks_in_a_header_cannot_forge_an_event() {
    let scenario = Scenario::start().await;
    let mut ada = scenario.subscribe("ada").await;
    let forged = with_header("event-type", "a\r\ndata: forged\n\nid: 9\0");
    scenario.app.publish_with("announce.all", forged, "body").await;
    let message = ada.message().await;
    assert_eq!(message.data, "body");
    assert!(!message.name.contains(['\r', '\n', '\0']), "{message:?}");
    assert_eq!(message.last_event_id, ada.last_event_id());
}

#[tokio::test]
async fn names_that_event_source_uses_itself_are_renamed() {
    let scenario = Scenario::start().await;
    let mut ada = scenario.subscribe("ada").await;
    for name in ["error", "open", "connected", "gap"] {
        scenario.app.publish(&format!("user.ada.{name}"), "x").await;
        assert_eq!(ada.message().await.name, format!("app-{name}"));
    }
}

#[tokio::test]
async fn the_first_mapping_that_matches_wins_unless_it_says_continue() {
    let scenario = Scenario::start_with(
        r##"
        [[mapping]]
        routing_key = "both.{user}"
        user = "{user}"
        event = "first"
        continue = true

        [[mapping]]
        routing_key = "both.*"
        channel = ["team.red", "team.blue"]
        event = "second"
        data = "/part"

        [[mapping]]
        routing_key = "#"
        everyone = true
        event = "third"
        "##,
    )
    .await;
    let token = scenario.issuer.token_with_channels("ada", &["team.red", "team.blue"]);
    let mut ada = scenario.subscribe_at("/events", &token).await;
    scenario.app.publish("both.ada", r#"{"part": {"a": 1}}"#).await;
    scenario.app.publish("other", "end").await;
    let mut received = Vec::new();
    for _ in 0..3 {
        let message = ada.message().await;
        received.push((message.name, message.data, message.last_event_id));
    }
    assert_eq!((received[0].0.as_str(), received[0].1.as_str()), ("first", r#"{"part": {"a": 1}}"#));
    assert_eq!((received[1].0.as_str(), received[1].1.as_str()), ("second", r#"{"a": 1}"#), "once, not once a channel");
    assert_eq!((received[2].0.as_str(), received[2].1.as_str()), ("third", "end"));
    assert_ne!(received[0].2, received[1].2, "each part of one message has its own id");
}

#[tokio::test]
async fn a_poison_message_is_counted_once_and_stops_nobody() {
    let scenario = Scenario::start_with("[broker]\nmax_message_bytes = \"4KiB\"").await;
    let mut ada = scenario.subscribe("ada").await;
    for body in ["", "not json", "[1, 2", "{\"customer\": {}}", "{\"customer\": {\"id\": {}}}", "{\"customer\": null}"]
    {
        scenario.app.publish("order.1.updated", body).await;
    }
    scenario.app.publish("order.1.updated", [0xC3, 0x28]).await;
    scenario.app.publish("announce.headerless", "no such header").await;
    scenario.app.publish_with("announce.all", with_header("event-type-2", "x"), "another header").await;
    scenario.app.publish("user.ada.huge", "x".repeat(8192)).await;
    scenario.app.publish_with("order.2.updated", BasicProperties::default(), r#"{"customer":{"id":"ada"}}"#).await;

    let message = ada.message().await;
    assert_eq!((message.name.as_str(), message.data.as_str()), ("order-updated", r#"{"customer":{"id":"ada"}}"#));
    let metrics = scenario.server.metrics().await;
    assert!((metrics.sum("amqp_unmapped_total") - 10.0).abs() < f64::EPSILON, "{}", metrics.0);
    for (reason, count) in [
        ("body_not_json", 4.0),
        ("pointer_missing", 2.0),
        ("pointer_type", 1.0),
        ("header_missing", 2.0),
        ("too_large", 1.0),
    ] {
        let counted = metrics.sum_where("amqp_unmapped_total", "reason", reason);
        assert!((counted - count).abs() < f64::EPSILON, "{reason}: {}", metrics.0);
    }
    let said = scenario.server.log().matches("a message was not sent on").count();
    assert!((1..10).contains(&said), "logged at a limited rate, not {said} times");
    assert!((metrics.sum("amqp_deliveries_total") - 11.0).abs() < f64::EPSILON, "none came twice: {}", metrics.0);
}

//! Which channels a stream gets: by default, when asked, and not at all.

use serde_json::{Value, json};

use crate::scenario::Scenario;
use crate::support::application::with_header;
use crate::support::http1::Request;
use crate::support::sse::EventStream;

async fn channels_of(scenario: &Scenario, target: &str, grants: &[&str]) -> Value {
    let token = scenario.issuer.token_with_channels("ada", grants);
    let mut channels = scenario.open_at(target, &token).await.connected().await["channels"].take();
    channels.as_array_mut().unwrap().sort_by_key(ToString::to_string);
    channels
}

#[tokio::test]
async fn without_a_wish_come_the_literal_grants_and_the_defaults_of_the_endpoint() {
    let scenario = Scenario::start().await;
    let scenario = &scenario;
    assert_eq!(channels_of(scenario, "/events", &["team.red", "news", "room.*"]).await, json!(["news", "team.red"]));
    assert_eq!(channels_of(scenario, "/events", &["#"]).await, json!([]));
    assert_eq!(channels_of(scenario, "/api/dashboard/sse", &["#"]).await, json!(["dashboard"]));
    assert_eq!(channels_of(scenario, "/api/dashboard/sse", &["news"]).await, json!(["news"]), "defaults need a grant");
}

#[tokio::test]
async fn a_wish_is_granted_as_far_as_literals_and_patterns_reach() {
    let scenario = Scenario::start().await;
    let scenario = &scenario;
    assert_eq!(channels_of(scenario, "/events?channels=news", &["team.red", "news"]).await, json!(["news"]));
    assert_eq!(channels_of(scenario, "/events?channels=room.1,room.2", &["room.*"]).await, json!(["room.1", "room.2"]));
    assert_eq!(channels_of(scenario, "/events/team.red", &["team.#"]).await, json!(["team.red"]));
}

#[tokio::test]
async fn a_wish_beyond_the_grants_is_refused() {
    let scenario = Scenario::start().await;
    let token = scenario.issuer.token_with_channels("ada", &["team.red", "room.*"]);
    for target in [
        "/events?channels=team.blue",
        "/events?channels=team.red,team.blue",
        "/events?channels=room.1.2",
        "/events/team.blue",
    ] {
        let response = scenario.server.fetch(&Request::get(target).bearer(&token)).await;
        assert_eq!(response.status(), 403, "{target}");
    }
}

#[tokio::test]
async fn public_channels_need_no_grant_and_with_anonymous_no_token() {
    let scenario = Scenario::start_with("[auth]\nanonymous = true\npublic_channels = [\"news\", \"status.#\"]").await;
    let target = "/events?channels=news,status.eu.west";
    let mut stream = scenario.subscribe_at(target, &scenario.issuer.token("ada")).await;
    let request = Request::get(target);
    let mut anonymous = EventStream::open(scenario.server.address(), &request).await;
    assert_eq!(anonymous.connected().await["user"], Value::Null);
    scenario.app.publish("user.ada.hello", "for ada").await;
    scenario.app.publish("channel.status.eu.west", "up").await;
    assert_eq!(stream.message().await.data, "for ada");
    assert_eq!(stream.message().await.data, "up");
    assert_eq!(anonymous.message().await.data, "up");
    assert_eq!(scenario.server.fetch(&Request::get("/events?channels=team.red")).await.status(), 403);
}

#[tokio::test]
async fn a_stream_gets_its_channels_its_user_and_what_is_for_everyone() {
    let scenario = Scenario::start().await;
    let token = scenario.issuer.token_with_channels("ada", &["team.red", "team.blue"]);
    let mut stream = scenario.subscribe_at("/events?channels=team.red", &token).await;
    scenario.app.publish("channel.team.blue", "not asked for").await;
    scenario.app.publish("user.bob.hello", "not hers").await;
    scenario.app.publish("channel.team.red", "for the team").await;
    scenario.app.publish("user.ada.hello", "for ada").await;
    let properties = with_header("event-type", "notice");
    scenario.app.publish_with("announce.all", properties, "for everyone").await;
    let mut received = Vec::new();
    for _ in 0..3 {
        let message = stream.message().await;
        received.push((message.name, message.data));
    }
    let expected = [("message", "for the team"), ("hello", "for ada"), ("notice", "for everyone")];
    assert_eq!(received, expected.map(|(name, data)| (name.to_owned(), data.to_owned())));
}

//! Machines that listen with a key of their own instead of a token.

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::http1::Request;
use crate::support::secrecy::{assert_keeps_secrets, marker};
use crate::support::sse::EventStream;
use crate::support::website::{Reply, Website};

/// Two machines: one with a user and channels, one with neither, at a header of its own if that is given.
fn tables(first: &str, second: &str, header: &str) -> String {
    let hash = |key: &str| {
        // As README says it.
        let command = format!("printf %s {key} | sha256sum");
        let output = std::process::Command::new("sh").args(["-c", &command]).output().expect("a shell");
        String::from_utf8(output.stdout).expect("text").split(' ').next().expect("a hash").to_owned()
    };
    format!(
        "[auth]\napi_key_header = \"{header}\"\n\
         [[auth.api_key]]\nname = \"robot\"\nsha256 = \"{}\"\nuser = \"ada\"\nchannels = [\"news\", \"room.*\"]\n\
         [[auth.api_key]]\nname = \"listener\"\nsha256 = \"{}\"\n",
        hash(first),
        hash(second)
    )
}

#[tokio::test]
async fn a_key_opens_a_stream_of_its_own_user_and_channels() {
    let (robot, listener) = (marker("api-key"), marker("api-key"));
    let scenario = Scenario::start_with(&tables(&robot, &listener, "X-Api-Key")).await;
    let open = async |target: &str, key: &str| {
        EventStream::open(scenario.server.address(), &Request::get(target).header("X-API-Key", key)).await
    };
    let mut stream = open("/events", &robot).await;
    let connected = stream.connected().await;
    assert_eq!((&connected["user"], &connected["channels"]), (&json!("ada"), &json!(["news"])));
    scenario.app.publish("user.ada.hello", "for ada").await;
    assert_eq!(stream.message().await.data, "for ada");
    assert_eq!(open("/events?channels=room.1", &robot).await.connected().await["channels"], json!(["room.1"]));
    let connected = open("/events", &listener).await.connected().await;
    assert_eq!((&connected["user"], &connected["channels"]), (&json!(null), &json!([])));
    let request = Request::get("/events?channels=news").header("X-Api-Key", &listener);
    assert_eq!(scenario.server.fetch(&request).await.status(), 403);
}

#[tokio::test]
async fn a_key_that_is_not_known_or_stands_beside_a_token_is_refused() {
    let (robot, listener) = (marker("api-key"), marker("api-key"));
    let scenario = Scenario::start_with(&tables(&robot, &listener, "X-Robot")).await;
    let token = scenario.issuer.token("ada");
    for (request, status, code) in [
        (Request::get("/events").header("X-Robot", marker("api-key")), 401, "api_key_unknown"),
        (Request::get("/events").header("X-Api-Key", &robot), 401, "token_missing"),
        (Request::get("/events").header("X-Robot", &robot).bearer(&token), 400, "tokens_disagree"),
        (Request::get(format!("/events?token={token}")).header("X-Robot", &robot), 400, "tokens_disagree"),
        (Request::get("/events").header("X-Robot", &robot).header("X-Robot", &listener), 400, "tokens_disagree"),
        (Request::get(format!("/events?token={robot}")), 401, "token_malformed"),
        (Request::get("/events").bearer(&robot), 401, "token_malformed"),
    ] {
        let response = scenario.server.fetch(&request).await;
        assert_eq!((response.status(), response.json()["code"].as_str()), (status, Some(code)), "{request:?}");
        assert_keeps_secrets("the answer", &response.text());
    }
    let metrics = scenario.server.metrics().await;
    assert!((metrics.sum_where("auth_failures_total", "reason", "api_key_unknown") - 1.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_key_for_an_endpoint_never_reaches_the_application() {
    let app = Website::start(|_| Reply::new(200)).await;
    let (robot, listener) = (marker("api-key"), marker("api-key"));
    let changes = format!("{}[upstream]\nurl = \"{}\"\n", tables(&robot, &listener, "X-Api-Key"), app.url(""));
    let scenario = Scenario::start_with(&changes).await;
    for (target, status) in [
        ("/events", 200),
        ("/events/room.1", 200),
        ("/events?userId=eve", 403),
        ("/%65vents", 404),
        ("/x/../events", 404),
        ("/elsewhere", 200),
    ] {
        let request = Request::get(target).header("X-Api-Key", &robot);
        let head = crate::support::http1::send(scenario.server.address(), &request).await.expect("an answer").0;
        assert_eq!(head.status, status, "{target}");
    }
    let asked: Vec<_> = app.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(asked, ["/elsewhere"], "what is no endpoint's is the application's own");
}

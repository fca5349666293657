//! `cottontail explain` and `POST /explain`: what they say is what happens.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::json;

use crate::scenario::{Scenario, configuration};
use crate::support::http1::{Request, fetch};
use crate::support::process::cottontail;
use crate::support::secrecy::assert_keeps_secrets;

/// What the command prints and its exit code, with `input` on its standard input.
fn explain(config: &str, arguments: &[&str], input: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let mut child = cottontail(directory.path()).arg("explain").args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    // Fails when the program ends without reading, as it mostly does.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert_keeps_secrets("the explanation", &text);
    (status.code(), text)
}

#[tokio::test]
async fn the_command_and_the_admin_listener_say_what_then_happens_on_a_stream() {
    let scenario = Scenario::start().await;
    let config = configuration(&scenario.app, &scenario.issuer, "");
    let token = scenario.issuer.token_with_channels("ada", &["team.red", "room.*"]);
    let mut stream = scenario.subscribe_at("/events?channels=team.red,room.1", &token).await;
    let cases = [
        ("user.ada.hello", "1", true, ""),
        ("user.bob.hello", "2", false, "user_mismatch"),
        ("channel.team.red", "3", true, ""),
        ("channel.room.1", "4", true, ""),
        ("channel.team.blue", "5", false, "channel_forbidden"),
        ("order.1.updated", r#"{"customer": {"id": "ada"}}"#, true, ""),
        ("order.1.updated", r#"{"customer": {}}"#, false, "pointer_missing"),
        ("nobody.listens", "6", false, "no_mapping"),
    ];
    for (key, body, delivered, reason) in cases {
        let (code, text) = explain(&config, &["--token", "-", "--key", key, body], &token);
        assert_eq!(code, Some(i32::from(!delivered)), "{key}: {text}");
        assert!(text.contains(reason) && text.lines().count() >= 3, "{key}: {text}");
        let question = json!({ "token": token, "key": key, "body": body }).to_string();
        let answer = fetch(scenario.server.admin(), &Request::new("POST", "/explain").body(question)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_keeps_secrets("the explanation", &answer.text());
        let answer = answer.json();
        assert_eq!((&answer["delivered"], answer["reason"].as_str().unwrap_or("")), (&json!(delivered), reason));
        scenario.app.publish(key, body).await;
    }
    for (_, body, ..) in cases.iter().filter(|(_, _, delivered, _)| *delivered) {
        assert_eq!(stream.message().await.data, *body, "nothing else comes between");
    }
}

#[tokio::test]
async fn a_refused_token_is_explained_by_the_reason_that_the_metric_has() {
    let scenario = Scenario::start().await;
    let config = configuration(&scenario.app, &scenario.issuer, "");
    let expired = scenario.issuer.sign(&json!({ "sub": "ada", "exp": 1_700_000_000 }));
    let (code, text) = explain(&config, &["--token", &expired, "--key", "user.ada.hello"], "");
    assert!(code == Some(1) && text.contains("the token has expired (expired)"), "{text}");
    assert_eq!(scenario.server.fetch(&Request::get("/events").bearer(&expired)).await.status(), 401);
    assert!(scenario.server.metrics().await.sum_where("auth_failures_total", "reason", "expired") >= 1.0);
    let (code, text) = explain(&config, &["--anonymous", "--key", "user.ada.hello"], "");
    assert!(code == Some(1) && text.contains("a token is required (missing)"), "{text}");
}

#[tokio::test]
async fn claims_headers_properties_and_faults_are_read_as_they_are_elsewhere() {
    let scenario = Scenario::start().await;
    let config = configuration(&scenario.app, &scenario.issuer, "");
    let claims = r#"{"sub": "ada"}"#;
    let with_header = ["--claims", claims, "--key", "announce.x", "--header", "event-type=notice", "hi"];
    let (code, text) = explain(&config, &with_header, "");
    assert!(code == Some(0) && text.contains("event `notice`") && text.contains("for everyone"), "{text}");
    let (code, text) = explain(&config, &["--claims", claims, "--key", "announce.x"], "");
    assert!(code == Some(1) && text.contains("header_missing"), "{text}");
    let order = ["--claims", claims, "--key", "order.1.updated", "-"];
    let (code, text) = explain(&config, &order, r#"{"customer": {"id": "ada"}}"#);
    assert!(code == Some(0) && text.contains("order-updated"), "{text}");
    for (config, arguments, words) in [
        (config.replace("[broker]", "[broker]\nexchnage = 1"), vec!["--anonymous", "--key", "a"], "exchnage"),
        (config.clone(), vec!["--api-key", "nobody", "--key", "a"], "auth.api_key"),
        (config.clone(), vec!["--anonymous", "--key", "a", "--property", "colour=red"], "colour"),
        (config.clone(), vec!["--key", "a"], "--anonymous"),
    ] {
        let (code, text) = explain(&config, &arguments, "");
        assert!(code == Some(2) && text.contains(words), "{arguments:?}: {text}");
    }
}

//! The program as a command: exit codes, faults of the configuration, and the subcommands that do not serve.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::json;

use crate::scenario::{Scenario, configuration};
use crate::support::http1::Request;
use crate::support::process::{Server, cottontail};
use crate::support::rabbitmq::free_port;
use crate::support::secrecy::{assert_keeps_secrets, keep_secret};
use crate::support::sse::EventStream;
use crate::support::tokens::Issuer;

/// Runs the program to its end with `config` as its `config.toml`; gives what it printed as one text as well.
fn run(arguments: &[&str], config: &str) -> (Output, String) {
    run_with_input(arguments, config, "")
}

fn run_with_input(arguments: &[&str], config: &str, input: &str) -> (Output, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let mut child = cottontail(directory.path()).args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    // Fails when the program ends without reading, as most commands do.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert_keeps_secrets("the command's output", &text);
    (output, text)
}

const FAULTY: &str = r#"
[server]
lisen = "127.0.0.1:0"

[stream]
heartbeat = "soon"

[[auth.issuer]]
algorithms = ["none"]
secret = "not-to-be-shown-in-any-output"

[[mapping]]
routing_key = "user.{user"
user = "{name}"
"#;

#[test]
fn a_faulty_configuration_exits_with_2_names_every_fault_and_starts_nothing() {
    keep_secret("configured secret", "not-to-be-shown-in-any-output");
    for arguments in [["run", "--config", "config.toml"], ["check", "--config", "config.toml"]] {
        let (output, text) = run(&arguments, FAULTY);
        assert_eq!(output.status.code(), Some(2), "{text}");
        for part in ["config.toml", "lisen", "listen", "stream.heartbeat"] {
            assert!(text.contains(part), "{part} is not named:\n{text}");
        }
        assert!(!text.contains("listening"), "{text}");
    }
    let rules = FAULTY.replace("lisen = \"127.0.0.1:0\"", "").replace("heartbeat = \"soon\"", "");
    let (output, text) = run(&["check", "--config", "config.toml"], &rules);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for key in ["auth.issuer.0.algorithms", "mapping.0.routing_key"] {
        assert!(text.contains(key), "{key} is not named:\n{text}");
    }
}

#[test]
fn a_missing_configuration_and_an_unknown_flag_exit_with_2() {
    assert_eq!(run(&["run", "--config", "elsewhere.toml"], "").0.status.code(), Some(2));
    assert_eq!(run(&["run", "--no-such-flag"], "").0.status.code(), Some(2));
    assert_eq!(run(&["--help"], "").0.status.code(), Some(0));
    assert_eq!(run(&["--version"], "").0.status.code(), Some(0));
}

const SHOWN: &str = r#"
broker.urls = ["amqp://cottontail:shown-password@127.0.0.1:1/%2f"]

[[auth.issuer]]
algorithms = ["HS256"]
secret = "shown-secret-of-more-than-32-bytes"

[[mapping]]
routing_key = "user.{user}.#"
user = "{user}"
"#;

#[test]
fn the_settings_in_effect_are_shown_with_their_sources_and_without_secrets() {
    keep_secret("broker password", "shown-password");
    keep_secret("configured secret", "shown-secret-of-more-than-32-bytes");
    let (output, text) = run(&["config", "show", "--listen", "127.0.0.1:1"], SHOWN);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "listen = \"127.0.0.1:1\"  # --listen",
        "threads = 0  # default",
        "urls = [\"amqp://cottontail:***@127.0.0.1:1/%2F\"]  # config.toml:2",
        "secret = \"***\"  # config.toml:6",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
    let (output, text) = run(&["config", "show"], FAULTY);
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{text}");
}

#[test]
fn the_schema_that_is_printed_is_the_committed_one() {
    let (output, _) = run(&["config", "schema"], "");
    assert_eq!(output.status.code(), Some(0));
    let committed = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json")).unwrap();
    assert!(output.stdout == committed, "run: cargo run config schema > config.schema.json");
}

#[tokio::test]
async fn a_good_configuration_passes_the_check_and_mints_tokens_that_the_server_takes() {
    let scenario = Scenario::start().await;
    let config = configuration(&scenario.app, &scenario.issuer, "");
    let (output, text) = run(&["check", "--config", "config.toml"], &config);
    assert_eq!(output.status.code(), Some(0), "{text}");

    let (output, _) = run(&["token", "--config", "config.toml", "--user", "ada", "--channels", "a,b"], &config);
    assert!(output.status.success(), "{output:?}");
    let token = String::from_utf8(output.stdout).unwrap();
    let request = Request::get("/events").bearer(token.trim());
    let mut stream = EventStream::open(scenario.server.address(), &request).await;
    let connected = stream.connected().await;
    assert_eq!(connected["user"], "ada");
    assert_eq!(connected["channels"], json!(["a", "b"]));
    scenario.app.publish("user.ada.hello", "for ada").await;
    assert_eq!(stream.message().await.data, "for ada");
}

#[tokio::test]
async fn a_token_is_all_that_is_printed_and_only_an_issuer_with_a_secret_can_mint_one() {
    let scenario = Scenario::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (hmac, key_pair) = (Issuer::hmac("HS512"), Issuer::key_pair("EdDSA"));
    let public_key = directory.path().join("key.pem");
    std::fs::write(&public_key, key_pair.public_key()).unwrap();
    let issuers = format!(
        "[[auth.issuer]]\nalgorithms = [\"HS512\"]\nsecret = \"{}\"\nissuer = \"https://id.example.com\"\n\
         audience = [\"web\"]\nuser_claim = \"/account/id\"\nchannels_claim = \"/may see\"\n\
         [[auth.issuer]]\nalgorithms = [\"EdDSA\"]\npublic_key_file = \"{}\"\n",
        hmac.secret(),
        public_key.display(),
    );
    let config = configuration(&scenario.app, &scenario.issuer, &issuers);
    let token = |more: &[&str]| run(&[&["token", "--config", "config.toml", "--user", "42"], more].concat(), &config);

    let (output, _) = token(&["--channels", "team.red,room.*", "--expires-in", "1m"]);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
    let minted = String::from_utf8(output.stdout).unwrap();
    assert_eq!(minted.lines().count(), 1, "{minted}");
    let server = Server::start(&config).await;
    let mut stream = EventStream::open(server.address(), &Request::get("/events").bearer(minted.trim())).await;
    let connected = stream.connected().await;
    assert_eq!((&connected["user"], &connected["channels"]), (&json!("42"), &json!(["team.red"])));

    for (more, code, words) in [
        (["--issuer-index", "1"], 1, "public key"),
        (["--issuer-index", "7"], 1, "auth.issuer.7"),
        (["--expires-in", "soon"], 2, "--expires-in"),
        (["--user", ""], 2, "--user"),
    ] {
        let (output, text) = token(&more);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {text}");
        assert!(output.stdout.is_empty() && text.contains(words), "{more:?}: {text}");
    }
}

const TYPED: &str = r#"
[[mapping]]
routing_key = "typed.{user}"
user = "{user}"
event = "{property:type}.{header:tenant}"
"#;

#[tokio::test]
async fn a_published_message_has_its_headers_and_properties_and_may_come_from_standard_input() {
    let scenario = Scenario::start_with(TYPED).await;
    let mut ada = scenario.subscribe("ada").await;
    let config = configuration(&scenario.app, &scenario.issuer, TYPED);
    let described = ["--key", "typed.ada", "--header", "tenant=a=b", "--property", "type=greeting"];
    for (body, input, expected) in [(r#"{"text":"hi"}"#, "", r#"{"text":"hi"}"#), ("-", "one\r\ntwo", "one\ntwo")] {
        let arguments = [&["publish", "--config", "config.toml"], &described[..], &[body]].concat();
        let (output, text) = run_with_input(&arguments, &config, input);
        assert_eq!((output.status.code(), text.as_str()), (Some(0), ""));
        let message = ada.message().await;
        assert_eq!((message.name.as_str(), message.data.as_str()), ("greeting.a=b", expected));
    }
}

#[tokio::test]
async fn a_message_that_is_not_published_says_why() {
    let scenario = Scenario::start().await;
    let configured = |changes: &str| configuration(&scenario.app, &scenario.issuer, changes);
    let nowhere = format!("[broker]\nurls = [\"amqp://guest:a-long-password@127.0.0.1:{}\"]", free_port());
    keep_secret("broker password", "a-long-password");
    for (changes, more, code, words) in [
        ("", ["--key", "nobody.listens"].as_slice(), 1, "nobody.listens"),
        ("[broker]\nexchange = \"no-such-exchange\"", &["--key", "user.ada.x"], 1, "no-such-exchange"),
        (&nowhere, &["--key", "user.ada.x"], 1, "broker.urls"),
        ("", &["--key", "user.ada.x", "--property", "colour=red"], 2, "colour"),
        ("", &[], 2, "--key"),
    ] {
        let arguments = [&["publish", "--config", "config.toml"], more, &["body"]].concat();
        let (output, text) = run(&arguments, &configured(changes));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty() && text.contains(words), "{arguments:?}: {text}");
    }
}

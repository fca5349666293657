//! The program as a command: exit codes, faults of the configuration, and the subcommands that do not serve.

use std::process::Output;

use crate::scenario::{Scenario, configuration};
use crate::support::http1::Request;
use crate::support::process::cottontail;
use crate::support::secrecy::{assert_keeps_secrets, keep_secret};
use crate::support::sse::EventStream;

/// Runs the program to its end with `config` as its `config.toml`.
fn run(arguments: &[&str], config: &str) -> (Output, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), config).unwrap();
    let output = cottontail(directory.path()).args(arguments).output().unwrap();
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
    assert_eq!(connected["channels"], serde_json::json!(["a", "b"]));

    let arguments = ["publish", "--config", "config.toml", "--key", "user.ada.hello", r#"{"text":"hi"}"#];
    let (output, text) = run(&arguments, &config);
    assert!(output.status.success(), "{text}");
    assert_eq!(stream.message().await.data, r#"{"text":"hi"}"#);
}

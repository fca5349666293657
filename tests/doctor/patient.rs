//! The program behind an ingress, and what the doctor says of the way to it.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use crate::scenario::Scenario;
use crate::support::deadline::within;
use crate::support::process::cottontail;

/// Heartbeats come often, so that a short watch sees some, and not so often that a machine which is busy with other things
/// brings two of them together.
pub const LIVELY: &str = "[stream]\nheartbeat = \"700ms\"";
/// Heartbeats are farther apart than the limits that the tests set to two seconds.
pub const QUIET: &str = "[stream]\nheartbeat = \"10s\"";

pub struct Diagnosis {
    pub code: Option<i32>,
    pub text: String,
}

impl Diagnosis {
    /// Nothing was found.
    pub fn is_clean(&self) {
        assert_eq!(self.code, Some(0), "{}", self.text);
        assert!(!self.text.contains("fault:"), "{}", self.text);
    }

    /// This, and nothing else, is said to be wrong, with the settings that mend it.
    pub fn is_fault(&self, words: &str, setting: &str) {
        self.has_fault(words, setting);
        assert_eq!(self.faults().count(), 1, "{}", self.text);
    }

    pub fn has_fault(&self, words: &str, setting: &str) {
        assert_eq!(self.code, Some(1), "{}", self.text);
        assert!(self.faults().any(|fault| fault.contains(words)), "{words} is not in\n{}", self.text);
        assert!(self.text.contains(setting), "{setting} is not in\n{}", self.text);
    }

    fn faults(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| line.starts_with("fault: "))
    }
}

/// The doctor's word on `/events` at `ingress`, with a token of the scenario's.
pub async fn examine(scenario: &Scenario, ingress: SocketAddr) -> Diagnosis {
    examine_url(&format!("http://{ingress}/events"), &scenario.issuer.token("ada"), &[]).await
}

pub async fn examine_url(url: &str, token: &str, more: &[&str]) -> Diagnosis {
    let directory = tempfile::tempdir().unwrap();
    let mut command = cottontail(directory.path());
    // Twice as long as those limits, and longer still: a heartbeat may come just before one.
    command.args(["doctor", "--url", url, "--token-file", "-", "--watch", "5s"]).args(more).stdin(Stdio::piped());
    let mut child = tokio::process::Command::from(command).spawn().unwrap();
    // One that has ended already, since the URL is none, reads no token.
    child.stdin.take().unwrap().write_all(format!("{token}\n").as_bytes()).await.ok();
    let output = within("the doctor to come to an end", child.wait_with_output()).await.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!text.contains(token), "the token is shown:\n{text}");
    Diagnosis { code: output.status.code(), text }
}

//! The program without a broker, which streams do not need to open, and what it makes of a token.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::deadline::{eventually, within};
use crate::support::http1::{Ended, Piece, Request, send};
use crate::support::process::Server;
use crate::support::tokens::Issuer;

/// What became of a request for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A stream of this user.
    Open(String),
    /// A stream that only says when to come back, so that a native `EventSource` does.
    TryAgain,
    /// A status and its code.
    Refused(u16, String),
}

pub fn open(user: &str) -> Verdict {
    Verdict::Open(user.into())
}

pub fn refused(code: &str) -> Verdict {
    Verdict::Refused(401, code.into())
}

/// Starts the program with these settings of `[auth]` and these issuers, both TOML.
pub async fn start(auth: &str, issuers: &str) -> Server {
    Server::start_unready(&configuration(auth, issuers), "127.0.0.1:0").await
}

/// What [`start`] starts the program with. Where `auth` says nothing of it, no machine is too slow for a fetch in time.
pub fn configuration(auth: &str, issuers: &str) -> String {
    let patience = if auth.contains("keys_wait") { "" } else { "keys_wait = \"15s\"" };
    format!(
        r##"
[log]
format = "json"
level = "info,cottontail=debug"

[broker]
urls = ["amqp://guest:guest@127.0.0.1:1/%2f"]

[history]
kind = "memory"

[auth]
{auth}
{patience}

{issuers}

[[mapping]]
routing_key = "#"
everyone = true
"##
    )
}

/// What `token` gets.
pub async fn present(server: &Server, token: &str) -> Verdict {
    within("an answer to a token", verdict(server.address(), token)).await
}

/// Presents `token` until it gets `wanted`.
pub async fn present_until(server: &Server, token: &str, wanted: &Verdict) {
    let what = format!("{wanted:?}");
    eventually(&what, async || (present(server, token).await == *wanted).then_some(())).await;
}

async fn verdict(address: SocketAddr, token: &str) -> Verdict {
    let (head, mut body) = send(address, &Request::get("/events").bearer(token)).await.expect("an answer");
    let mut text = String::new();
    let ended = loop {
        if let Some((_, data)) = text.split_once("event: connected\ndata: ").filter(|(_, data)| data.contains('\n')) {
            let data: Value = serde_json::from_str(data.lines().next().unwrap()).expect("JSON");
            assert_eq!(head.status, 200);
            return Verdict::Open(data["user"].as_str().unwrap_or_default().into());
        }
        match body.next().await.expect("well-formed framing") {
            Piece::Data(data) => text.push_str(std::str::from_utf8(&data).expect("UTF-8")),
            Piece::End(ended) => break ended,
        }
    };
    assert_eq!(ended, Ended::Properly);
    if head.status == 200 {
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        let retry = text.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n"));
        assert!(retry.is_some_and(|time| time.parse::<u64>().is_ok()), "{text:?}");
        return Verdict::TryAgain;
    }
    let problem: Value = serde_json::from_str(&text).expect("problem+json");
    Verdict::Refused(head.status, problem["code"].as_str().expect("a code").into())
}

/// A JWK set of these keys.
pub fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A token for `user` that names its key.
pub fn token(issuer: &Issuer, kid: &str, user: &str) -> String {
    token_with(issuer, kid, json!({ "sub": user }))
}

/// As [`token`], with claims of the caller's choice and an hour to live.
pub fn token_with(issuer: &Issuer, kid: &str, mut claims: Value) -> String {
    claims["exp"] = json!(crate::support::tokens::now() + 3600);
    issuer.sign_with_header(&claims, &json!({ "kid": kid }))
}

/// Waits for so many refreshes with this outcome.
pub async fn refreshes(server: &Server, outcome: &str, count: f64) {
    let what = format!("{count} refreshes with outcome {outcome}");
    let enough = |metrics: &crate::support::metrics::Metrics| {
        metrics.sum_where("auth_key_refreshes_total", "outcome", outcome) >= count
    };
    server.metrics_until(&what, enough).await;
}

//! Issuers that are away, slow, or answer with something else than keys: nobody who could be let in is turned away for good.

use std::time::{Duration, Instant};

use crate::scene::{Verdict, configuration, open, present, present_until, refreshes, refused, set, start, token};
use crate::support::deadline::eventually;
use crate::support::http1::Request;
use crate::support::issuer::{IssuerServer, Reply};
use crate::support::metrics::Metrics;
use crate::support::port::free_port;
use crate::support::process::Server;
use crate::support::tokens::Issuer;

fn table(port: u16) -> String {
    format!("[[auth.issuer]]\njwks_url = \"http://127.0.0.1:{port}/keys\"\nalgorithms = [\"ES256\"]")
}

#[tokio::test]
async fn an_issuer_that_is_away_at_the_start_keeps_nobody_out_for_good() {
    let (key, port) = (Issuer::key_pair("ES256"), free_port());
    let server = start("keys_cooldown = \"50ms\"", &table(port)).await;
    let token = token(&key, "k", "ada");
    assert_eq!(present(&server, &token).await, Verdict::TryAgain);
    let in_plain = Request::get("/events").bearer(&token).header("Prefer", "overload=status");
    let answer = server.fetch(&in_plain).await;
    assert_eq!((answer.status(), &answer.json()["code"]), (503, &serde_json::json!("keys_unavailable")));
    assert!(answer.head.header("retry-after").is_some() && answer.head.header("www-authenticate").is_none());
    let renewal = serde_json::json!({ "connectionId": uuid::Uuid::new_v4().to_string(), "token": token });
    let answer = server.fetch(&Request::new("POST", "/events/token").body(renewal.to_string())).await;
    assert_eq!((answer.status(), &answer.json()["code"]), (503, &serde_json::json!("keys_unavailable")));
    // What no key could make good is refused all the same.
    assert_eq!(present(&server, &Issuer::hmac("HS256").token("ada")).await, refused("token_algorithm_refused"));
    assert_eq!(present(&server, "garbage").await, refused("token_malformed"));
    refreshes(&server, "unreachable", 1.0).await;
    let metrics = server.metrics().await;
    assert!(metrics.sum_where("auth_failures_total", "reason", "keys_unavailable") >= 1.0);
    assert!(metrics.sum_where("sse_connection_errors_total", "error_type", "keys_unavailable") >= 1.0);
    let log = server.log();
    let said: Vec<&str> = log.lines().filter(|line| line.contains("could not be fetched")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("\"host\":\"127.0.0.1\"") && !said[0].contains("/keys"), "{said:?}");

    let issuer = IssuerServer::start_at(&format!("127.0.0.1:{port}"), None).await;
    issuer.answer("/keys", Reply::Ok(set(&[key.jwk("k")])));
    present_until(&server, &token, &open("ada")).await;
}

#[tokio::test]
async fn the_last_good_keys_stay_while_the_issuer_is_away_or_answers_nonsense() {
    let (key, new) = (Issuer::key_pair("ES256"), Issuer::key_pair("ES256"));
    let port = free_port();
    let mut issuer = Some(IssuerServer::start_at(&format!("127.0.0.1:{port}"), None).await);
    issuer.as_ref().unwrap().answer("/keys", Reply::Ok(set(&[key.jwk("k")])));
    let server = start("keys_cooldown = \"1ms\"\nkeys_max_bytes = \"4KiB\"\nkeys_timeout = \"1s\"", &table(port)).await;
    let (known, unknown) = (token(&key, "k", "ada"), token(&new, "new", "bob"));
    assert_eq!(present(&server, &known).await, open("ada"));

    let huge = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(5000));
    let answers = [
        ("keys_invalid", Reply::Ok("<html>".into())),
        ("keys_invalid", Reply::Ok(set(&[]))),
        ("keys_invalid", Reply::Ok(set(&[serde_json::json!({ "kty": "oct", "kid": "new", "k": "A".repeat(43) })]))),
        ("too_large", Reply::Ok(huge)),
        ("too_large", Reply::Endless),
        ("redirect", Reply::Raw("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n".into())),
        ("status", Reply::Raw("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".into())),
        ("broken_off", Reply::Raw("SSH-2.0-OpenSSH_9.2\r\n".into())),
        ("broken_off", Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{".into())),
        ("timeout", Reply::Silence),
    ];
    for (outcome, reply) in answers {
        issuer.as_ref().unwrap().answer("/keys", reply.clone());
        is_fetched_in_vain(&server, &unknown, outcome).await;
        assert_eq!(present(&server, &known).await, open("ada"), "{reply:?}");
    }
    let issuer_was = issuer.take().unwrap();
    assert_eq!(issuer_was.asked("/other"), 0, "a redirect was followed");
    drop(issuer_was);
    is_fetched_in_vain(&server, &unknown, "unreachable").await;
    assert_eq!(present(&server, &known).await, open("ada"));

    let issuer = IssuerServer::start_at(&format!("127.0.0.1:{port}"), None).await;
    issuer.answer("/keys", Reply::Ok(set(&[new.jwk("new")])));
    present_until(&server, &unknown, &open("bob")).await;
    assert_eq!(present(&server, &known).await, refused("token_key_unknown"));
}

#[tokio::test]
async fn the_last_good_keys_stay_also_when_the_configuration_changes_while_the_issuer_is_away() {
    let (key, port) = (Issuer::key_pair("ES256"), free_port());
    let issuer = IssuerServer::start_at(&format!("127.0.0.1:{port}"), None).await;
    issuer.answer("/keys", Reply::Ok(set(&[key.jwk("k")])));
    let known = token(&key, "k", "ada");
    let server = start("", &table(port)).await;
    assert_eq!(present(&server, &known).await, open("ada"));
    drop(issuer);
    let change = async |auth: &str, issuers: &str| {
        let taken = |metrics: &Metrics| metrics.sum("config_last_reload_success_timestamp_seconds");
        let before = taken(&server.metrics().await);
        server.rewrite(&configuration(auth, issuers));
        server.hang_up();
        server.metrics_until("a new configuration to be in force", |metrics| taken(metrics) > before).await;
    };
    change("public_channels = [\"news\"]", &table(port)).await;
    refreshes(&server, "unreachable", 1.0).await;
    assert_eq!(present(&server, &known).await, open("ada"));
    change("", &table(port).replace("ES256", "RS256")).await;
    assert_eq!(present(&server, &known).await, refused("token_algorithm_refused"));
    change("", &table(port).replace("/keys", "/other")).await;
    assert_eq!(present(&server, &known).await, Verdict::TryAgain, "another issuer's keys are not its own");
}

/// Has the keys fetched for `token`, which comes to `outcome`; a fetch that is under way already may come to something else.
async fn is_fetched_in_vain(server: &Server, token: &str, outcome: &str) {
    let count = async || server.metrics().await.sum_where("auth_key_refreshes_total", "outcome", outcome);
    let before = count().await;
    eventually(outcome, async || {
        assert_eq!(present(server, token).await, Verdict::TryAgain, "{outcome}");
        (count().await > before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_waits_for_a_slow_issuer_no_longer_than_it_is_told_to() {
    let (key, new) = (Issuer::key_pair("ES256"), Issuer::key_pair("ES256"));
    let issuer = IssuerServer::start().await;
    issuer.answer("/keys", Reply::Ok(set(&[key.jwk("k")])));
    let auth = "keys_cooldown = \"1ms\"\nkeys_wait = \"200ms\"\nkeys_timeout = \"1m\"";
    let server = start(auth, &table(issuer.port())).await;
    present_until(&server, &token(&key, "k", "ada"), &open("ada")).await;
    issuer.answer("/keys", Reply::Silence);
    let began = Instant::now();
    assert_eq!(present(&server, &token(&new, "new", "bob")).await, Verdict::TryAgain);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(200) && waited < Duration::from_secs(15), "{waited:?}");
    // The fetch is still under way, and holds up nobody else.
    assert_eq!(present(&server, &token(&key, "k", "ada")).await, open("ada"));
    assert_eq!(issuer.asked("/keys"), 2);
}

//! Keys that change at their issuer: a new one works with its first token, an old one goes, and garbage does not hammer the issuer.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::scene::{open, present, present_until, refreshes, refused, set, start, token};
use crate::support::deadline::eventually;
use crate::support::issuer::{IssuerServer, Reply};
use crate::support::tokens::{Issuer, now};

/// An issuer with a JWK set at `/keys`, and the table that names it.
async fn publishing(keys: &[Value]) -> (IssuerServer, String) {
    let issuer = IssuerServer::start().await;
    issuer.answer("/keys", Reply::Ok(set(keys)));
    let table = format!("[[auth.issuer]]\njwks_url = \"{}\"", issuer.url("/keys"));
    (issuer, table)
}

#[tokio::test]
async fn a_new_key_works_with_its_first_token_and_a_key_that_is_gone_no_more() {
    let (old, new) = (Issuer::key_pair("RS256"), Issuer::key_pair("ES256"));
    let (issuer, table) = publishing(&[old.jwk("old")]).await;
    let server = start("keys_cooldown = \"1ms\"", &table).await;
    assert_eq!(present(&server, &token(&old, "old", "ada")).await, open("ada"));
    assert_eq!(issuer.asked("/keys"), 1, "a known key is no reason to ask");

    issuer.answer("/keys", Reply::Ok(set(&[old.jwk("old"), new.jwk("new")])));
    assert_eq!(present(&server, &token(&new, "new", "bob")).await, open("bob"));
    assert_eq!(present(&server, &token(&old, "old", "ada")).await, open("ada"));
    assert_eq!(issuer.asked("/keys"), 2);

    issuer.answer("/keys", Reply::Ok(set(&[new.jwk("new")])));
    // Whoever comes with yet another key makes the program see it.
    assert_eq!(present(&server, &token(&old, "none", "eve")).await, refused("token_key_unknown"));
    assert_eq!(present(&server, &token(&old, "old", "ada")).await, refused("token_key_unknown"));
    assert_eq!(present(&server, &token(&new, "new", "bob")).await, open("bob"));
}

#[tokio::test]
async fn keys_are_fetched_on_schedule_without_any_token() {
    let (old, new) = (Issuer::key_pair("ES256"), Issuer::key_pair("EdDSA"));
    let (issuer, table) = publishing(&[old.jwk("old")]).await;
    let server = start("keys_refresh = \"1s\"\nkeys_cooldown = \"1h\"", &table).await;
    refreshes(&server, "ok", 1.0).await;
    issuer.answer("/keys", Reply::Ok(set(&[new.jwk("new")])));
    let token_of_the_new = token(&new, "new", "bob");
    present_until(&server, &token_of_the_new, &open("bob")).await;
    assert_eq!(present(&server, &token(&old, "old", "ada")).await, refused("token_key_unknown"));
}

#[tokio::test]
async fn a_thousand_unknown_keys_cause_one_fetch_in_the_interval() {
    let key = Issuer::key_pair("ES256");
    let (issuer, table) = publishing(&[key.jwk("good")]).await;
    let server = start("keys_cooldown = \"1s\"", &table).await;
    let odd = ["../../etc/passwd", "' OR 1=1 --", "http://127.0.0.1/keys", "", "\u{1F407}"];
    let kids = (0..995).map(|number| format!("kid-{number}")).chain(odd.map(str::to_owned));
    let tokens: Vec<String> = kids.map(|kid| garbage(&kid)).collect();
    assert_eq!(tokens.len(), 1000);
    let began = Instant::now();
    eventually("one of them to cause a fetch", async || {
        assert_eq!(present(&server, &tokens[0]).await, refused("token_key_unknown"));
        (issuer.asked("/keys") == 2).then_some(())
    })
    .await;
    for some in tokens.chunks(50) {
        for answer in join_all(some.iter().map(|token| present(&server, token))).await {
            assert_eq!(answer, refused("token_key_unknown"));
        }
    }
    let intervals = began.elapsed().as_secs() + 1;
    let fetches = issuer.asked("/keys") as u64;
    assert!(fetches <= 1 + intervals, "{fetches} fetches in {intervals} intervals");
    assert_eq!(present(&server, &token(&key, "good", "ada")).await, open("ada"));
}

/// A token with a signature that is none.
fn garbage(kid: &str) -> String {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let head = part(json!({ "alg": "ES256", "kid": kid }));
    let claims = part(json!({ "sub": "eve", "exp": now() + 60 }));
    format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode([1; 64]))
}

#[tokio::test]
async fn requests_with_a_new_key_wait_together_for_one_fetch() {
    let (old, new) = (Issuer::key_pair("ES256"), Issuer::key_pair("ES256"));
    let (issuer, table) = publishing(&[old.jwk("old")]).await;
    let server = start("keys_cooldown = \"1ms\"\nkeys_wait = \"20s\"", &table).await;
    refreshes(&server, "ok", 1.0).await;
    let keys = set(&[old.jwk("old"), new.jwk("new")]);
    issuer.answer("/keys", Reply::Late(Duration::from_millis(500), keys));
    let token = token(&new, "new", "bob");
    let answers = join_all((0..40).map(|_| present(&server, &token))).await;
    assert!(answers.iter().all(|answer| *answer == open("bob")), "{answers:?}");
    assert_eq!(issuer.asked("/keys"), 2, "the one at the start, and one for all of them");
}

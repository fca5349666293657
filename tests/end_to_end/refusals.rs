//! Requests that get no stream: which status, which header fields, and a problem that a program can read.

use std::path::Path;

use serde_json::json;

use crate::scenario::Scenario;
use crate::support::http1::{Request, Response};
use crate::support::sse::EventStream;
use crate::support::tokens::{Issuer, now};

/// RFC 9457, with a stable `code`; gives the code.
fn problem(response: &Response, status: u16) -> String {
    assert_eq!(response.status(), status, "{}", response.text());
    assert_eq!(response.head.header("content-type"), Some("application/problem+json"));
    let problem = response.json();
    assert_eq!(problem["status"], status);
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
    let code = problem["code"].as_str().unwrap_or_default();
    assert!(
        !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-".contains(&byte)),
        "{problem}"
    );
    code.to_owned()
}

#[tokio::test]
async fn no_token_is_asked_for_one() {
    let scenario = Scenario::start().await;
    let response = scenario.server.fetch(&Request::get("/events")).await;
    problem(&response, 401);
    let challenge = response.head.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer"), "{challenge}");
    assert!(!challenge.contains("error="), "RFC 6750 §3.1: no error when nothing was presented: {challenge}");
}

#[tokio::test]
async fn a_token_that_does_not_count_is_refused_with_invalid_token() {
    let scenario = Scenario::start().await;
    let issuer = &scenario.issuer;
    let good = issuer.token("ada");
    let (signed, _) = good.rsplit_once('.').unwrap();
    let tokens = [
        ("not a token", "rabbit".to_owned()),
        ("expired", issuer.sign(&json!({ "sub": "ada", "exp": now() - 5 }))),
        ("not valid yet", issuer.sign(&json!({ "sub": "ada", "exp": now() + 60, "nbf": now() + 50 }))),
        ("without exp", issuer.sign(&json!({ "sub": "ada" }))),
        ("of a stranger", Issuer::hmac("HS256").token("ada")),
        ("with an unknown critical parameter", {
            issuer.sign_with_header(&json!({ "sub": "ada", "exp": now() + 60 }), &json!({ "crit": ["x"], "x": 1 }))
        }),
        ("without a signature", format!("{signed}.")),
        // {"alg":"none"}
        ("unsigned", format!("eyJhbGciOiJub25lIn0.{}.", signed.split_once('.').unwrap().1)),
    ];
    for (what, token) in tokens {
        let response = scenario.server.fetch(&Request::get("/events").bearer(&token)).await;
        problem(&response, 401);
        let challenge = response.head.header("www-authenticate").unwrap();
        assert!(
            challenge.starts_with("Bearer") && challenge.contains("error=\"invalid_token\""),
            "{what}: {challenge}"
        );
        assert!(!response.text().contains(&token), "{what}: the answer quotes the token");
    }
    assert!(scenario.server.metrics().await.sum("auth_failures_total") >= 8.0);
}

#[tokio::test]
async fn a_token_may_come_by_header_or_by_query_but_two_must_agree() {
    let scenario = Scenario::start().await;
    let (ada, bob) = (scenario.issuer.token("ada"), scenario.issuer.token("bob"));
    for request in [
        Request::get("/events").bearer(&ada),
        Request::get(format!("/events?token={ada}")),
        Request::get(format!("/events?access_token={ada}")),
        Request::get(format!("/events?token={ada}")).bearer(&ada),
    ] {
        let mut stream = EventStream::open(scenario.server.address(), &request).await;
        assert_eq!(stream.connected().await["user"], "ada");
    }
    for request in [
        Request::get(format!("/events?token={bob}")).bearer(&ada),
        Request::get(format!("/events?token={ada}&access_token={bob}")),
    ] {
        let response = scenario.server.fetch(&request).await;
        assert!([400, 401].contains(&response.status()), "{}", response.text());
        problem(&response, response.status());
    }
}

#[tokio::test]
async fn user_id_must_be_the_users_own() {
    let scenario = Scenario::start().await;
    let token = scenario.issuer.token("ada");
    let mut stream = scenario.open_at("/events?userId=ada", &token).await;
    assert_eq!(stream.connected().await["user"], "ada");
    let response = scenario.server.fetch(&Request::get("/events?userId=bob").bearer(&token)).await;
    problem(&response, 403);
}

#[tokio::test]
async fn what_cannot_be_a_stream_says_so() {
    let scenario = Scenario::start().await;
    let token = scenario.issuer.token("ada");
    let fetch = async |request: Request| scenario.server.fetch(&request.bearer(&token)).await;

    let unknown = problem(&fetch(Request::get("/nowhere")).await, 404);
    let response = fetch(Request::new("POST", "/events").body("x")).await;
    let method = problem(&response, 405);
    let allow: Vec<&str> = response.head.header("allow").unwrap().split(", ").collect();
    assert!(allow.contains(&"GET") && allow.contains(&"HEAD") && !allow.contains(&"POST"), "{allow:?}");
    let accept = problem(&fetch(Request::get("/events").header("Accept", "application/json")).await, 406);
    let forbidden = problem(&fetch(Request::get("/events?userId=bob")).await, 403);
    let mut codes = vec![unknown, method, accept, forbidden];
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 4, "a code tells what is wrong: {codes:?}");

    for accept in ["text/event-stream", "*/*", "text/*", "text/html, text/event-stream;q=0.5"] {
        let request = Request::get("/events").bearer(&token).header("Accept", accept);
        let stream = EventStream::open(scenario.server.address(), &request).await;
        assert_eq!(stream.head.status, 200, "{accept}");
    }
}

#[tokio::test]
async fn options_is_a_preflight_for_configured_origins_only() {
    let scenario = Scenario::start_with("[cors]\norigins = [\"https://app.example.com\"]").await;
    let preflight = |origin: &str| {
        Request::new("OPTIONS", "/events")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "GET")
            .header("Access-Control-Request-Headers", "authorization, last-event-id")
    };
    let response = scenario.server.fetch(&preflight("https://app.example.com")).await;
    assert!([200, 204].contains(&response.status()));
    let header = |name| response.head.header(name).unwrap_or_default().to_ascii_lowercase();
    assert_eq!(header("access-control-allow-origin"), "https://app.example.com");
    assert!(header("access-control-allow-methods").contains("get"));
    assert!(header("access-control-allow-headers").contains("authorization"));
    assert!(header("access-control-allow-headers").contains("last-event-id"));
    assert!(header("vary").contains("origin"));

    let response = scenario.server.fetch(&preflight("https://evil.example.com")).await;
    assert_eq!(response.head.header("access-control-allow-origin"), None);

    let request = Request::get("/events").header("Origin", "https://app.example.com");
    let refused = scenario.server.fetch(&request).await;
    assert_eq!(refused.status(), 401);
    let allowed = refused.head.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example.com"), "a page may read why it was refused");
}

#[tokio::test]
async fn what_is_too_long_is_refused_by_a_limit_and_the_next_request_is_served() {
    let scenario = Scenario::start().await;
    let long = |length: usize| "x".repeat(length);
    let request = Request::get("/events").header("X-Long", long(64 * 1024));
    assert_eq!(scenario.server.fetch(&request).await.status(), 431);
    let query = Request::get(format!("/events?x={}", long(64 * 1024)));
    let status = scenario.server.fetch(&query).await.status();
    assert!([414, 431].contains(&status), "{status}");
    // Longer than a token may be, shorter than a header may be.
    for request in
        [Request::get("/events").bearer(&long(12 * 1024)), Request::get(format!("/events?token={}", long(12 * 1024)))]
    {
        let response = scenario.server.fetch(&request).await;
        assert!((400..500).contains(&response.status()));
        problem(&response, response.status());
    }
    let channels: Vec<String> = (0..500).map(|number| format!("c{number}")).collect();
    let token = scenario.issuer.token_with_channels("ada", &["#"]);
    let request = Request::get(format!("/events?channels={}", channels.join(","))).bearer(&token);
    let response = scenario.server.fetch(&request).await;
    assert!((400..500).contains(&response.status()), "{}", response.text());
    problem(&response, response.status());
    scenario.subscribe("ada").await;
}

/// An `[[auth.issuer]]` table for tokens of `issuer`, whose public key goes to a file in `directory`.
fn issuer_table(issuer: &Issuer, directory: &Path) -> String {
    let algorithm = issuer.algorithm();
    let key = if algorithm.starts_with("HS") {
        format!("secret = \"{}\"", issuer.secret())
    } else {
        let path = directory.join(format!("{algorithm}.pem"));
        std::fs::write(&path, issuer.public_key()).unwrap();
        format!("public_key_file = \"{}\"", path.display())
    };
    format!(
        r#"
        [[auth.issuer]]
        algorithms = ["{algorithm}"]
        issuer = "https://{algorithm}"
        audience = ["web"]
        {key}
        "#
    )
}

#[tokio::test]
async fn keys_of_every_kind_verify_tokens_of_another_library() {
    let directory = tempfile::tempdir().unwrap();
    let issuers: Vec<Issuer> = ["HS384", "HS512", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
        .map(
            |algorithm| if algorithm.starts_with("HS") { Issuer::hmac(algorithm) } else { Issuer::key_pair(algorithm) },
        )
        .into();
    let tables: Vec<String> = issuers.iter().map(|issuer| issuer_table(issuer, directory.path())).collect();
    let scenario = Scenario::start_with(&tables.concat()).await;
    for issuer in issuers {
        let user = issuer.algorithm();
        let claims =
            |audience| json!({ "sub": user, "iss": format!("https://{user}"), "aud": audience, "exp": now() + 60 });
        let mut stream = scenario.open_at("/events", &issuer.sign(&claims("web"))).await;
        assert_eq!(stream.connected().await["user"], user);
        let elsewhere = Request::get("/events").bearer(&issuer.sign(&claims("app")));
        assert_eq!(scenario.server.fetch(&elsewhere).await.status(), 401, "{user}: another audience");
    }
}

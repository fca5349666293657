//! Pages of this origin and of others: whose cookie counts, and which answers another origin's page may read.

use crate::scenario::Scenario;
use crate::support::http1::{Head, Request, send};
use crate::support::sse::EventStream;

const COOKIES: &str =
    "[auth]\ncookie = \"session\"\n[cors]\norigins = [\"https://*.shop.example\"]\ncredentials = true\n";

async fn head(scenario: &Scenario, request: &Request) -> Head {
    send(scenario.server.address(), request).await.expect("an answer").0
}

#[tokio::test]
async fn a_cookie_opens_a_stream_only_for_a_page_of_this_origin_or_of_one_that_is_listed() {
    let scenario = Scenario::start_with(COOKIES).await;
    let token = scenario.issuer.token("ada");
    let with_cookie = || Request::get("/events").header("Cookie", format!("session={token}"));
    let own = format!("http://{}", scenario.server.address());
    for request in [
        with_cookie(),
        with_cookie().header("Origin", &own),
        with_cookie().header("Sec-Fetch-Site", "same-origin"),
        with_cookie().header("Origin", "https://eu.shop.example").header("Sec-Fetch-Site", "cross-site"),
    ] {
        let mut stream = EventStream::open(scenario.server.address(), &request).await;
        assert_eq!(stream.connected().await["user"], "ada");
    }
    for request in [
        with_cookie().header("Origin", "https://evil.example"),
        with_cookie().header("Origin", "null"),
        with_cookie().header("Sec-Fetch-Site", "cross-site"),
        with_cookie().header("Sec-Fetch-Site", "same-site"),
        with_cookie().header("Origin", "https://shop.example"),
    ] {
        let response = scenario.server.fetch(&request).await;
        assert_eq!((response.status(), response.json()["code"].as_str()), (403, Some("origin_forbidden")));
    }
    let metrics = scenario.server.metrics().await;
    assert!((metrics.sum_where("auth_failures_total", "reason", "origin_forbidden") - 5.0).abs() < f64::EPSILON);
    assert!(
        (metrics.sum_where("sse_connection_errors_total", "error_type", "origin_forbidden") - 5.0).abs() < f64::EPSILON
    );
}

#[tokio::test]
async fn a_token_that_the_page_knows_itself_needs_no_origin() {
    let scenario = Scenario::start_with(COOKIES).await;
    let token = scenario.issuer.token("ada");
    let cookie = format!("session={token}");
    for request in [
        Request::get("/events").bearer(&token),
        Request::get(format!("/events?token={token}")),
        Request::get(format!("/events?token={token}")).header("Cookie", &cookie),
        Request::get("/events").bearer(&token).header("Cookie", &cookie),
    ] {
        let request = request.header("Origin", "https://evil.example");
        assert_eq!(head(&scenario, &request).await.status, 200);
    }
}

#[tokio::test]
async fn every_kind_of_answer_says_which_origin_may_read_it() {
    let scenario = Scenario::start_with(&format!("{COOKIES}[stream]\nmax_streams = 1\n")).await;
    let token = scenario.issuer.token("ada");
    let _one_stream = scenario.subscribe("ada").await;
    for (what, status, request) in [
        ("a stream for later", 200, Request::get("/events").bearer(&token)),
        ("no token", 401, Request::get("/events")),
        ("two tokens", 400, Request::get("/events?token=a&token=b")),
        ("a foreign channel", 403, Request::get("/events?channels=secret").bearer(&token)),
        ("another method", 405, Request::new("POST", "/events").bearer(&token)),
        ("another type", 406, Request::get("/events").bearer(&token).header("Accept", "text/html")),
        ("a preflight", 204, Request::new("OPTIONS", "/events")),
        ("a channel's path", 403, Request::get("/events/secret").bearer(&token)),
    ] {
        for (origin, allowed) in [
            ("https://eu.shop.example", Some("https://eu.shop.example")),
            ("https://a.b.shop.example", Some("https://a.b.shop.example")),
            ("https://evil.example", None),
            ("https://shop.example", None),
            ("http://eu.shop.example", None),
        ] {
            let head = head(&scenario, &request.clone().header("Origin", origin)).await;
            assert_eq!(head.status, status, "{what}");
            assert_eq!(head.header("access-control-allow-origin"), allowed, "{what}, {origin}");
            assert_eq!(head.header("access-control-allow-credentials"), allowed.map(|_| "true"), "{what}, {origin}");
            assert_eq!(head.header("vary"), Some("Origin"), "{what}");
            let exposed = head.header("access-control-expose-headers").unwrap_or_default();
            assert_eq!(exposed.contains("Retry-After"), allowed.is_some(), "{what}: {exposed}");
        }
        assert_eq!(head(&scenario, &request).await.header("vary"), Some("Origin"), "{what}, without an origin");
    }
}

#[tokio::test]
async fn any_origin_may_read_where_that_is_configured_and_none_where_nothing_is() {
    let any = Scenario::start_with("[cors]\norigins = [\"*\"]").await;
    let request = Request::get("/events").header("Origin", "https://a.example");
    let answer = head(&any, &request).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, Some("*")));
    assert_eq!(answer.header("access-control-allow-credentials"), None, "never with `*`");
    let none = Scenario::start().await;
    let answer = head(&none, &request).await;
    assert_eq!((answer.header("access-control-allow-origin"), answer.header("vary")), (None, None));
}

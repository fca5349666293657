//! Which header fields cross the program, in both directions.

use crate::scene::Scene;
use crate::support::deadline::eventually;
use crate::support::http1::{Request, fetch};
use crate::wire::{field, fields};

const CREDENTIALS: &str = "Authorization: Basic b2s=\r\nCookie: a=1; b=2\r\n";

#[tokio::test]
async fn the_application_gets_what_is_for_it_and_who_asked() {
    let scene = Scene::start().await;
    let (.., head) = scene
        .ask(&format!(
            "GET / HTTP/1.1\r\nHost: shop.example:8443\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n\
             Keep-Alive: 5\r\nProxy-Connection: x\r\n{CREDENTIALS}X-Forwarded-For: 1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\n\
             Forwarded: for=1.2.3.4\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
             X-Request-Id: abc-1\r\nX-Latin: caf\u{e9}\r\n\r\n"
        ))
        .await;
    for (name, value) in [
        ("host", "shop.example:8443"),
        ("authorization", "Basic b2s="),
        ("cookie", "a=1; b=2"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example:8443"),
        ("x-forwarded-port", "8443"),
        ("forwarded", "for=127.0.0.1;host=\"shop.example:8443\";proto=http"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-request-id", "abc-1"),
        ("x-latin", "caf\u{e9}"),
    ] {
        assert_eq!(field(&head, name), Some(value), "{head}");
    }
    assert!(field(&head, "via").is_some_and(|via| via.starts_with("1.1 cottontail-")), "{head}");
    for name in
        ["connection", "x-mine", "keep-alive", "proxy-connection", "x-real-ip", "content-length", "transfer-encoding"]
    {
        assert_eq!(field(&head, name), None, "{head}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_who_asked_and_the_url_may_say_the_host() {
    let scene = Scene::start_with("host = \"upstream\"\n[server]\ntrusted_proxies = [\"127.0.0.0/8\"]").await;
    let (.., head) = scene
        .ask("GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\r\n")
        .await;
    assert_eq!(field(&head, "host"), Some(scene.app().to_string().as_str()));
    assert_eq!(field(&head, "x-forwarded-for"), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(field(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(field(&head, "x-forwarded-host"), Some("shop.example"));
}

#[tokio::test]
async fn the_browser_gets_what_is_for_it() {
    let scene = Scene::start().await;
    let head = scene
        .answer(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: abc-2\r\n\r\n",
            "HTTP/1.1 299 Fine So Far\r\nConnection: X-Own, keep-alive\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\n\
             Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\nX-Request-Id: of-the-app\r\nServer: mine\r\n\r\n",
        )
        .await;
    assert!(head.starts_with("HTTP/1.1 299 Fine So Far\r\n"), "{head}");
    assert_eq!(fields(&head, "set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(field(&head, "x-request-id"), Some("abc-2"));
    assert_eq!(field(&head, "server"), Some("mine"));
    assert_eq!(field(&head, "via"), Some("1.1 cottontail"));
    assert_eq!(field(&head, "content-length"), Some("0"));
    for name in ["connection", "x-own", "keep-alive"] {
        assert_eq!(field(&head, name), None, "{head}");
    }
}

/// RFC 9112 §5.1 and §5.2: whoever passes a response on mends these.
#[tokio::test]
async fn the_browser_gets_no_spaces_before_a_colon_and_no_folded_lines() {
    let scene = Scene::start().await;
    let said = "HTTP/1.1 200 OK\r\nX-Spaced : a\r\nX-Folded: b\r\n  c\r\nContent-Length: 0\r\n\r\n";
    let head = scene.answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n", said).await;
    assert!(head.contains("\r\nx-spaced: a\r\n") && head.contains("\r\nx-folded: b c\r\n"), "{head}");
}

#[tokio::test]
async fn no_client_keeps_the_application_from_learning_a_requests_id() {
    let scene = Scene::start().await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Request-Id\r\nX-Request-Id: abc-3\r\n\r\n";
    let (.., head) = scene.ask(request).await;
    assert_eq!(field(&head, "x-request-id"), Some("abc-3"));
}

#[tokio::test]
async fn a_request_without_an_id_gets_one_that_both_sides_see() {
    let scene = Scene::start().await;
    let (mut browser, mut app, head) = scene.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let id = field(&head, "x-request-id").unwrap().to_owned();
    app.say("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(field(&browser.head().await, "x-request-id"), Some(id.as_str()));
}

#[tokio::test]
async fn an_access_line_has_the_path_and_never_the_query() {
    let scene = Scene::start().await;
    let request = "GET /account?password=hunter2 HTTP/1.1\r\nHost: a\r\n\r\n";
    scene.answer(request, "HTTP/1.1 204 No Content\r\n\r\n").await;
    eventually("the access line", async || scene.server.log().contains("\"path\":\"/account\"").then_some(())).await;
    assert!(!scene.server.log().contains("hunter2"));
    let metrics = scene.server.metrics().await;
    assert!(metrics.sum_where("proxy_requests_total", "code", "204") > 0.5);
    assert!(metrics.has("proxy_request_duration_seconds"));
}

#[tokio::test]
async fn a_request_that_comes_back_is_not_sent_round_and_round() {
    let scene = Scene::start().await;
    let mut browser = scene.browser().await;
    browser.say("GET /x HTTP/1.1\r\nHost: a\r\nVia: 1.1 cottontail, 1.1 cottontail-0123456789abcdef\r\n\r\n").await;
    // What is called an application here leads back to where the request came from.
    let mut there = scene.accept().await.into_socket();
    let mut back = scene.browser().await.into_socket();
    let relay = tokio::spawn(async move { tokio::io::copy_bidirectional(&mut there, &mut back).await });
    let answer = browser.until("\"proxy_loop\"").await;
    assert!(answer.starts_with("HTTP/1.1 508 "), "{answer}");
    assert!(scene.requests("508").await > 1.5, "once on each way through");
    drop(browser);
    relay.abort();
}

/// So that a proxy in front has no connection left to send a request on just when the process closes it.
#[tokio::test]
async fn once_a_drain_has_begun_every_answer_says_that_its_connection_ends() {
    let scene = Scene::start().await;
    let (request, answer) = (
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    );
    let closes = async || scene.answer(request, answer).await.to_lowercase().contains("\r\nconnection: close\r\n");
    assert!(!closes().await);
    assert_eq!(fetch(scene.server.admin(), &Request::new("POST", "/drain")).await.status(), 202);
    eventually("the workers to notice", async || closes().await.then_some(())).await;
}

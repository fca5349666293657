//! Bodies in both directions: their framing, their end, and that nothing is held back.

use crate::scene::Scene;
use crate::wire::field;

#[tokio::test]
async fn a_body_of_known_length_keeps_its_length() {
    let scene = Scene::start().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let (mut browser, mut app, head) = scene.ask(request).await;
    assert_eq!((field(&head, "content-length"), field(&head, "transfer-encoding")), (Some("5"), None));
    assert_eq!(app.exactly(5).await, b"hello");
    app.say("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes").await;
    let head = browser.head().await;
    assert_eq!((field(&head, "content-length"), field(&head, "transfer-encoding")), (Some("3"), None));
    assert_eq!(browser.exactly(3).await, b"yes");
}

#[tokio::test]
async fn chunks_pass_at_once_in_both_directions_with_their_trailers() {
    let scene = Scene::start().await;
    let request = "GET /get HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\
                   Trailer: X-Sum, X-Forwarded-For\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
    let (mut browser, mut app, head) = scene.ask(request).await;
    assert_eq!((field(&head, "te"), field(&head, "connection")), (Some("trailers"), Some("te")));
    assert_eq!((field(&head, "content-length"), field(&head, "transfer-encoding")), (None, Some("chunked")));
    assert_eq!(app.until("one\r\n").await, "3\r\none\r\n");
    browser.say("3\r\ntwo\r\n").await;
    assert_eq!(app.until("two\r\n").await, "3\r\ntwo\r\n");
    browser.say("0\r\nX-Forwarded-For: 6.6.6.6\r\nX-Sum: 6\r\n\r\n").await;
    assert_eq!(app.until("\r\n\r\n").await, "0\r\nx-sum: 6\r\n\r\n");
    app.say("HTTP/1.1 200 OK\r\nTrailer: X-Time\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    assert_eq!(field(&browser.head().await, "transfer-encoding"), Some("chunked"));
    app.say("5\r\nthree\r\n").await;
    assert_eq!(browser.until("three\r\n").await, "5\r\nthree\r\n");
    app.say("0\r\nX-Time: 7\r\n\r\n").await;
    assert_eq!(browser.until("\r\n\r\n").await, "0\r\nx-time: 7\r\n\r\n");
}

#[tokio::test]
async fn a_body_is_asked_for_only_when_the_application_wants_it() {
    let scene = Scene::start().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let (mut browser, mut app, head) = scene.ask(request).await;
    assert_eq!(field(&head, "expect"), Some("100-continue"));
    app.say("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(browser.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    browser.say("hello").await;
    assert_eq!(app.exactly(5).await, b"hello");
    app.say("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
    assert!(browser.head().await.starts_with("HTTP/1.1 204 "));

    let (mut browser, mut app, _) = scene.ask(request).await;
    app.say("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await;
    let answer = browser.rest().await;
    assert!(answer.starts_with("HTTP/1.1 417 "), "no 100 comes before it: {answer}");
}

#[tokio::test]
async fn an_application_that_knows_no_expectations_gets_the_body_after_a_while() {
    let scene = Scene::start().await;
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let (mut browser, mut app, _) = scene.ask(request).await;
    assert_eq!(browser.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    browser.say("hello").await;
    assert_eq!(app.exactly(5).await, b"hello");
}

#[tokio::test]
async fn an_interim_response_is_not_taken_for_the_final_one() {
    let scene = Scene::start().await;
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let head = scene
        .answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &format!("{hints}{hints}HTTP/1.1 204 No Content\r\n\r\n"))
        .await;
    assert!(head.starts_with("HTTP/1.1 204 "), "{head}");
}

#[tokio::test]
async fn a_response_without_a_body_keeps_what_it_says_of_one() {
    let scene = Scene::start().await;
    let head =
        scene.answer("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n").await;
    assert_eq!(field(&head, "content-length"), Some("99"));
    let head = scene
        .answer("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    assert_eq!(field(&head, "content-length"), None, "{head}");
    let head = scene
        .answer(
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"x\"\r\n\r\n",
        )
        .await;
    assert!(head.starts_with("HTTP/1.1 304 ") && field(&head, "etag") == Some("\"x\""), "{head}");
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_ends_in_order() {
    let scene = Scene::start().await;
    for version in ["1.0", "1.1"] {
        let (mut browser, mut app, _) = scene.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        app.say(format!("HTTP/{version} 200 OK\r\n\r\nall of it")).await;
        drop(app);
        assert!(browser.head().await.starts_with("HTTP/1.1 200 "));
        assert_eq!(browser.until("0\r\n\r\n").await, "9\r\nall of it\r\n0\r\n\r\n");
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_is_served() {
    let scene = Scene::start().await;
    let (mut browser, mut app, head) = scene.ask("GET /old HTTP/1.0\r\n\r\n").await;
    assert!(head.starts_with("GET /old HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "host"), Some(scene.app().to_string().as_str()));
    assert!(field(&head, "via").is_some_and(|via| via.starts_with("1.0 cottontail-")), "{head}");
    app.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
    let answer = browser.rest().await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nabc"), "{answer:?}");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_has_is_passed_on() {
    let scene = Scene::start().await;
    let (mut browser, mut app, _) =
        scene.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nsome").await;
    app.exactly(4).await;
    app.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
    let answer = browser.until("big").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // Neither side waits for the rest.
    app.rest().await;
    browser.rest().await;
}

#[tokio::test]
async fn the_applications_own_event_stream_comes_through_event_by_event() {
    let scene = Scene::start().await;
    let (mut browser, mut app, _) =
        scene.ask("GET /own/sse HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n").await;
    app.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    assert_eq!(field(&browser.head().await, "content-type"), Some("text/event-stream"));
    for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        app.say(format!("9\r\n{event}\r\n")).await;
        assert_eq!(browser.until("\n\n\r\n").await, format!("9\r\n{event}\r\n"));
    }
    drop(browser);
    app.rest().await;
}

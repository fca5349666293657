//! An application that is away, slow, or dies: what the browser is told, and that nothing is done twice that must not be.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::scene::{Scene, program};
use crate::support::deadline::within;
use crate::support::http1::{Request, fetch};
use crate::wire::field;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn an_application_that_is_away_is_a_502_for_programs_and_for_people() {
    // Nobody else is given a port that is bound, and nobody is answered at one where nobody listens.
    let away = TcpSocket::new_v4().unwrap();
    away.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = program(away.local_addr().unwrap(), "").await;
    let answer = fetch(server.address(), &Request::get("/x?token=t")).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.head.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.json()["code"], "upstream_unreachable");
    assert!(answer.head.header("x-request-id").is_some());
    let page = fetch(server.address(), &Request::get("/x").header("Accept", "text/html,*/*;q=0.8")).await;
    assert_eq!((page.status(), page.head.header("content-type")), (502, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("<h1>Bad Gateway</h1>") && page.text().contains("upstream_unreachable"));
    // The program itself is there, and so are its streams.
    assert_eq!(fetch(server.address(), &Request::get("/events")).await.status(), 401);
    // It comes back without anybody's help.
    let listener = away.listen(16).unwrap();
    let asked = tokio::spawn(async move { fetch(server.address(), &Request::get("/x")).await.status() });
    let mut app = crate::wire::Wire::new(listener.accept().await.unwrap().0);
    app.head().await;
    app.say(OK).await;
    assert_eq!(asked.await.unwrap(), 200);
}

#[tokio::test]
async fn an_application_that_says_no_word_of_http_is_a_502() {
    let scene = Scene::start().await;
    for (said, code) in [
        ("SSH-2.0-dropbear\r\n\r\n", "upstream_invalid"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "upstream_invalid"),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raven\r\n\r\n", "upstream_invalid"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "upstream_invalid"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "upstream_unreachable"),
        ("", "upstream_unreachable"),
    ] {
        let (mut browser, mut app, _) = scene.ask(GET).await;
        app.say(said).await;
        drop(app);
        let head = browser.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{said:?}: {head}");
        let length = field(&head, "content-length").unwrap().parse().unwrap();
        assert!(String::from_utf8_lossy(&browser.exactly(length).await).contains(code), "{said:?}");
    }
}

#[tokio::test]
async fn an_application_that_is_too_slow_is_a_504_and_is_let_go() {
    let scene = Scene::start_with("first_byte_timeout = \"300ms\"").await;
    let (mut browser, mut app, _) = scene.ask(POST).await;
    app.exactly(2).await;
    let head = browser.head().await;
    assert!(head.starts_with("HTTP/1.1 504 "), "{head}");
    browser.until("upstream_timeout").await;
    assert_eq!(app.rest().await, "");
    assert!(scene.requests("504").await > 0.5);
}

#[tokio::test]
async fn an_upload_that_takes_long_is_not_too_slow() {
    let scene = Scene::start_with("first_byte_timeout = \"2s\"").await;
    let (mut browser, mut app, _) = scene.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").await;
    let mut ticks = tokio::time::interval(Duration::from_millis(300));
    for _ in 0..10 {
        ticks.tick().await;
        browser.say(".").await;
        app.exactly(1).await;
    }
    app.say(OK).await;
    assert!(browser.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_of_its_body_is_told_so() {
    let scene = Scene::start_with("idle_timeout = \"300ms\"").await;
    let (mut browser, mut app, _) = scene.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    let answer = browser.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{answer}");
    assert_eq!(app.rest().await, "abc");
}

#[tokio::test]
async fn a_response_that_breaks_off_is_seen_to_be_broken() {
    let scene = Scene::start_with("idle_timeout = \"300ms\"").await;
    for (said, broken_off) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nx", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", false),
    ] {
        let (mut browser, mut app, _) = scene.ask(GET).await;
        app.say(said).await;
        browser.until("half").await;
        // Otherwise it falls silent.
        let silent = if broken_off {
            drop(app);
            None
        } else {
            Some(app)
        };
        let rest = browser.rest().await;
        assert!(!rest.contains("0\r\n\r\n"), "{said:?}: {rest:?}");
        drop(silent);
    }
}

/// To HTTP/1.0 the end of a body without a length is the connection's, so that a close in order would say that it is whole.
#[tokio::test]
async fn a_response_that_breaks_off_is_seen_to_be_broken_in_http_1_0() {
    let scene = Scene::start().await;
    for body in ["Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "Content-Length: 9\r\n\r\nhalf"] {
        let (mut browser, mut app, _) = scene.ask("GET /x HTTP/1.0\r\n\r\n").await;
        app.say(format!("HTTP/1.1 200 OK\r\n{body}")).await;
        let announced = browser.until("half").await.contains("content-length");
        drop(app);
        let end = within("the end", browser.into_socket().read(&mut [0; 9])).await;
        assert!(announced || end.is_err(), "{body:?}: {end:?}");
    }
}

#[tokio::test]
async fn a_browser_that_leaves_ends_its_request_at_once() {
    let scene = Scene::start().await;
    let (browser, mut app, _) = scene.ask(GET).await;
    drop(browser);
    assert_eq!(app.rest().await, "", "while the application thinks");
    let (browser, mut app, _) = scene.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    drop(browser);
    assert_eq!(app.rest().await, "abc", "while it sends");
    let (mut browser, mut app, _) = scene.ask(GET).await;
    app.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    browser.until("half").await;
    drop(browser);
    assert_eq!(app.rest().await, "", "while it receives");
    scene
        .server
        .metrics_until("a request to be counted as abandoned", |metrics| {
            metrics.sum_where("proxy_requests_total", "code", "499") > 0.5
        })
        .await;
}

/// An idle connection that the application closes while the next request is on its way.
#[tokio::test]
async fn a_request_that_meets_a_closed_connection_is_sent_again_if_that_is_safe() {
    let scene = Scene::start().await;
    let (mut browser, mut app, _) = scene.ask(GET).await;
    app.say(OK).await;
    browser.until("ok").await;
    browser.say(GET).await;
    app.head().await;
    app.reset();
    let mut app = scene.accept().await;
    assert!(app.head().await.starts_with("GET /x "));
    app.say(OK).await;
    browser.until("ok").await;

    browser.say(POST).await;
    app.until("hi").await;
    app.reset();
    let head = browser.head().await;
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    // It was not sent again: the next to come is the next.
    let (_, _, head) = scene.ask("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.starts_with("GET /next "), "{head}");
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_not_tried_again() {
    let scene = Scene::start().await;
    let (mut browser, app, _) = scene.ask(GET).await;
    app.reset();
    assert!(browser.head().await.starts_with("HTTP/1.1 502 "));
    let (_, _, head) = scene.ask("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.starts_with("GET /next "), "{head}");
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_not_used() {
    let scene = Scene::start().await;
    let (mut browser, mut app, _) = scene.ask(POST).await;
    app.until("hi").await;
    app.say(OK).await;
    browser.until("ok").await;
    // A request that meets the close under way is rightly not sent again, since it is a POST: the other end is closed as well
    // when it was noticed.
    app.finish().await;
    assert_eq!(app.rest().await, "");
    browser.say(POST).await;
    let mut app = scene.accept().await;
    app.until("hi").await;
    app.say(OK).await;
    browser.until("ok").await;
}

/// It closes with bytes unread, which resets its connection while the browser still sends.
#[tokio::test]
async fn a_refusal_in_the_middle_of_an_upload_reaches_the_browser() {
    let scene = Scene::start().await;
    for _ in 0..3 {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n";
        let (browser, mut app, _) = scene.ask(head).await;
        let (mut from, mut to) = browser.into_socket().into_split();
        let upload = tokio::spawn(async move {
            let piece = vec![b'x'; 1 << 16];
            while to.write_all(&piece).await.is_ok() {}
        });
        app.exactly(1 << 20).await;
        app.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig").await;
        drop(app);
        let mut answer = Vec::new();
        within("the answer", async { while from.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {} }).await;
        upload.await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("big"), "{answer}");
    }
}

//! The named limits of `[upstream]`, one by one.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{interval, timeout};

use crate::scene::Scene;
use crate::support::deadline::within;
use crate::wire::field;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_by_its_length_or_when_it_gets_there() {
    let scene = Scene::start_with("max_body_bytes = \"8B\"").await;
    let mut browser = scene.browser().await;
    browser.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n").await;
    let answer = browser.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");

    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n";
    let (mut browser, mut app, _) = scene.ask(chunked).await;
    app.until("12345678").await;
    browser.say("1\r\n9\r\n0\r\n\r\n").await;
    let answer = browser.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
    assert!(!app.rest().await.contains('9'));
}

#[tokio::test]
async fn more_requests_than_allowed_at_once_are_told_to_come_back() {
    let scene = Scene::start_with("max_requests = 1").await;
    let (mut first, mut app, _) = scene.ask(GET).await;
    let mut second = scene.browser().await;
    second.say(GET).await;
    let head = second.head().await;
    assert!(head.starts_with("HTTP/1.1 503 ") && field(&head, "retry-after") == Some("1"), "{head}");
    second.until("upstream_busy").await;
    app.say(OK).await;
    first.until("ok").await;
    // Its place is free again.
    first.say(GET).await;
    app.head().await;
}

#[tokio::test]
async fn a_request_waits_for_one_of_the_connections() {
    let scene = Scene::start_with("max_connections = 1\nconnect_timeout = \"1m\"\n[server]\nthreads = 3").await;
    let (mut first, mut app, _) = scene.ask(GET).await;
    // On whatever worker they are, they all come to their turn.
    let mut others = Vec::new();
    for _ in 0..6 {
        let mut browser = scene.browser().await;
        browser.say(GET).await;
        others.push(browser);
    }
    app.say(OK).await;
    first.until("ok").await;
    let mut served = 0;
    while served < others.len() {
        if within("a request, or the connection's end", app.try_head()).await.is_some() {
            app.say(OK).await;
            served += 1;
        } else {
            app = scene.accept().await;
        }
    }
    for browser in &mut others {
        browser.until("ok").await;
    }
}

#[tokio::test]
async fn a_request_that_waits_for_a_connection_in_vain_is_told_so() {
    let scene = Scene::start_with("max_connections = 1\nconnect_timeout = \"300ms\"").await;
    let (_first, _app, _) = scene.ask(GET).await;
    let mut second = scene.browser().await;
    second.say(GET).await;
    assert!(second.head().await.starts_with("HTTP/1.1 503 "));
}

/// Flow control lets a client of HTTP/2 hold a response, and with it the application's connection, while its own lives on.
#[tokio::test]
async fn a_response_of_which_nothing_is_taken_is_given_up() {
    let scene = Scene::start_with("idle_timeout = \"1s\"").await;
    let stream = TcpStream::connect(scene.server.address()).await.unwrap();
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1000);
    let (mut requests, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = || hyper::Request::get(scene.server.url("/x")).body(Empty::<Bytes>::new()).unwrap();
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n{}", "x".repeat(4_000_000));
    let (taken, ()) = tokio::join!(requests.send_request(request()), async {
        let mut app = scene.accept().await;
        app.head().await;
        within("the application to be let go", async { while app.try_say(&whole).await {} }).await;
    });
    let taken = within("a broken body", taken.unwrap().into_body().collect()).await;
    assert!(taken.is_err(), "it was not said to be whole");
    let (response, ()) = tokio::join!(requests.send_request(request()), async {
        let mut app = scene.accept().await;
        app.head().await;
        app.say(OK).await;
    });
    let response = within("the next", response.unwrap().into_body().collect()).await.unwrap();
    assert_eq!(response.to_bytes(), "ok", "the connection is as good as before");
}

/// Slowly or not at all, in either version of HTTP, at the beginning and later.
#[tokio::test]
async fn who_does_not_come_to_the_end_of_a_head_is_let_go() {
    let scene = Scene::start_with("[server]\nheader_timeout = \"1s\"").await;
    let http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
    // The last begins a header block of 100 bytes.
    let block = format!("{http2}\0\0\u{64}\u{1}\u{1}\0\0\0\u{1}");
    for begun in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n", "PRI * HTTP/2", http2, &block] {
        let mut client = scene.browser().await;
        client.say(begun).await;
        client.rest().await;
    }
    let mut slow = scene.browser().await;
    slow.say("GET / HTTP/1.1\r\nX: ").await;
    let mut ticks = interval(Duration::from_millis(100));
    let dribbled = async {
        while slow.try_say("x").await {
            ticks.tick().await;
        }
    };
    within("a slow head to be cut off", dribbled).await;
    let (mut kept, mut app, _) = scene.ask(GET).await;
    app.say(OK).await;
    kept.until("ok").await;
    assert_eq!(kept.rest().await, "", "nor is another awaited for ever");
}

#[tokio::test]
async fn as_many_header_fields_are_taken_over_http2_as_over_http1() {
    let scene = Scene::start_with("[server]\nmax_headers = 10").await;
    let stream = TcpStream::connect(scene.server.address()).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut requests, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = |name: &'static str| {
        let fields = (0..11).map(|number| (HeaderName::from_static(name), format!("x{number}=y").parse().unwrap()));
        let mut request = hyper::Request::get(scene.server.url("/x")).body(Empty::<Bytes>::new()).unwrap();
        request.headers_mut().extend(fields.collect::<Vec<(_, HeaderValue)>>());
        request
    };
    let response = within("an answer", requests.send_request(request("x"))).await.unwrap();
    assert_eq!(response.status(), 431);
    let problem = within("a problem", response.into_body().collect()).await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&problem).contains("too_many_headers"), "{problem:?}");
    let (response, head) = tokio::join!(requests.send_request(request("cookie")), async {
        let mut app = scene.accept().await;
        let head = app.head().await;
        app.say(OK).await;
        head
    });
    assert_eq!(response.unwrap().status(), 200, "browsers send a cookie in pieces");
    assert!(field(&head, "cookie").is_some_and(|cookie| cookie.ends_with("x10=y")), "{head}");
}

#[tokio::test]
async fn connections_are_used_again_and_closed_when_nobody_needs_them() {
    let scene = Scene::start_with("pool_idle_timeout = \"3s\"").await;
    let (mut browser, mut app, _) = scene.ask(GET).await;
    for _ in 0..20 {
        app.say(OK).await;
        browser.until("ok").await;
        browser.say(GET).await;
        app.head().await;
    }
    app.say(OK).await;
    browser.until("ok").await;
    assert_eq!(app.rest().await, "");
}

#[tokio::test]
async fn an_application_that_does_not_accept_in_time_is_a_504() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    // Nobody accepts, so that the queue is full soon and the system leaves whoever comes then waiting.
    let mut waiting = Vec::new();
    while let Ok(connected) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
        assert!(waiting.len() < 100, "the queue is short");
    }
    let server = crate::scene::program(address, "connect_timeout = \"200ms\"").await;
    let answer = server.fetch(&crate::support::http1::Request::get("/x")).await;
    assert_eq!(answer.status(), 504, "{}", answer.text());
}

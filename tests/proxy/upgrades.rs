//! Connections that leave HTTP: WebSocket and others, through a tunnel that is closed one way at a time.

use std::process::ExitStatus;

use tokio::net::TcpListener;

use crate::scene::{Scene, program};
use crate::support::deadline::{eventually, within};
use crate::wire::{Wire, field};

const OFFER: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: raven/1\r\n\r\n";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raven/1\r\n\r\n";

/// A tunnel with the browser's end first.
async fn tunnel(scene: &Scene) -> (Wire, Wire) {
    let (mut browser, mut app, head) = scene.ask(OFFER).await;
    assert_eq!((field(&head, "connection"), field(&head, "upgrade")), (Some("upgrade"), Some("raven/1")));
    app.say(AGREED).await;
    let head = browser.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!((field(&head, "connection"), field(&head, "upgrade")), (Some("upgrade"), Some("raven/1")));
    (browser, app)
}

#[tokio::test]
async fn bytes_of_any_kind_go_both_ways_and_each_way_ends_by_itself() {
    let scene = Scene::start().await;
    let (mut browser, mut app) = tunnel(&scene).await;
    browser.say(b"caw\n\0\xff GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(app.exactly(25).await, b"caw\n\0\xff GET / HTTP/1.1\r\n\r\n");
    app.say("krah").await;
    assert_eq!(browser.exactly(4).await, b"krah");
    browser.finish().await;
    assert_eq!(app.rest().await, "");
    app.say("the last word").await;
    app.finish().await;
    assert_eq!(browser.rest().await, "the last word");
}

#[tokio::test]
async fn what_is_sent_together_with_a_head_is_not_lost() {
    let scene = Scene::start().await;
    let (mut browser, mut app, _) = scene.ask(&format!("{OFFER}early caw")).await;
    app.say(format!("{AGREED}early krah")).await;
    browser.head().await;
    assert_eq!(browser.exactly(10).await, b"early krah");
    assert_eq!(app.exactly(9).await, b"early caw");
}

#[tokio::test]
async fn an_application_may_decline() {
    let scene = Scene::start().await;
    let (mut browser, mut app, _) = scene.ask(OFFER).await;
    app.say("HTTP/1.1 426 Upgrade Required\r\nUpgrade: owl\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nno")
        .await;
    let answer = browser.rest().await;
    assert!(answer.starts_with("HTTP/1.1 426 ") && answer.contains("upgrade: owl\r\n") && answer.ends_with("no"));
}

#[tokio::test]
async fn http2_is_not_offered_on() {
    let scene = Scene::start().await;
    let offer = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n";
    let (_, _, head) = scene.ask(offer).await;
    for name in ["connection", "upgrade", "http2-settings"] {
        assert_eq!(field(&head, name), None, "{head}");
    }
}

#[tokio::test]
async fn a_silent_tunnel_is_closed_and_a_busy_one_is_not() {
    let scene = Scene::start_with("tunnel_idle_timeout = \"2s\"").await;
    let (mut browser, mut app) = tunnel(&scene).await;
    let begun = tokio::time::Instant::now();
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
    while begun.elapsed() < std::time::Duration::from_secs(3) {
        ticks.tick().await;
        browser.say(".").await;
        app.exactly(1).await;
    }
    assert_eq!(browser.rest().await, "");
    assert_eq!(app.rest().await, "");
}

#[tokio::test]
async fn a_tunnel_is_one_of_the_connections_and_one_of_the_requests() {
    for limit in ["max_connections = 1", "max_requests = 1"] {
        let scene = Scene::start_with(&format!("{limit}\nconnect_timeout = \"300ms\"")).await;
        let (browser, mut app) = tunnel(&scene).await;
        let mut other = scene.browser().await;
        other.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(other.head().await.starts_with("HTTP/1.1 503 "), "{limit}");
        other.until("upstream_busy").await;
        drop(browser);
        app.rest().await;
        drop(app);
        // Its place is free, perhaps a moment later.
        eventually("the next request to be let through", async || {
            let mut other = scene.browser().await;
            other.say("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
            tokio::select! {
                app = scene.accept() => Some(app),
                refused = other.head() => {
                    assert!(refused.starts_with("HTTP/1.1 503 "), "{limit}: {refused}");
                    None
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn when_one_side_breaks_off_the_other_learns_of_it() {
    let scene = Scene::start().await;
    let (browser, mut app) = tunnel(&scene).await;
    browser.reset();
    app.rest().await;
    let (mut browser, app) = tunnel(&scene).await;
    app.reset();
    browser.rest().await;
}

#[tokio::test]
async fn the_end_waits_for_tunnels_as_long_as_the_drain_window() {
    let mut scene = Scene::start_with("[server]\ndrain_delay = \"2s\"\ndrain_window = \"1s\"\ngrace = \"20s\"").await;
    let (mut browser, mut app) = tunnel(&scene).await;
    scene.server.terminate();
    browser.say("still here").await;
    assert_eq!(app.exactly(10).await, b"still here");
    let ended: ExitStatus = scene.server.exit().await;
    assert!(ended.success());
    assert_eq!(browser.rest().await, "");

    let mut scene = Scene::start_with("[server]\ndrain_delay = \"2s\"\ndrain_window = \"1s\"\ngrace = \"20s\"").await;
    let (mut browser, mut app, _) = scene.ask("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    scene.server.terminate();
    app.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await;
    assert!(browser.rest().await.ends_with("slow"), "a request under way is finished");
    assert!(scene.server.exit().await.success());
}

#[tokio::test]
async fn the_end_does_not_wait_for_the_applications_own_event_streams() {
    let mut scene = Scene::start_with("[server]\ndrain_delay = \"2s\"\ndrain_window = \"1s\"\ngrace = \"19s\"").await;
    let (mut browser, mut app, _) = scene.ask("GET /own/sse HTTP/1.1\r\nHost: a\r\n\r\n").await;
    app.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\ndata: 1\n\n").await;
    browser.until("data: 1\n\n").await;
    let begun = std::time::Instant::now();
    scene.server.terminate();
    app.say("data: 2\n\n").await;
    assert!(browser.rest().await.ends_with("data: 2\n\n\r\n0\r\n\r\n"), "it ends in order");
    assert!(scene.server.exit().await.success());
    assert!(begun.elapsed() < std::time::Duration::from_secs(15), "before the grace time is over");
}

/// The handshake and the frames of RFC 6455, spoken by another implementation on both sides.
#[tokio::test]
async fn a_websocket_echoes() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = program(listener.local_addr().unwrap(), "").await;
    let echo = async {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    };
    let talk = async {
        let socket = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let url = format!("ws://{}/socket?x=y", server.address());
        let (mut socket, response) = tokio_tungstenite::client_async(url, socket).await.unwrap();
        assert_eq!(response.status(), 101);
        for message in [Message::text("moin"), Message::binary(vec![7; 1 << 20]), Message::text("")] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message);
        }
        socket.close(None).await.unwrap();
        while socket.next().await.is_some_and(|message| message.is_ok()) {}
    };
    within("the echo to end", async { tokio::join!(Box::pin(echo), Box::pin(talk)) }).await;
}

//! WebSocket over a stream of HTTP/2 (RFC 8441): asked for by hyper's client and by a browser, spoken in HTTP/1.1 by the application.

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

use crate::scene::{Scene, program};
use crate::support::browser::Browser;
use crate::support::deadline::within;
use crate::support::process::Server;
use crate::support::tls::Certificates;
use crate::wire::{Wire, field};

type Requests = SendRequest<Empty<Bytes>>;

async fn connect(server: &Server) -> Requests {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut requests, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    // An answer comes after the settings, which say that WebSocket is welcome.
    let first = Request::get(server.url("/events")).body(Empty::new()).unwrap();
    assert_eq!(requests.send_request(first).await.unwrap().status(), 401);
    requests
}

async fn ask(requests: &mut Requests, server: &Server, protocol: &'static str) -> Response<Incoming> {
    let request = Request::connect(server.url("/chat?x=y"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "caw")
        .header("origin", "http://shop.example")
        .extension(Protocol::from_static(protocol))
        .body(Empty::new())
        .unwrap();
    within("an answer", requests.send_request(request)).await.unwrap()
}

fn agreed(head: &str) -> String {
    let accept = derive_accept_key(field(head, "sec-websocket-key").unwrap().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: caw\r\n\r\n"
    )
}

/// A tunnel with the browser's end first, then its connection's other requests and the application's end.
async fn tunnel(scene: &Scene) -> (TokioIo<Upgraded>, Requests, Wire) {
    let mut requests = connect(&scene.server).await;
    let (mut response, app) = tokio::join!(ask(&mut requests, &scene.server, "websocket"), async {
        let mut app = scene.accept().await;
        let head = app.head().await;
        assert!(head.starts_with("GET /chat?x=y HTTP/1.1\r\n"), "{head}");
        for (name, value) in [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "caw"),
            ("origin", "http://shop.example"),
            ("host", scene.server.address().to_string().as_str()),
        ] {
            assert_eq!(field(&head, name), Some(value), "{head}");
        }
        assert!(field(&head, "via").unwrap().starts_with("2 cottontail"), "{head}");
        app.say(agreed(&head)).await;
        app
    });
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "caw");
    for name in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(!response.headers().contains_key(name), "{response:?}");
    }
    (TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap()), requests, app)
}

#[tokio::test]
async fn each_way_of_a_stream_ends_by_itself_and_the_connection_goes_on() {
    let scene = Scene::start().await;
    let (mut browser, mut requests, mut app) = tunnel(&scene).await;
    browser.write_all(b"caw\n\0\xff").await.unwrap();
    assert_eq!(app.exactly(6).await, b"caw\n\0\xff");
    app.say("krah").await;
    let mut krah = [0; 4];
    within("an answer", browser.read_exact(&mut krah)).await.unwrap();
    assert_eq!(&krah, b"krah");
    browser.shutdown().await.unwrap();
    assert_eq!(app.rest().await, "");
    app.say("the last word").await;
    app.finish().await;
    let mut rest = String::new();
    within("the stream to end", browser.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "the last word");
    let refused = ask(&mut requests, &scene.server, "raven").await;
    assert_eq!(refused.status(), 501, "another protocol is none of ours");
}

#[tokio::test]
async fn what_is_no_websocket_in_the_end_is_not_said_to_be_one() {
    let scene = Scene::start().await;
    let mut requests = connect(&scene.server).await;
    for (said, status, body) in [
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", 403, "no"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage", 502, "upstream_invalid"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            502,
            "upstream_invalid",
        ),
        ("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: raven\r\n\r\n", 502, "upstream_invalid"),
    ] {
        let (response, ()) = tokio::join!(ask(&mut requests, &scene.server, "websocket"), async {
            let mut app = scene.accept().await;
            app.head().await;
            app.say(said).await;
        });
        assert_eq!(response.status(), status, "{said}");
        let answer = within("a body", response.into_body().collect()).await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&answer).contains(body), "{said}: {answer:?}");
    }
    let plain = Request::connect("shop.example:443").body(Empty::new()).unwrap();
    let response = within("an answer", requests.send_request(plain)).await.unwrap();
    assert_eq!(response.status(), 501);
    assert!(scene.requests("501").await >= 1.0);
}

#[tokio::test]
async fn a_silent_stream_is_closed() {
    let scene = Scene::start_with("tunnel_idle_timeout = \"300ms\"").await;
    let (mut browser, _requests, mut app) = tunnel(&scene).await;
    assert_eq!(app.rest().await, "");
    let mut rest = Vec::new();
    // In order or broken off: it is over.
    let _ended = within("the stream to end", browser.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn a_browser_that_goes_away_takes_its_stream_with_it() {
    let scene = Scene::start().await;
    let (browser, requests, mut app) = tunnel(&scene).await;
    drop((browser, requests));
    app.rest().await;
}

#[tokio::test]
async fn the_end_waits_for_streams_as_long_as_the_drain_window() {
    let mut scene = Scene::start_with("[server]\ndrain_delay = \"2s\"\ndrain_window = \"1s\"\ngrace = \"19s\"").await;
    let (mut browser, _requests, mut app) = tunnel(&scene).await;
    let begun = std::time::Instant::now();
    scene.server.terminate();
    browser.write_all(b"still here").await.unwrap();
    assert_eq!(app.exactly(10).await, b"still here");
    assert!(scene.server.exit().await.success());
    assert!(begun.elapsed() < std::time::Duration::from_secs(15), "before the grace time is over");
    app.rest().await;
}

#[tokio::test]
async fn messages_echo_through_a_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = program(listener.local_addr().unwrap(), "").await;
    let echo = tokio::spawn(async move {
        let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let mut requests = connect(&server).await;
    let mut response = {
        let request = Request::connect(server.url("/")).extension(Protocol::from_static("websocket"));
        within("an answer", requests.send_request(request.body(Empty::new()).unwrap())).await.unwrap()
    };
    assert_eq!(response.status(), 200);
    let stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    for message in [Message::text("moin"), Message::binary(vec![7; 1 << 20]), Message::text("")] {
        socket.send(message.clone()).await.unwrap();
        let back = within("the message to come back", Box::pin(socket.next())).await.unwrap().unwrap();
        assert_eq!(back, message);
    }
    socket.close(None).await.unwrap();
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    within("the echo to end", echo).await.unwrap();
}

/// Chromium asks over the connection that it has if the server says that it may, and with a connection of its own otherwise.
#[tokio::test]
async fn a_browser_opens_its_websocket_over_the_connection_of_its_page() {
    let files = tempfile::tempdir().unwrap();
    let [certificate, key] = Certificates::of_this_run().write(files.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tls = format!("[server.tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}\n");
    let server = program(listener.local_addr().unwrap(), &tls).await;
    let (asked, mut question) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, asked.clone()));
        }
    });
    let browser = Browser::start().await;
    browser.open(&server.url("/page")).await;
    let script = "
        const socket = new WebSocket(`wss://${location.host}/socket`);
        window.heard = [];
        socket.onopen = () => socket.send('moin');
        socket.onmessage = e => { heard.push(e.data); socket.close(1000) };
        socket.onclose = e => heard.push(`closed ${e.code}`);";
    browser.run(script, serde_json::Value::Null).await;
    let both = |heard: &serde_json::Value| heard.as_array().is_some_and(|heard| heard.len() == 2);
    let heard = browser.run_until("the echo and the end", "return window.heard", both).await;
    assert_eq!(heard, serde_json::json!(["moin", "closed 1000"]));
    let via = question.recv().await.unwrap();
    assert!(via.starts_with("2 cottontail"), "it came over HTTP/2: {via}");
}

/// One connection to an application with a page and an echo.
async fn serve(stream: TcpStream, asked: tokio::sync::mpsc::Sender<String>) {
    use tokio_tungstenite::tungstenite::handshake::server;
    let mut start = [0; 11];
    stream.readable().await.unwrap();
    let length = stream.peek(&mut start).await.unwrap();
    if &start[..length] != b"GET /socket" {
        let mut page = Wire::new(stream);
        while page.try_head().await.is_some() {
            page.say("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 18\r\n\r\n<title>hop</title>")
                .await;
        }
        return;
    }
    #[expect(clippy::result_large_err, reason = "the library wants it so")]
    let note = |request: &server::Request, response: server::Response| {
        asked.try_send(request.headers()["via"].to_str().unwrap().to_owned()).unwrap();
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(stream, note).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() {
            socket.send(message).await.unwrap();
        }
    }
}

//! Much of everything: large bodies in little memory, many requests with nothing left over.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::scene::{Scene, program};
use crate::support::deadline::{eventually, within};
use crate::support::process::Server;
use crate::wire::Wire;

const GIGABYTE: usize = 1 << 30;
const PIECE: usize = 1 << 20;
const GROWTH: usize = 16 << 20;
/// For a gigabyte through a program that was built without optimization, on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Moves a gigabyte and checks on the way that the program does not grow with it.
async fn pour(server: &Server, mut from: TcpStream, mut to: TcpStream) {
    let before = server.resident_bytes();
    let send = async move {
        let piece = vec![b'x'; PIECE];
        for _ in 0..GIGABYTE / PIECE {
            from.write_all(&piece).await.unwrap();
        }
        from
    };
    let receive = async {
        let mut piece = vec![0; PIECE];
        let (mut received, mut peak) = (0, 0);
        while received < GIGABYTE {
            let read = to.read(&mut piece).await.unwrap();
            assert!(read > 0, "ended after {received} bytes");
            if received / (64 * PIECE) != (received + read) / (64 * PIECE) {
                peak = peak.max(server.resident_bytes());
            }
            received += read;
        }
        (to, peak)
    };
    let (_from, (_to, peak)) =
        timeout(PATIENCE, async { tokio::join!(send, receive) }).await.expect("a gigabyte passes");
    let growth = peak.saturating_sub(before);
    assert!(growth < GROWTH, "grew by {growth} bytes");
}

#[tokio::test]
async fn a_gigabyte_goes_up_in_little_memory() {
    let scene = Scene::start().await;
    let (browser, app, _) =
        scene.ask(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {GIGABYTE}\r\n\r\n")).await;
    pour(&scene.server, browser.into_socket(), app.into_socket()).await;
}

#[tokio::test]
async fn a_gigabyte_comes_down_in_little_memory() {
    let scene = Scene::start().await;
    let (mut browser, mut app, _) = scene.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    app.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n")).await;
    browser.head().await;
    pour(&scene.server, app.into_socket(), browser.into_socket()).await;
}

/// Neither side buffers more than the sockets do: a reader that stands still stops the writer.
#[tokio::test]
async fn a_browser_that_does_not_read_stops_the_application() {
    let scene = Scene::start().await;
    let before = scene.server.resident_bytes();
    let (mut browser, mut app, _) = scene.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    app.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n")).await;
    browser.head().await;
    let mut app = app.into_socket();
    let piece = vec![b'x'; PIECE];
    let mut sent = 0;
    // What is not taken within a second is not taken at all.
    while let Ok(written) = timeout(Duration::from_secs(1), app.write(&piece)).await {
        sent += written.unwrap();
        assert!(sent < GIGABYTE / 4, "nothing holds the application back");
    }
    assert!(scene.server.resident_bytes().saturating_sub(before) < GROWTH);
}

/// As many of them as there are connections may stand still at once.
#[tokio::test]
async fn downloads_that_stand_still_take_little_memory_each() {
    const BROWSERS: usize = 64;
    let scene = Scene::start().await;
    let before = scene.server.resident_bytes();
    let (mut browsers, mut applications) = (Vec::new(), JoinSet::new());
    for _ in 0..BROWSERS {
        let (mut browser, mut app, _) = scene.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        app.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n")).await;
        browser.head().await;
        let mut app = app.into_socket();
        applications.spawn(async move {
            let piece = vec![b'x'; PIECE];
            while app.write_all(&piece).await.is_ok() {}
        });
        // Some of it at full speed first, for which buffers grow.
        browser.exactly(4 * PIECE).await;
        browsers.push(browser);
    }
    let each = scene.server.resident_bytes().saturating_sub(before) / BROWSERS;
    assert!(each < 640 << 10, "{each} bytes");
    drop(browsers);
    within("the applications to be let go", applications.join_all()).await;
}

/// An application that answers everything with its request's target.
async fn answering() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let mut app = Wire::new(listener.accept().await.unwrap().0);
            connections.spawn(async move {
                while let Some(head) = app.try_head().await {
                    let target = head.split(' ').nth(1).unwrap().to_owned();
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len());
                    if !app.try_say(answer).await {
                        return;
                    }
                }
            });
        }
    });
    (address, serving)
}

async fn requests(server: &Server, client: usize, count: usize) {
    let mut browser = Wire::connect(server.address()).await;
    for number in 0..count {
        let target = format!("/{client}/{number}");
        browser.say(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let head = browser.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(browser.exactly(target.len()).await, target.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_over_of_many_requests() {
    let (app, serving) = answering().await;
    let server = program(app, "pool_idle_timeout = \"1s\"").await;
    requests(&server, 0, 500).await;
    // At most: the connection to the application, which is idle by now.
    let (sockets, memory) = (server.sockets(), server.resident_bytes());
    requests(&server, 1, 10_000).await;
    futures_util::future::join_all((0..200).map(|client| requests(&server, client, 20))).await;
    eventually("all sockets to be closed", async || (server.sockets() <= sockets).then_some(())).await;
    let growth = server.resident_bytes().saturating_sub(memory);
    assert!(growth < GROWTH, "grew by {growth} bytes");
    serving.abort();
}

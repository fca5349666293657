//! `cottontail drain`: what runs before Kubernetes stops a sidecar, whose application is to be served until it has stopped itself.

use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::scenario::Scenario;
use crate::support::deadline::{eventually, within};
use crate::support::http1::{Ended, Request, fetch, try_fetch};
use crate::support::process::cottontail;
use crate::support::rabbitmq::free_port;

const STREAMS: usize = 200;
const WINDOW: Duration = Duration::from_secs(4);

/// An application that answers at once, and at `/slow` only begins to until it may go on.
async fn application() -> (SocketAddr, Arc<Semaphore>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, go_on) = (listener.local_addr().unwrap(), Arc::new(Semaphore::new(0)));
    let permits = Arc::clone(&go_on);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(answer(connection, Arc::clone(&permits)));
        }
    });
    (address, go_on)
}

async fn answer(mut connection: TcpStream, go_on: Arc<Semaphore>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nbegun").await.unwrap();
    if head.starts_with(b"GET /slow ") {
        go_on.acquire().await.unwrap().forget();
    }
    connection.write_all(b"-done").await.unwrap();
}

async fn run_drain(admin: SocketAddr) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = cottontail(directory.path());
    command.args(["drain", "--admin", &format!("http://{admin}")]);
    within("the drain command to return", tokio::process::Command::from(command).output()).await.unwrap()
}

/// The most that any second has.
fn most_in_a_second(times: &[Instant]) -> usize {
    let within_a_second =
        |from: Instant| times.iter().filter(move |at| **at >= from && **at - from < Duration::from_secs(1));
    times.iter().map(|from| within_a_second(*from).count()).max().unwrap_or_default()
}

#[tokio::test]
async fn streams_end_over_the_window_while_the_application_is_served_until_sigterm_comes() {
    let (app, go_on) = application().await;
    let mut scenario = Scenario::start_with(&format!(
        "[upstream]\nurl = \"http://{app}\"\n[server]\nthreads = 2\ndrain_delay = \"500ms\"\ndrain_window = \"4s\"\ngrace = \"15s\""
    ))
    .await;
    let (address, admin, token) = (scenario.server.address(), scenario.server.admin(), scenario.issuer.token("ada"));
    let mut ends = JoinSet::new();
    for _ in 0..STREAMS {
        let mut stream = scenario.subscribe_at("/events", &token).await;
        ends.spawn(async move {
            let (_, ended) = stream.rest().await;
            assert_eq!(ended, Ended::Properly);
            Instant::now()
        });
    }
    let slow = tokio::spawn(async move { fetch(address, &Request::get("/slow")).await });

    let command = tokio::spawn(run_drain(admin));
    eventually("/readyz to answer 503", async || {
        let response = try_fetch(admin, &Request::get("/readyz")).await.ok()?;
        (response.status() == 503).then_some(())
    })
    .await;
    let late = fetch(address, &Request::get("/events").bearer(&token)).await;
    assert_eq!(late.status(), 200, "any other status would make a browser give up for good");
    assert!(late.text().starts_with("retry: "), "{}", late.text());
    let mut served = 0;
    while !command.is_finished() {
        assert_eq!(fetch(address, &Request::get("/quick")).await.text(), "begun-done");
        served += 1;
    }
    assert!(served > 10, "{served} requests in {WINDOW:?}");

    let output = command.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "all streams have ended\n");
    let mut times = ends.join_all().await;
    times.sort_unstable();
    assert!(times[STREAMS - 1] - times[0] > WINDOW.mul_f64(0.9), "spread over the window");
    // A second's share is 50; half as much again is for a machine that is busy with other things.
    assert!(most_in_a_second(&times) <= 75, "{} in one second", most_in_a_second(&times));

    assert_eq!(fetch(address, &Request::get("/quick")).await.text(), "begun-done", "until SIGTERM comes");
    assert!(run_drain(admin).await.status.success(), "a second time there is nothing to do");
    let stopping = Instant::now();
    scenario.server.terminate();
    eventually("new connections to be refused", async || {
        try_fetch(address, &Request::get("/quick")).await.is_err().then_some(())
    })
    .await;
    go_on.add_permits(1);
    assert_eq!(slow.await.unwrap().text(), "begun-done", "what is under way is finished");
    assert!(scenario.server.exit().await.success());
    assert!(stopping.elapsed() < WINDOW, "the window is not waited for again");
}

#[tokio::test]
async fn a_process_that_is_not_there_is_an_error() {
    let output = run_drain(SocketAddr::from(([127, 0, 0, 1], free_port()))).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: cannot reach 127.0.0.1:"));
}

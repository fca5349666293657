//! The end of the process: streams ended in good order within the window, or everything at once when asked twice.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::scenario::Scenario;
use crate::support::deadline::eventually;
use crate::support::eventsource_decoder::Observed;
use crate::support::http1::{Ended, Request, try_fetch};
use crate::support::sse::EventStream;

const STREAMS: usize = 20;

#[tokio::test]
async fn sigterm_ends_every_stream_properly_with_a_retry_of_its_own_and_exits_with_0() {
    let mut scenario = Scenario::start_with("[server]\ndrain_window = \"1s\"\ngrace = \"10s\"").await;
    let token = scenario.issuer.token("ada");
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(scenario.subscribe_at("/events", &token).await);
    }
    let started = Instant::now();
    scenario.server.terminate();
    let mut retries = Vec::new();
    for stream in &mut streams {
        let (said, ended) = stream.rest().await;
        assert_eq!(ended, Ended::Properly);
        let retry = said.iter().find_map(|observed| match observed {
            Observed::Retry(milliseconds) => Some(*milliseconds),
            Observed::Comment(_) | Observed::Position(_) | Observed::Message(_) => None,
        });
        retries.push(retry.expect("a retry before the end"));
        assert!(!said.iter().any(|observed| matches!(observed, Observed::Message(_))), "{said:?}");
    }
    assert!(scenario.server.exit().await.success());
    assert!(started.elapsed() < Duration::from_secs(10), "within the grace time");
    retries.sort_unstable();
    retries.dedup();
    assert!(retries.len() > 1, "jittered, so that they do not all come back at once: {retries:?}");
}

#[tokio::test]
async fn while_it_drains_it_is_not_ready_and_takes_no_more() {
    // The delay is for this test to look at the end while it goes on, on a machine that is busy with other things.
    let settings = "[server]\ndrain_delay = \"3s\"\ndrain_window = \"3s\"\ngrace = \"10s\"";
    let mut scenario = Scenario::start_with(settings).await;
    let token = scenario.issuer.token("ada");
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(scenario.subscribe_at("/events", &token).await);
    }
    scenario.server.terminate();
    eventually("/readyz to answer 503", async || {
        let response = try_fetch(scenario.server.admin(), &Request::get("/readyz")).await.ok()?;
        (response.status() == 503).then_some(())
    })
    .await;
    let livez = try_fetch(scenario.server.admin(), &Request::get("/livez")).await.unwrap();
    assert_eq!(livez.status(), 200, "not ready is not dead");
    eventually("new connections to be refused", async || {
        try_fetch(scenario.server.address(), &Request::get("/events")).await.is_err().then_some(())
    })
    .await;
    assert!(scenario.server.exit().await.success());
}

#[tokio::test]
async fn a_stream_that_nobody_reads_does_not_hold_up_the_end() {
    let mut scenario = Scenario::start_with("[server]\ndrain_window = \"500ms\"\ngrace = \"2s\"").await;
    let started = Instant::now();
    let idle = scenario.subscribe("ada").await;
    for _ in 0..64 {
        scenario.app.publish("user.ada.big", "x".repeat(128 * 1024)).await;
    }
    scenario.server.terminate();
    scenario.server.exit().await;
    assert!(started.elapsed() < Duration::from_secs(15));
    drop(idle);
}

#[tokio::test]
async fn a_second_sigterm_ends_everything_at_once() {
    let mut scenario = Scenario::start_with("[server]\ndrain_window = \"60s\"\ngrace = \"90s\"").await;
    let token = scenario.issuer.token("ada");
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(scenario.subscribe_at("/events", &token).await);
    }
    scenario.server.terminate();
    eventually("/readyz to answer 503", async || {
        let response = try_fetch(scenario.server.admin(), &Request::get("/readyz")).await.ok()?;
        (response.status() == 503).then_some(())
    })
    .await;
    scenario.server.terminate();
    // Far below the window: `exit` has its own deadline.
    scenario.server.exit().await;
}

#[tokio::test]
async fn a_subscriber_that_leaves_is_gone_from_the_count() {
    let scenario = Scenario::start().await;
    let stream: EventStream = scenario.subscribe("ada").await;
    let _other = scenario.subscribe("bob").await;
    let open = |count: f64| {
        move |metrics: &crate::support::metrics::Metrics| {
            (metrics.sum("sse_active_connections") - count).abs() < f64::EPSILON
        }
    };
    scenario.server.metrics_until("two streams to be counted", open(2.0)).await;
    drop(stream);
    scenario.server.metrics_until("one stream to be counted", open(1.0)).await;
}

#[tokio::test]
async fn a_client_that_sends_nothing_or_half_a_request_does_not_hold_up_the_end() {
    let mut scenario = Scenario::start_with("[server]\ngrace = \"19s\"").await;
    let address = scenario.server.address();
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    let mut kept_alive = TcpStream::connect(address).await.unwrap();
    kept_alive.write_all(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    kept_alive.readable().await.unwrap();
    let started = Instant::now();
    scenario.server.terminate();
    assert!(scenario.server.exit().await.success());
    assert!(started.elapsed() < Duration::from_secs(15), "long before the grace time is over");
}

#[tokio::test]
async fn until_others_have_noticed_a_new_stream_is_told_to_come_back() {
    let changes = "[server]\ndrain_delay = \"5s\"\ndrain_window = \"1s\"\ngrace = \"19s\"";
    let mut scenario = Scenario::start_with(changes).await;
    let mut open = scenario.subscribe("ada").await;
    scenario.server.terminate();
    eventually("/readyz to answer 503", async || {
        let response = try_fetch(scenario.server.admin(), &Request::get("/readyz")).await.ok()?;
        (response.status() == 503).then_some(())
    })
    .await;
    let late = scenario.server.fetch(&Request::get("/events").bearer(&scenario.issuer.token("ada"))).await;
    assert_eq!(late.status(), 200, "any other status would make a browser give up for good");
    assert!(late.text().starts_with("retry: "), "{}", late.text());
    let asked = Request::get("/events").bearer(&scenario.issuer.token("ada")).header("Prefer", "overload=status");
    let plain = scenario.server.fetch(&asked).await;
    assert_eq!((plain.status(), plain.json()["code"].as_str()), (503, Some("draining")));
    assert!(plain.head.header("retry-after").is_some());
    scenario.app.publish("user.ada.hello", "still flowing").await;
    assert_eq!(open.message().await.data, "still flowing");
    assert_eq!(open.rest().await.1, Ended::Properly);
    assert!(scenario.server.exit().await.success());
}

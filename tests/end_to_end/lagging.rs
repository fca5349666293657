//! A browser that does not read: cut off alone, while the others go on, and made whole when it comes back.

use tokio::net::TcpSocket;

use crate::scenario::Scenario;
use crate::support::http1::Request;
use crate::support::sse::EventStream;

/// More than every buffer between the two ends can hold together.
const EVENTS: usize = 160;
const EVENT_BYTES: usize = 128 * 1024;

#[tokio::test]
async fn a_browser_that_does_not_read_is_cut_off_alone_and_loses_nothing() {
    let scenario = Scenario::start_with("[stream]\nqueue_events = 16\nqueue_bytes = \"512KiB\"").await;
    let token = scenario.issuer.token("ada");
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let connection = socket.connect(scenario.server.address()).await.unwrap();
    let request = Request::get("/events").bearer(&token);
    let mut idle = EventStream::open_on(connection, &request).await;
    idle.connected().await;
    let mut reading = scenario.subscribe("ada").await;

    let bodies: Vec<String> = (0..EVENTS).map(|number| number.to_string() + &"x".repeat(EVENT_BYTES)).collect();
    for body in &bodies {
        scenario.app.publish("user.ada.big", body).await;
        // In step, so that only the one that does not read can lag.
        assert_eq!(&reading.message().await.data, body);
    }
    let lagged = |metrics: &crate::support::metrics::Metrics| metrics.sum("sse_subscribers_lagged_total") >= 1.0;
    let metrics = scenario.server.metrics_until("the idle browser to be cut off", lagged).await;
    assert!((metrics.sum("sse_subscribers_lagged_total") - 1.0).abs() < f64::EPSILON);

    let mut received = Vec::new();
    while let Ok(message) = idle.message_or_end().await {
        received.push(message.data);
    }
    assert!(received.len() < EVENTS, "it was cut off before the end");
    let resume = request.header("Last-Event-ID", idle.last_event_id());
    let mut resumed = EventStream::open(scenario.server.address(), &resume).await;
    assert_eq!(resumed.connected().await["resumed"], true);
    while received.len() < EVENTS {
        received.push(resumed.message().await.data);
    }
    assert!(received == bodies, "every event once and in order");
}

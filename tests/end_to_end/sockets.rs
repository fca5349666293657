//! What becomes of a stream's socket: clients that go, stay silent, get stuck or talk, and a process that runs out of descriptors.

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::scenario::Scenario;
use crate::support::deadline::{eventually, within};
use crate::support::http1::Request;
use crate::support::metrics::Metrics;
use crate::support::sse::EventStream;

fn open_streams(count: f64) -> impl Fn(&Metrics) -> bool {
    move |metrics| (metrics.sum("sse_active_connections") - count).abs() < f64::EPSILON
}

#[tokio::test]
async fn a_browser_that_leaves_is_noticed_without_traffic() {
    let scenario = Scenario::start_with("[stream]\nheartbeat = \"1h\"").await;
    let leaving = scenario.subscribe("ada").await;
    let mut staying = scenario.subscribe("ada").await;
    scenario.server.metrics_until("two open streams", open_streams(2.0)).await;
    drop(leaving);
    let metrics = scenario.server.metrics_until("one open stream", open_streams(1.0)).await;
    assert!((metrics.sum("sse_connection_duration_seconds_count") - 1.0).abs() < f64::EPSILON);
    scenario.app.publish("user.ada.hello", "still here").await;
    assert_eq!(staying.message().await.data, "still here");
}

#[tokio::test]
async fn a_socket_that_takes_nothing_for_too_long_is_closed_though_its_queue_has_room() {
    let changes =
        "[stream]\nheartbeat = \"500ms\"\nwrite_timeout = \"200ms\"\nqueue_events = 100000\nqueue_bytes = \"1GiB\"";
    let scenario = Scenario::start_with(changes).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let connection = socket.connect(scenario.server.address()).await.unwrap();
    let request = Request::get("/events").bearer(&scenario.issuer.token("ada"));
    let mut stuck = EventStream::open_on(connection, &request).await;
    stuck.connected().await;
    let body = "x".repeat(500_000);
    for _ in 0..20 {
        scenario.app.publish("user.ada.big", &body).await;
    }
    let closed =
        |metrics: &Metrics| metrics.sum_where("sse_connection_errors_total", "error_type", "write_timeout") >= 1.0;
    let metrics = scenario.server.metrics_until("the stuck stream to be closed", closed).await;
    assert!(open_streams(0.0)(&metrics), "{}", metrics.0);
    assert!(metrics.sum("sse_subscribers_lagged_total") < 1.0, "its queue had room");
}

#[tokio::test]
async fn what_a_client_sends_on_a_stream_is_left_unread_up_to_a_limit() {
    let scenario = Scenario::start().await;
    let token = scenario.issuer.token("ada");
    let mut socket = TcpStream::connect(scenario.server.address()).await.unwrap();
    let request = format!("GET /events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    // Pipelined: the second is never answered, since the first never ends.
    socket.write_all(format!("{request}{request}").as_bytes()).await.unwrap();
    let mut received = vec![0; 8192];
    let mut text = String::new();
    within("the opening", async {
        while !text.contains("event: connected") {
            socket.readable().await.unwrap();
            if let Ok(count) = socket.try_read(&mut received) {
                text.push_str(&String::from_utf8_lossy(&received[..count]));
            }
        }
    })
    .await;
    scenario.server.metrics_until("one open stream", open_streams(1.0)).await;
    assert_eq!(text.matches("HTTP/1.1 200").count(), 1);
    // A client that goes on and on is cut off.
    let chatter = vec![b'x'; 1 << 20];
    within("the end of the connection", async { while socket.write_all(&chatter).await.is_ok() {} }).await;
    scenario.server.metrics_until("no open stream", open_streams(0.0)).await;
}

#[tokio::test]
async fn an_http_1_0_client_gets_the_stream_without_chunks() {
    let scenario = Scenario::start().await;
    let token = scenario.issuer.token("ada");
    let mut socket = TcpStream::connect(scenario.server.address()).await.unwrap();
    socket
        .write_all(format!("GET /events HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut text = String::new();
    let mut read_until = async |wanted: &str| {
        within(wanted, async {
            let mut received = vec![0; 8192];
            while !text.contains(wanted) {
                socket.readable().await.unwrap();
                if let Ok(count) = socket.try_read(&mut received) {
                    text.push_str(&String::from_utf8_lossy(&received[..count]));
                }
            }
        })
        .await;
        text.clone()
    };
    let head = read_until("event: connected").await.to_lowercase();
    assert!(!head.contains("transfer-encoding"), "{head}");
    scenario.app.publish("user.ada.hello", "plain").await;
    assert!(read_until("data: plain\n\n").await.contains("\nevent: hello\ndata: plain\n\n"));
}

#[tokio::test]
async fn out_of_descriptors_new_connections_wait_and_open_streams_go_on() {
    let scenario = Scenario::start_with("[server]\nthreads = 1").await;
    let mut stream = scenario.subscribe("ada").await;
    scenario.server.limit_descriptors_to(60);
    let mut others = Vec::new();
    for _ in 0..80 {
        others.push(TcpStream::connect(scenario.server.address()).await.unwrap());
    }
    eventually("the log to say so", async || scenario.server.log().contains("cannot accept connections").then_some(()))
        .await;
    scenario.app.publish("user.ada.hello", "undisturbed").await;
    assert_eq!(stream.message().await.data, "undisturbed");
    drop(others);
    let mut late = within("a new stream once there is room", scenario.subscribe("eve")).await;
    let metrics = scenario.server.metrics().await;
    assert!(metrics.sum_where("sse_connection_errors_total", "error_type", "accept") >= 1.0, "{}", metrics.0);
    scenario.app.publish("user.eve.hello", "hi").await;
    assert_eq!(late.message().await.data, "hi");
}

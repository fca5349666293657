//! HTTP/2 by prior knowledge (RFC 9113 §3.3), or by ALPN where the run goes over TLS: the same streams, many on one connection.

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::{Response, http};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::scenario::Scenario;
use crate::support::deadline::{eventually, within};
use crate::support::eventsource_decoder::{EventSourceDecoder, Message, Observed};
use crate::support::http1::{Request, Transport, fetch};
use crate::support::metrics::Metrics;
use crate::support::tls::Certificates;

struct Stream {
    body: Incoming,
    decoder: EventSourceDecoder,
}

impl Stream {
    fn of(response: Response<Incoming>) -> Self {
        Self { body: response.into_body(), decoder: EventSourceDecoder::new() }
    }

    async fn message(&mut self) -> Option<Message> {
        within("an event over HTTP/2", async {
            loop {
                let frame = self.body.frame().await?.expect("the stream was not reset");
                let observed = self.decoder.feed(&frame.into_data().expect("no trailers"));
                let message = observed.into_iter().find_map(|observed| match observed {
                    Observed::Message(message) => Some(message),
                    Observed::Comment(_) | Observed::Retry(_) | Observed::Position(_) => None,
                });
                if message.is_some() {
                    return message;
                }
            }
        })
        .await
    }
}

pub(crate) async fn connect(scenario: &Scenario) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(scenario.server.address()).await.unwrap();
    if Transport::of_this_run() == Transport::Tls {
        let stream = Certificates::of_this_run().connect_on(stream, &["h2"]).await.unwrap();
        return handshake(stream).await;
    }
    handshake(stream).await
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> SendRequest<Empty<Bytes>> {
    let (requests, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    requests
}

pub(crate) async fn get(
    requests: &mut SendRequest<Empty<Bytes>>,
    scenario: &Scenario,
    target: &str,
    token: &str,
) -> Response<Incoming> {
    try_get(requests, scenario, target, token).await.unwrap()
}

/// An error where the connection takes no more requests.
async fn try_get(
    requests: &mut SendRequest<Empty<Bytes>>,
    scenario: &Scenario,
    target: &str,
    token: &str,
) -> hyper::Result<Response<Incoming>> {
    let request = http::Request::get(scenario.server.url(target))
        .header("authorization", format!("Bearer {token}"))
        .body(Empty::new())
        .unwrap();
    within("an answer over HTTP/2", requests.send_request(request)).await
}

#[tokio::test]
async fn many_streams_share_one_connection_and_end_one_by_one() {
    let mut scenario = Scenario::start_with("[server]\ndrain_window = \"200ms\"").await;
    let mut requests = connect(&scenario).await;
    let mut streams = Vec::new();
    for user in ["ada", "bob", "eve"] {
        let response = get(&mut requests, &scenario, "/events", &scenario.issuer.token(user)).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
        assert!(!response.headers().contains_key("transfer-encoding"));
        let mut stream = Stream::of(response);
        assert_eq!(stream.message().await.unwrap().name, "connected");
        streams.push(stream);
    }
    for (stream, user) in streams.iter_mut().zip(["ada", "bob", "eve"]) {
        scenario.app.publish(&format!("user.{user}.hello"), user).await;
        assert_eq!(stream.message().await.unwrap().data, user);
    }
    drop(streams.pop());
    let two = |metrics: &Metrics| (metrics.sum("sse_active_connections") - 2.0).abs() < f64::EPSILON;
    scenario.server.metrics_until("the stream that was reset to be gone", two).await;

    scenario.server.terminate();
    for stream in &mut streams {
        assert_eq!(stream.message().await, None, "a proper end, no reset");
    }
    assert!(scenario.server.exit().await.success());
}

#[tokio::test]
async fn a_refusal_is_a_problem_over_http2_as_well() {
    let scenario = Scenario::start().await;
    let mut requests = connect(&scenario).await;
    let response = get(&mut requests, &scenario, "/events", "rabbit").await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_connection_that_is_used_in_a_drain_is_told_to_retire_and_what_it_carries_goes_on() {
    let scenario = Scenario::start_with("[server]\ndrain_delay = \"60s\"\ngrace = \"90s\"").await;
    let (mut requests, token) = (connect(&scenario).await, scenario.issuer.token("ada"));
    let mut stream = Stream::of(get(&mut requests, &scenario, "/events", &token).await);
    assert_eq!(stream.message().await.unwrap().name, "connected");
    assert_eq!(get(&mut requests, &scenario, "/nothing", &token).await.status(), 404);

    assert_eq!(fetch(scenario.server.admin(), &Request::new("POST", "/drain")).await.status(), 202);
    // GOAWAY (RFC 9113 §6.8): what was sent before it came is answered.
    eventually("the connection to take no more", async || {
        try_get(&mut requests, &scenario, "/nothing", &token).await.map(|answer| assert_eq!(answer.status(), 404)).err()
    })
    .await;
    scenario.app.publish("user.ada.hello", "still flowing").await;
    assert_eq!(stream.message().await.unwrap().data, "still flowing");
    let mut another = connect(&scenario).await;
    assert_eq!(get(&mut another, &scenario, "/nothing", &token).await.status(), 404, "until SIGTERM comes");
}

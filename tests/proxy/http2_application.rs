//! An application that speaks HTTP/2: trailers in both directions, and what HTTP/1.1 has and HTTP/2 does without.

use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::HeaderName;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::scene::program;
use crate::support::deadline::within;
use crate::support::process::Server;
use crate::wire::{Wire, field};

type Answer =
    StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, std::convert::Infallible>>>>;

/// Answers with the body that it got, what it was told of the body in `x-`, and the trailers that it got as trailers.
async fn echo(request: Request<Incoming>) -> Result<Response<Answer>, hyper::Error> {
    let told = |name: &str| request.headers().get(name).cloned();
    let (te, expect) = (told("te"), told("expect"));
    let announces = told("x-announce");
    let collected = request.into_body().collect().await?;
    let mut trailers = collected.trailers().cloned().unwrap_or_default();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let frames = vec![Ok(Frame::data(collected.to_bytes())), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
    let headers = response.headers_mut();
    headers.extend(te.map(|te| (HeaderName::from_static("x-te"), te)));
    headers.extend(expect.map(|expect| (HeaderName::from_static("x-expect"), expect)));
    headers.extend(announces.map(|names| (hyper::header::TRAILER, names)));
    Ok(response)
}

async fn start() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), hyper::service::service_fn(echo)));
        }
    });
    program(address, "http2 = true").await
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let server = start().await;
    let mut browser = Wire::connect(server.address()).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n";
    let body = "\r\n5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n";
    browser.say(format!("{head}Trailer: X-Sum\r\nX-Announce: x-sum\r\n{body}")).await;
    let answer = browser.head().await;
    assert_eq!(field(&answer, "x-te"), Some("trailers"), "{answer}");
    assert_eq!(browser.until("\r\n\r\n").await, "5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n");
    // HTTP/1.1 wants trailers announced, which is what hyper holds to in either direction.
    browser.say(format!("{head}{body}")).await;
    browser.head().await;
    assert_eq!(browser.until("\r\n\r\n").await, "5\r\nhello\r\n0\r\n\r\n");
}

#[tokio::test]
async fn http2_on_both_sides_needs_no_announcement() {
    let server = start().await;
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut requests, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "5".parse().unwrap());
    let frames: Vec<Result<_, std::convert::Infallible>> =
        vec![Ok(Frame::data(Bytes::from("hello"))), Ok(Frame::trailers(trailers))];
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let request = Request::post(server.url("/")).header("te", "trailers").body(body).unwrap();
    let response = within("an answer", requests.send_request(request)).await.unwrap();
    let collected = within("a body", response.into_body().collect()).await.unwrap();
    let trailers = collected.trailers().unwrap();
    assert_eq!((&trailers["x-sum"], &trailers["grpc-status"]), (&"5".parse().unwrap(), &"0".parse().unwrap()));
    assert_eq!(collected.to_bytes(), "hello");
}

#[tokio::test]
async fn a_body_that_was_announced_is_asked_for_at_once() {
    let server = start().await;
    let mut browser = Wire::connect(server.address()).await;
    browser.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(browser.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    browser.say("hello").await;
    let answer = browser.until("hello").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(field(&answer, "x-expect"), None, "it was met here");
}

//! What no real ingress at hand does, and what is not there at all.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::patient::examine_url;
use crate::support::rabbitmq::free_port;

#[tokio::test]
async fn what_cannot_be_reached_or_is_no_url_is_exit_code_2() {
    for (url, words) in [
        (format!("http://127.0.0.1:{}/events", free_port()), "cannot connect"),
        ("http://no-such-host.invalid/events".to_owned(), "cannot connect"),
        ("events".to_owned(), "`--url` takes the URL of a stream"),
    ] {
        let diagnosis = examine_url(&url, "a-token-that-nobody-gets", &[]).await;
        assert_eq!(diagnosis.code, Some(2), "{}", diagnosis.text);
        assert!(diagnosis.text.contains(words), "{}", diagnosis.text);
    }
}

/// The same for everybody, as a cache has it, with heartbeats that were kept back until there were two.
const CANNED: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n\
                      X-Accel-Buffering: no\r\n\r\nretry: 1000\nid: e-1\nevent: connected\n\
                      data: {\"connectionId\":\"one\",\"resumed\":false}\n\n:\nid: e-1\n\n:\nid: e-1\n\n";

#[tokio::test]
async fn clumps_and_one_stream_for_everybody_are_found() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(connection.read_u8().await.unwrap());
            }
            connection.write_all(CANNED.as_bytes()).await.unwrap();
            open.push(connection);
        }
    });
    let diagnosis = examine_url(&url, "a-token-that-nobody-reads", &[]).await;
    diagnosis.has_fault("1 of 2 heartbeats came together with the one before", "`proxy_buffering off;`");
    diagnosis.has_fault("two streams have the same connection id", "`proxy_cache off;`");
    serving.abort();
}

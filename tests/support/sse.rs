//! Event stream clients over [`super::http1`]: one that reads a single response, and one that comes back by itself as a browser does.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::deadline::within;
use super::eventsource_decoder::{EventSourceDecoder, Message, Observed};
use super::http1::{Body, Ended, Head, Piece, Request, send, send_on};

/// One response with an event stream; dropping it closes the connection.
#[derive(Debug)]
pub struct EventStream {
    pub head: Head,
    body: Body,
    decoder: EventSourceDecoder,
    pending: VecDeque<Observed>,
    raw: Vec<u8>,
}

impl EventStream {
    /// Opens a stream, which must be granted.
    pub async fn open(address: SocketAddr, request: &Request) -> Self {
        Self::accepted(within("a stream to open", send(address, request)).await.expect("an answer"))
    }

    /// As [`EventStream::open`], on a connection that the caller made.
    pub async fn open_on(stream: TcpStream, request: &Request) -> Self {
        Self::accepted(within("a stream to open", send_on(stream, request)).await.expect("an answer"))
    }

    fn accepted((head, body): (Head, Body)) -> Self {
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        Self { head, body, decoder: EventSourceDecoder::new(), pending: VecDeque::new(), raw: Vec::new() }
    }

    /// The next thing that the stream says, or how it ended.
    pub async fn next(&mut self) -> Result<Observed, Ended> {
        within("the stream to go on", self.observe()).await
    }

    async fn observe(&mut self) -> Result<Observed, Ended> {
        loop {
            if let Some(observed) = self.pending.pop_front() {
                return Ok(observed);
            }
            match self.body.next().await.expect("well-formed framing") {
                Piece::End(Ended::Properly) => {
                    assert!(self.decoder.is_between_blocks(), "a proper end inside a block");
                    return Err(Ended::Properly);
                }
                Piece::End(Ended::Cut) => return Err(Ended::Cut),
                Piece::Data(data) => {
                    self.pending.extend(self.decoder.feed(&data));
                    self.raw.extend(data);
                }
            }
        }
    }

    /// The next message; comments, retries and bare positions are passed over.
    pub async fn message(&mut self) -> Message {
        self.message_or_end().await.expect("the stream goes on")
    }

    /// The next message, or how the stream ended before it.
    pub async fn message_or_end(&mut self) -> Result<Message, Ended> {
        // One deadline for all of it: heartbeats alone must not keep a test waiting.
        within("a message or the stream's end", async {
            loop {
                if let Observed::Message(message) = self.observe().await? {
                    return Ok(message);
                }
            }
        })
        .await
    }

    /// The first message, which must be `connected`, as JSON.
    pub async fn connected(&mut self) -> serde_json::Value {
        let message = self.message().await;
        assert_eq!(message.name, "connected");
        serde_json::from_str(&message.data).expect("`connected` carries JSON")
    }

    /// Reads to the end: what was still said, and how it ended.
    pub async fn rest(&mut self) -> (Vec<Observed>, Ended) {
        let mut said = Vec::new();
        within("the stream to end", async {
            loop {
                match self.observe().await {
                    Ok(observed) => said.push(observed),
                    Err(ended) => return (said, ended),
                }
            }
        })
        .await
    }

    /// The id that a reconnection would send.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// The bytes of the stream so far, without their transfer coding.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }
}

/// What a page hears of a reconnecting client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occurrence {
    Open,
    Message(Message),
    /// The stream ended or could not be reached; the client tries again.
    Interrupted,
    /// A status other than 200: an `EventSource` gives up for ever.
    Failed(u16),
}

/// A client that reconnects with `Last-Event-ID` after a jittered `retry`. Dropping it ends it.
#[derive(Debug)]
pub struct Reconnecting {
    occurrences: mpsc::Receiver<Occurrence>,
    task: JoinHandle<()>,
}

/// What browsers use until a stream sets another; shorter than theirs, since tests wait for it.
const DEFAULT_RETRY: Duration = Duration::from_millis(500);

impl Reconnecting {
    pub fn start(address: SocketAddr, request: Request) -> Self {
        let (sender, occurrences) = mpsc::channel(64);
        Self { occurrences, task: tokio::spawn(keep_connected(address, request, sender)) }
    }

    pub async fn next(&mut self) -> Occurrence {
        within("the reconnecting client to notice something", self.noticed()).await
    }

    async fn noticed(&mut self) -> Occurrence {
        self.occurrences.recv().await.expect("it never ends")
    }

    /// The next message; what happens to the connection is passed over, except its final failure.
    pub async fn message(&mut self) -> Message {
        within("the reconnecting client to get a message", async {
            loop {
                match self.noticed().await {
                    Occurrence::Message(message) => return message,
                    Occurrence::Open | Occurrence::Interrupted => {}
                    Occurrence::Failed(status) => panic!("the client gave up for ever at status {status}"),
                }
            }
        })
        .await
    }
}

impl Drop for Reconnecting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_connected(address: SocketAddr, request: Request, page: mpsc::Sender<Occurrence>) {
    let mut last_event_id = String::new();
    let mut retry = DEFAULT_RETRY;
    loop {
        let resuming = match last_event_id.as_str() {
            "" => request.clone(),
            id => request.clone().header("Last-Event-ID", id),
        };
        if let Ok((head, mut body)) = send(address, &resuming).await {
            if head.status != 200 {
                page.send(Occurrence::Failed(head.status)).await.ok();
                return;
            }
            page.send(Occurrence::Open).await.ok();
            let mut decoder = EventSourceDecoder::new();
            while let Piece::Data(data) = body.next().await.expect("well-formed framing") {
                for observed in decoder.feed(&data) {
                    if let Observed::Message(message) = observed {
                        page.send(Occurrence::Message(message)).await.ok();
                    }
                }
                decoder.last_event_id().clone_into(&mut last_event_id);
                retry = decoder.retry().map_or(retry, Duration::from_millis);
            }
        }
        if page.send(Occurrence::Interrupted).await.is_err() {
            return;
        }
        tokio::time::sleep(retry.mul_f64(0.5 + fastrand::f64())).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// A server that sends the given texts, one a connection, and gives the heads of the requests that it got.
    async fn canned(texts: Vec<String>) -> (SocketAddr, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let mut requests = Vec::new();
            for text in texts {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut request).await.unwrap() > 0);
                }
                stream.write_all(text.as_bytes()).await.unwrap();
                requests.push(String::from_utf8(request).unwrap());
            }
            requests
        });
        (address, server)
    }

    async fn rest_of(body: &str) -> (Vec<Observed>, Ended) {
        let (address, _) = canned(vec![format!("{HEAD}{body}")]).await;
        EventStream::open(address, &Request::get("/")).await.rest().await
    }

    #[tokio::test]
    async fn a_proper_end_is_told_from_a_cut() {
        assert_eq!(rest_of("9\r\n:x\n\nid:1\n\r\n1\r\n\n\r\n0\r\n\r\n").await.1, Ended::Properly);
        assert_eq!(rest_of("3\r\n:x\n\r\n").await, (vec![Observed::Comment("x".into())], Ended::Cut));
        assert_eq!(rest_of("").await, (vec![], Ended::Cut));
    }

    #[tokio::test]
    async fn a_reconnecting_client_says_where_it_was_and_gives_up_at_a_refusal() {
        let first = format!("{HEAD}1e\r\nretry:1\nid:7\nevent:x\ndata:y\n\n\n\r\n");
        let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned();
        let (address, server) = canned(vec![first, refusal]).await;
        let mut client = Reconnecting::start(address, Request::get("/"));
        assert_eq!(client.next().await, Occurrence::Open);
        let message = Message { name: "x".into(), data: "y".into(), last_event_id: "7".into() };
        assert_eq!(client.next().await, Occurrence::Message(message));
        assert_eq!(client.next().await, Occurrence::Interrupted);
        assert_eq!(client.next().await, Occurrence::Failed(403));
        let requests = server.await.unwrap();
        assert!(!requests[0].contains("Last-Event-ID"));
        assert!(requests[1].contains("\r\nLast-Event-ID: 7\r\n"));
    }
}

//! The legacy application's side of HTTP: answers as a test says, and remembers everything that it was asked.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::deadline::eventually;
use super::rabbitmq::free_port;

/// One request as the application got it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub target: String,
    pub headers: Vec<(String, String)>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What the application says to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Whole lines, each with its end.
    pub headers: String,
    pub body: String,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self { status, headers: String::new(), body: String::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.extend([name, ": ", value, "\r\n"]);
        self
    }

    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }
}

type Script = dyn Fn(&Asked) -> Reply + Send + Sync;

struct Shared {
    asked: Mutex<Vec<Asked>>,
    script: Mutex<Arc<Script>>,
    /// A reply takes a permit: there are none while the application hangs.
    answering: Semaphore,
}

/// An HTTP server at a port of its own; dropping it closes the port.
pub struct Website {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Drop for Website {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

const MANY: usize = 1 << 20;

impl Website {
    pub async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let shared =
            Shared { asked: Mutex::default(), script: Mutex::new(Arc::new(script)), answering: Semaphore::new(MANY) };
        let shared = Arc::new(shared);
        // One that nobody else is given while it is away.
        let listener = TcpListener::bind(("127.0.0.1", free_port())).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, serving }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers otherwise from now on.
    pub fn says(&self, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(script);
    }

    /// Takes requests and answers none, until [`Website::wake`].
    pub fn hang(&self) {
        self.shared.answering.forget_permits(MANY);
    }

    pub fn wake(&self) {
        self.shared.answering.add_permits(MANY);
    }

    /// Closes the port and every connection.
    pub async fn go_away(&mut self) {
        self.serving.abort();
        eventually("the port to be closed", async || TcpStream::connect(self.address).await.err()).await;
    }

    /// Listens again where it was.
    pub async fn come_back(&mut self) {
        let listener = eventually("the port to be free", async || TcpListener::bind(self.address).await.ok()).await;
        self.serving = tokio::spawn(serve(listener, Arc::clone(&self.shared)));
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many requests have come.
    pub async fn asked_until(&self, count: usize) -> Vec<Asked> {
        eventually("the application to be asked", async || Some(self.asked()).filter(|asked| asked.len() >= count))
            .await
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Its drop, with this task, ends every connection.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(converse(socket, Arc::clone(&shared)));
    }
}

async fn converse(mut socket: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let target = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(": ")).map(|(k, v)| (k.to_owned(), v.to_owned()));
        let asked = Asked { target, headers: headers.collect() };
        shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        shared.answering.acquire().await.expect("never closed").forget();
        shared.answering.add_permits(1);
        let script = Arc::clone(&*shared.script.lock().unwrap_or_else(PoisonError::into_inner));
        let Reply { status, headers, body } = script(&asked);
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} Said\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        socket.write_all(answer.as_bytes()).await?;
    }
}

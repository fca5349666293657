//! An issuer on a real socket, with or without TLS: what it answers at each path is for the test to say; it knows no keys.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What an issuer does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with this body.
    Ok(String),
    /// These bytes, whatever they are, and then the connection is closed.
    Raw(String),
    /// As `Ok`, after this time.
    Late(Duration, String),
    /// Nothing, for ever.
    Silence,
    /// A body that never ends.
    Endless,
}

#[derive(Default)]
struct Shared {
    replies: HashMap<String, Reply>,
    asked: Vec<String>,
}

/// A running issuer; dropping it closes its socket and its connections.
pub struct IssuerServer {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Mutex<Shared>>,
    serving: JoinHandle<()>,
}

impl IssuerServer {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1:0", None).await
    }

    /// At an address of the caller's choice, and over TLS if there is something to speak it with.
    pub async fn start_at(address: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free address");
        let address = listener.local_addr().expect("it is bound");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Mutex::new(Shared::default()));
        let serving = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Self { address, scheme, shared, serving }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on this is what `path` gets; every other one gets 404.
    pub fn answer(&self, path: &str, reply: Reply) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).replies.insert(path.into(), reply);
    }

    /// How often `path` was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).asked.iter().filter(|asked| *asked == path).count()
    }
}

impl Drop for IssuerServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Mutex<Shared>>) {
    // Dropped with this task, and the connections with it.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.expect("a listener accepts");
        connections.spawn(connection(socket, tls.clone(), Arc::clone(&shared)));
    }
}

/// A client may leave whenever it likes, so errors end the connection and nothing else.
async fn connection(socket: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Mutex<Shared>>) -> io::Result<()> {
    match tls {
        Some(tls) => serve(tls.accept(socket).await?, &shared).await,
        None => serve(socket, &shared).await,
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Mutex<Shared>) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let reply = {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.asked.push(path.clone());
            shared.replies.get(&path).cloned()
        };
        match reply {
            None => stream.write_all(&response("404 Not Found", "")).await?,
            Some(Reply::Ok(body)) => stream.write_all(&response("200 OK", &body)).await?,
            Some(Reply::Late(time, body)) => {
                tokio::time::sleep(time).await;
                stream.write_all(&response("200 OK", &body)).await?;
            }
            Some(Reply::Raw(bytes)) => {
                stream.write_all(bytes.as_bytes()).await?;
                return stream.shutdown().await;
            }
            Some(Reply::Silence) => {
                stream.read_u8().await?;
            }
            Some(Reply::Endless) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b' '; 4096]).await?;
                }
            }
        }
    }
}

fn response(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        .into()
}

//! A browser that reads a stream as cheaply as it can: it counts events and keeps the last one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use memchr::memmem::Finder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const DATA: &[u8] = b"event: count\ndata: ";
const READ_BYTES: usize = 16 * 1024;
/// Loopback addresses that browsers come from.
const SOURCES: u8 = 16;

/// An open stream.
pub struct Browser {
    socket: TcpStream,
    /// What has come since the last event that was taken.
    pending: Vec<u8>,
    /// Of the last event that was taken.
    last_event_id: Option<String>,
}

impl Browser {
    /// Connects, asks, and waits for the opening block, which is left to be read.
    pub async fn open(address: SocketAddr, request: &str) -> io::Result<Self> {
        // The ports of one address would be used up by those who were there shortly before (TIME-WAIT, RFC 9293 §3.4.2).
        let last_octet = 1 + fastrand::u8(..SOURCES);
        let source = TcpSocket::new_v4()?;
        source.bind((Ipv4Addr::new(127, 0, 0, last_octet), 0).into())?;
        let mut socket = source.connect(address).await?;
        socket.set_nodelay(true)?;
        socket.write_all(request.as_bytes()).await?;
        let mut browser = Self { socket, pending: Vec::with_capacity(2048), last_event_id: None };
        while memchr::memmem::find(&browser.pending, b"event: connected\n").is_none() {
            browser.read().await?;
        }
        if browser.pending.starts_with(b"HTTP/1.1 200") { Ok(browser) } else { Err(unexpected(&browser.pending)) }
    }

    /// The id of the last event that was taken; before the first one, that of the opening block.
    pub fn last_event_id(&self) -> Option<String> {
        self.last_event_id.clone().or_else(|| newest_id(&self.pending))
    }

    /// The data of the next event; what is not an event is passed over.
    pub async fn event(&mut self) -> io::Result<String> {
        loop {
            if let Some(start) = memchr::memmem::find(&self.pending, DATA)
                && let Some(length) = memchr::memchr(b'\n', &self.pending[start + DATA.len()..])
            {
                let end = start + DATA.len() + length;
                let data = String::from_utf8_lossy(&self.pending[start + DATA.len()..end]).into_owned();
                self.last_event_id = newest_id(&self.pending[..start]);
                self.pending.drain(..end);
                return Ok(data);
            }
            self.read().await?;
        }
    }

    /// Reads exactly `count` events, of which the last must say `last`.
    pub async fn events(&mut self, count: usize, last: &str) -> io::Result<()> {
        let finder = Finder::new(DATA);
        let (mut seen, mut scanned) = (0, 0);
        loop {
            for start in finder.find_iter(&self.pending[scanned..]) {
                seen += 1;
                if seen == count {
                    let end = &format!("{last}\n");
                    // The line may still be on its way.
                    while self.pending.len() < scanned + start + DATA.len() + end.len() {
                        self.read().await?;
                    }
                    let rest = &self.pending[scanned + start + DATA.len()..];
                    let done = rest.starts_with(end.as_bytes()) && finder.find(rest).is_none();
                    return if done { Ok(()) } else { Err(unexpected(rest)) };
                }
            }
            // An event that is cut in two is found whole in the next turn, and none is found twice.
            let past_the_last =
                finder.find_iter(&self.pending[scanned..]).last().map_or(scanned, |at| scanned + at + DATA.len());
            scanned = past_the_last.max(self.pending.len().saturating_sub(DATA.len() - 1));
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        self.pending.reserve(READ_BYTES);
        if self.socket.read_buf(&mut self.pending).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Of the block that ends these bytes: the id stands before the event's name and data.
fn newest_id(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().rev().find_map(|line| Some(line.strip_prefix("id: ")?.to_owned()))
}

fn unexpected(bytes: &[u8]) -> io::Error {
    io::Error::other(format!("not what must come: {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(300)])))
}

/// What one browser comes with, and what it must then get.
#[derive(Clone, Debug)]
pub struct Resume {
    pub request: String,
    pub events: usize,
    pub last: String,
}

/// Requests sent and not yet answered at most: what a listen queue holds.
const UNANSWERED: usize = 2000;

/// Has everybody come back at once, and gives the open streams when the last has all its events.
pub async fn resume_all(address: SocketAddr, resumes: Vec<Resume>) -> Vec<Browser> {
    let unanswered = Arc::new(Semaphore::new(UNANSWERED));
    let mut tasks = JoinSet::new();
    for Resume { request, events, last } in resumes {
        let unanswered = Arc::clone(&unanswered);
        tasks.spawn(async move {
            let permit = unanswered.acquire_owned().await.expect("never closed");
            let mut browser = Browser::open(address, &request).await?;
            drop(permit);
            browser.events(events, &last).await?;
            Ok::<_, io::Error>(browser)
        });
    }
    let mut browsers = Vec::new();
    while let Some(browser) = tasks.join_next().await {
        browsers.push(browser.expect("a browser does not panic").expect("a resume brings what it must"));
    }
    browsers
}

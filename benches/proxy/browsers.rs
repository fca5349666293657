//! The load generator: keep-alive connections in a closed loop over a few threads, each answer checked byte by byte.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::answer::{Reader, Wanted};
use crate::clock;
use crate::failure::Failure;
use crate::histogram::Histogram;

const READ_BYTES: usize = 256 << 10;

/// What is asked of whom.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub address: SocketAddr,
    pub wanted: Wanted,
    pub connections: usize,
    /// At most.
    pub threads: usize,
}

/// The time in which answers count; load is there before and until its end.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from: Instant,
    pub until: Instant,
}

/// What the browsers saw.
pub struct Seen {
    /// From the request to the last byte of its answer, of answers that were complete in the window.
    pub latency: Histogram,
    pub answers: u64,
    /// Connections that ended over an answer that was wrong or missing.
    pub faults: u64,
    pub first_fault: Option<String>,
}

/// A load under way.
pub struct Browsers(Vec<thread::JoinHandle<Result<Seen, Failure>>>);

impl Browsers {
    pub fn start(load: Load, window: Window) -> Self {
        let threads = load.threads.min(load.connections).max(1);
        let shares =
            (0..threads).map(|thread| load.connections * (thread + 1) / threads - load.connections * thread / threads);
        Self(shares.map(|connections| thread::spawn(move || Thread::connect(load, connections)?.run(window))).collect())
    }

    /// Waits for the window's end.
    pub fn finish(self) -> Result<Seen, Failure> {
        let mut whole = Seen::default();
        for thread in self.0 {
            let seen = thread.join().map_err(|_| Failure::Opening("a generator thread panicked".into()))??;
            whole.latency.add(&seen.latency);
            whole.answers += seen.answers;
            whole.faults += seen.faults;
            whole.first_fault = whole.first_fault.or(seen.first_fault);
        }
        Ok(whole)
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self { latency: Histogram::new(), answers: 0, faults: 0, first_fault: None }
    }
}

struct Thread {
    poll: Poll,
    request: Vec<u8>,
    browsers: Vec<Option<Browser>>,
    buffer: Vec<u8>,
    seen: Seen,
}

struct Browser {
    socket: TcpStream,
    reader: Reader,
    sent_at: u64,
}

impl Thread {
    fn connect(load: Load, connections: usize) -> Result<Self, Failure> {
        let poll = Poll::new()?;
        let request = load.wanted.request();
        let mut browsers = Vec::new();
        for key in 0..connections {
            let mut socket = std::net::TcpStream::connect(load.address)?;
            socket.set_nodelay(true)?;
            let sent_at = clock::now();
            socket.write_all(&request)?;
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            poll.registry().register(&mut socket, Token(key), Interest::READABLE)?;
            browsers.push(Some(Browser { socket, reader: Reader::new(load.wanted), sent_at }));
        }
        Ok(Self { poll, request, browsers, buffer: vec![0; READ_BYTES], seen: Seen::default() })
    }

    fn run(mut self, window: Window) -> Result<Seen, Failure> {
        let mut events = Events::with_capacity(256);
        loop {
            let left = window.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(self.seen);
            }
            match self.poll.poll(&mut events, Some(left.max(Duration::from_millis(1)))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let counts = Instant::now() >= window.from;
            for event in &events {
                self.turn(event.token().0, counts);
            }
        }
    }

    fn turn(&mut self, key: usize, counts: bool) {
        let Some(mut browser) = self.browsers[key].take() else { return };
        match browser.turn(&self.request, &mut self.buffer, |nanoseconds| {
            if counts {
                self.seen.answers += 1;
                self.seen.latency.record(nanoseconds);
            }
        }) {
            Ok(()) => self.browsers[key] = Some(browser),
            Err(error) => {
                self.seen.faults += 1;
                self.seen.first_fault.get_or_insert(error.to_string());
            }
        }
    }
}

impl Browser {
    /// Reads what is there, tells `done` of each answer that it completes, and asks again.
    fn turn(&mut self, request: &[u8], buffer: &mut [u8], mut done: impl FnMut(u64)) -> io::Result<()> {
        loop {
            let length = match self.socket.read(buffer) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                read => read?,
            };
            if self.reader.feed(&buffer[..length]).map_err(io::Error::other)? {
                let now = clock::now();
                done(now.saturating_sub(self.sent_at));
                self.sent_at = now;
                // The socket is empty on this side, so that it takes a request whole.
                self.socket.write_all(request)?;
            }
        }
    }
}

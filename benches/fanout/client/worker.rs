//! One thread of the load generator: it connects, asks, reads every byte that comes and accounts for it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::client::reader::{Reader, Signal};
use crate::client::tally::Tally;
use crate::client::{Account, Shared, Wanted};
use crate::clock;
use crate::failure::Failure;
use crate::payload::Topic;

/// Streams from one address of loopback; a next one has ports of its own.
const STREAMS_PER_ADDRESS: usize = 20_000;
/// Connections begun before the ones under way are looked after again.
const CONNECTS_PER_TURN: usize = 64;
const READ_BYTES: usize = 256 * 1024;

/// What a thread leaves behind.
pub struct Ended {
    pub tally: Tally,
    /// The topic of each stream in the tally.
    pub topics: Vec<Topic>,
    /// Without the faults, which the tally has until it is closed.
    pub account: Account,
}

pub struct Worker {
    shared: Arc<Shared>,
    index: usize,
    poll: Poll,
    wanted: std::vec::IntoIter<Wanted>,
    streams: Vec<Option<Stream>>,
    unanswered: usize,
    opened: u64,
    ended: u64,
    bytes: u64,
    buffer: Vec<u8>,
    left: Ended,
}

struct Stream {
    socket: TcpStream,
    /// Still to be sent; empty once it was.
    request: Box<str>,
    reader: Reader,
    connected_at: u64,
    opened: bool,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, index: usize, wanted: Vec<Wanted>) -> Result<Self, Failure> {
        let left = Ended {
            tally: Tally::new(wanted.len()),
            topics: wanted.iter().map(|stream| stream.topic).collect(),
            account: Account::new(),
        };
        Ok(Self {
            shared,
            index,
            poll: Poll::new()?,
            streams: Vec::with_capacity(wanted.len()),
            wanted: wanted.into_iter(),
            unanswered: 0,
            opened: 0,
            ended: 0,
            bytes: 0,
            buffer: vec![0; READ_BYTES],
            left,
        })
    }

    pub fn run(mut self) -> Result<Ended, Failure> {
        let mut events = Events::with_capacity(1024);
        while !self.shared.stop.load(Ordering::Relaxed) {
            let more = self.connect_some();
            let timeout = if more { Duration::ZERO } else { Duration::from_millis(20) };
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                self.turn(event);
            }
            self.show();
        }
        Ok(self.left)
    }

    /// True while there are more to connect and room for them.
    fn connect_some(&mut self) -> bool {
        for _ in 0..CONNECTS_PER_TURN {
            if self.unanswered >= self.shared.unanswered {
                return false;
            }
            let Some(wanted) = self.wanted.next() else { return false };
            let key = self.streams.len();
            self.unanswered += 1;
            match self.connect(key, wanted.request) {
                Ok(stream) => self.streams.push(Some(stream)),
                Err(error) => {
                    self.streams.push(None);
                    self.unanswered -= 1;
                    self.note_end(error.to_string());
                }
            }
        }
        true
    }

    fn connect(&self, key: usize, request: String) -> io::Result<Stream> {
        let connected_at = clock::now();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let address = key * self.shared.gauges.len() / STREAMS_PER_ADDRESS;
        if address > 0 {
            let last = u8::try_from(address + 1).map_err(|_| ErrorKind::InvalidInput)?;
            socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into())?;
        }
        match socket.connect(&self.shared.address.into()) {
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            connected => connected?,
        }
        let mut socket = TcpStream::from_std(socket.into());
        self.poll.registry().register(&mut socket, Token(key), Interest::READABLE | Interest::WRITABLE)?;
        let reader = Reader::new(self.shared.opening);
        Ok(Stream { socket, request: request.into(), reader, connected_at, opened: false })
    }

    fn turn(&mut self, event: &Event) {
        let key = event.token().0;
        let Some(mut stream) = self.streams.get_mut(key).and_then(Option::take) else { return };
        let outcome = if event.is_writable() { stream.ask() } else { Ok(()) };
        let outcome =
            outcome.and_then(|()| if event.is_readable() { self.read(key, &mut stream, event) } else { Ok(()) });
        match outcome {
            Ok(()) => self.streams[key] = Some(stream),
            Err(error) => {
                if !stream.opened {
                    self.unanswered -= 1;
                }
                self.note_end(error.to_string());
            }
        }
    }

    fn read(&mut self, key: usize, stream: &mut Stream, event: &Event) -> io::Result<()> {
        loop {
            let length = match stream.socket.read(&mut self.buffer) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                read => read?,
            };
            let now = clock::now();
            self.bytes += length as u64;
            let measure_from = self.shared.measure_from.load(Ordering::Relaxed);
            let Ended { tally, topics, account } = &mut self.left;
            let topic = topics[key];
            let was_open = stream.opened;
            let opened = &mut stream.opened;
            let mut sink = |signal| match signal {
                Signal::Connected => *opened = true,
                Signal::Gap => tally.gap(),
                Signal::Event(payload) if payload.to != topic.number => tally.misdirected(),
                Signal::Event(payload) => {
                    if tally.event(key, payload.seq) && payload.at >= measure_from {
                        account.latency(topic.kind).record(now.saturating_sub(payload.at));
                    }
                }
            };
            stream.reader.feed(&self.buffer[..length], &mut sink).map_err(io::Error::other)?;
            if stream.opened && !was_open {
                self.unanswered -= 1;
                self.opened += 1;
                self.left.account.opening.record(now.saturating_sub(stream.connected_at));
            }
            if stream.reader.ended() {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server ended the stream"));
            }
            // A short read has emptied the socket; a closed one must be read to its end, since no other event will come.
            if length < self.buffer.len() && !event.is_read_closed() {
                return Ok(());
            }
        }
    }

    fn note_end(&mut self, reason: String) {
        self.ended += 1;
        self.left.tally.ended();
        self.shared.first_end.lock().expect("no thread panics while it holds this").get_or_insert(reason);
    }

    fn show(&self) {
        let gauge = &self.shared.gauges[self.index];
        gauge.opened.store(self.opened, Ordering::Release);
        gauge.ended.store(self.ended, Ordering::Release);
        gauge.bytes.store(self.bytes, Ordering::Release);
        gauge.received.store(self.left.tally.received(), Ordering::Release);
        gauge.least.store(self.left.tally.least(), Ordering::Release);
        gauge.cpu.store(clock::thread_cpu(), Ordering::Release);
    }
}

impl Stream {
    /// Sends the request once the connection stands.
    fn ask(&mut self) -> io::Result<()> {
        if self.request.is_empty() {
            return Ok(());
        }
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        // A fresh socket takes a request whole.
        self.socket.write_all(self.request.as_bytes())?;
        self.request = "".into();
        Ok(())
    }
}

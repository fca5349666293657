//! The physical limit: loops that write ready bytes to sockets and do nothing else. No tokens, no history, no heartbeat, no limits.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use hashbrown::HashMap;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;

use crate::failure::Failure;
use crate::payload::{Kind, Topic, block};
use crate::server::bare_topic::{Log, Progress};
use crate::server::publisher::Exchange;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
const BACKLOG: i32 = 4096;
/// Events that wait for a loop at most; then the publisher waits. As many as wait in Cottontail between its publisher and a
/// worker (its in-process exchange and a worker's inbox): what may wait is what can be merged, and must be the same here.
const ROOM: usize = super::cottontail::WAITING + 1024;
const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache, no-transform\r\n\
                    x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n";

/// The running loops, seen from the publisher.
pub struct Bare {
    address: SocketAddr,
    mailboxes: Arc<[Mailbox]>,
    events: u64,
}

/// What a loop is handed from outside.
struct Mailbox {
    inbox: Mutex<Inbox>,
    emptied: Condvar,
    waker: Waker,
}

#[derive(Default)]
struct Inbox {
    sockets: Vec<TcpStream>,
    /// The chunk of each event, made once for all loops.
    events: Vec<(Topic, Arc<[u8]>)>,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().expect("no loop panics while it holds its inbox")
    }

    /// Waits until there is room for another event.
    fn wait_for_room(&self) {
        let full = |inbox: &mut Inbox| inbox.events.len() >= ROOM;
        let _roomy = self.emptied.wait_while(self.lock(), full).expect("no loop panics while it holds its inbox");
    }

    fn take(&self) -> Inbox {
        let taken = std::mem::take(&mut *self.lock());
        self.emptied.notify_one();
        taken
    }

    /// Changes the inbox; wakes the loop unless something was waiting already.
    fn put(&self, change: impl FnOnce(&mut Inbox)) -> io::Result<()> {
        let mut inbox = self.lock();
        let was_empty = inbox.sockets.is_empty() && inbox.events.is_empty();
        change(&mut inbox);
        drop(inbox);
        if was_empty { self.waker.wake() } else { Ok(()) }
    }
}

impl Bare {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Exchange for Bare {
    fn publish(&mut self, to: Topic, body: String) -> Result<(), Failure> {
        let chunk: Arc<[u8]> = chunk(&block(self.events, &body)).into();
        self.events += 1;
        for mailbox in self.mailboxes.iter() {
            mailbox.wait_for_room();
            mailbox.put(|inbox| inbox.events.push((to, Arc::clone(&chunk))))?;
        }
        Ok(())
    }
}

/// Starts `threads` loops, the first of which accepts for all; `merged`: what waits for a socket goes out in one write.
pub fn start(threads: usize, merged: bool) -> Result<Bare, Failure> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(socket.into());
    let address = listener.local_addr()?;

    let polls = (0..threads).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
    let mailboxes: Arc<[Mailbox]> = polls
        .iter()
        .map(|poll| {
            Ok(Mailbox { inbox: Mutex::default(), emptied: Condvar::new(), waker: Waker::new(poll.registry(), WAKER)? })
        })
        .collect::<io::Result<_>>()?;
    polls[0].registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut listener = Some(listener);
    for (index, poll) in polls.into_iter().enumerate() {
        let mut bare_loop = Loop {
            index,
            poll,
            listener: listener.take(),
            mailboxes: Arc::clone(&mailboxes),
            accepted: 0,
            streams: Slab::new(),
            topics: HashMap::new(),
            merged,
        };
        thread::spawn(move || {
            if let Err(error) = bare_loop.run() {
                eprintln!("bare loop {index}: {error}");
            }
        });
    }
    Ok(Bare { address, mailboxes, events: 0 })
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

struct Loop {
    index: usize,
    poll: Poll,
    listener: Option<TcpListener>,
    mailboxes: Arc<[Mailbox]>,
    accepted: usize,
    streams: Slab<Stream>,
    topics: HashMap<Topic, Log>,
    merged: bool,
}

struct Stream {
    socket: TcpStream,
    topic: Option<Topic>,
    progress: Progress,
}

impl Loop {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    WAKER => self.take_inbox()?,
                    Token(key) => self.turn(key, event.is_readable(), event.is_writable()),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(listener) = &self.listener {
            match listener.accept() {
                Ok((socket, _)) => {
                    self.accepted += 1;
                    let chosen = self.accepted % self.mailboxes.len();
                    if chosen == self.index {
                        self.adopt(socket)?;
                    } else {
                        self.mailboxes[chosen].put(|inbox| inbox.sockets.push(socket))?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn adopt(&mut self, mut socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let entry = self.streams.vacant_entry();
        self.poll.registry().register(&mut socket, Token(entry.key()), Interest::READABLE | Interest::WRITABLE)?;
        entry.insert(Stream { socket, topic: None, progress: Progress::default() });
        Ok(())
    }

    fn take_inbox(&mut self) -> io::Result<()> {
        let Inbox { sockets, events } = self.mailboxes[self.index].take();
        for socket in sockets {
            self.adopt(socket)?;
        }
        let mut fed = Vec::new();
        for (topic, chunk) in events {
            let Some(log) = self.topics.get_mut(&topic) else { continue };
            log.push(&chunk);
            if self.merged {
                if !log.fed {
                    log.fed = true;
                    fed.push(topic);
                }
            } else {
                self.flush_topic(topic);
            }
        }
        for topic in fed {
            self.flush_topic(topic);
        }
        Ok(())
    }

    fn flush_topic(&mut self, topic: Topic) {
        let Some(log) = self.topics.get_mut(&topic) else { return };
        log.fed = false;
        let mut broken = Vec::new();
        let mut behind = Vec::new();
        for &key in &log.members {
            let Stream { socket, progress, .. } = &mut self.streams[key];
            if log.write_to(socket, progress, self.merged).is_err() {
                broken.push(key);
            } else if log.is_behind(*progress) {
                behind.push(*progress);
            }
        }
        log.trim(behind.into_iter());
        for key in broken {
            self.close(key);
        }
    }

    fn turn(&mut self, key: usize, readable: bool, writable: bool) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let done = match stream.topic {
            None if readable => self.answer(key),
            Some(topic) => {
                stream.progress.blocked &= !writable;
                let log = self.topics.get_mut(&topic).expect("a stream's topic is there");
                let write = log.write_to(&mut stream.socket, &mut stream.progress, self.merged);
                write.and_then(|()| if readable { expect_silence(&mut stream.socket) } else { Ok(()) })
            }
            None => Ok(()),
        };
        if done.is_err() {
            self.close(key);
        }
    }

    /// Reads the request, which comes in one piece, and answers with the head and the opening block.
    fn answer(&mut self, key: usize) -> io::Result<()> {
        let stream = &mut self.streams[key];
        let mut request = [0; 4096];
        let length = match stream.socket.read(&mut request) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            read => read?,
        };
        let topic = requested_topic(&request[..length]).ok_or(ErrorKind::InvalidInput)?;
        let mut answer = HEAD.as_bytes().to_vec();
        answer.extend(chunk("retry: 2000\nid: 0\nevent: connected\ndata: {}\n\n"));
        stream.socket.write_all(&answer)?;
        let log = self.topics.entry(topic).or_default();
        log.members.push(key);
        stream.progress = log.end();
        stream.topic = Some(topic);
        Ok(())
    }

    fn close(&mut self, key: usize) {
        let stream = self.streams.remove(key);
        if let Some(log) = stream.topic.and_then(|topic| self.topics.get_mut(&topic)) {
            log.members.retain(|member| *member != key);
        }
    }
}

fn expect_silence(socket: &mut TcpStream) -> io::Result<()> {
    match socket.read(&mut [0; 256]) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The topic in `GET /events?channel=7 HTTP/1.1`.
fn requested_topic(request: &[u8]) -> Option<Topic> {
    let line = std::str::from_utf8(request).ok()?.lines().next()?;
    let (kind, number) = line.strip_prefix("GET /events?")?.strip_suffix(" HTTP/1.1")?.split_once('=')?;
    Some(Topic { kind: kind.parse::<Kind>().ok()?, number: number.parse().ok()? })
}

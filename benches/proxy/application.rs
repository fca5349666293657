//! The application behind the proxies: one thread that answers each path with bytes made beforehand, so that it is never what is measured.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::thread;

use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::answer::Wanted;
use crate::daemon;
use crate::failure::Failure;

const LISTENER: Token = Token(usize::MAX);
const READ_BYTES: usize = 16 << 10;

/// Starts the thread, which lasts as long as the process.
pub fn start() -> Result<SocketAddr, Failure> {
    let listener = daemon::listen()?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let mut listener = TcpListener::from_std(listener);
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let answers = Wanted::ALL.map(|wanted| {
        let (bytes, ends) = wanted.sent();
        Answer { start: format!("GET {} ", wanted.path()).into_bytes(), bytes, ends }
    });
    thread::spawn(move || Application { poll, listener, answers, connections: Vec::new() }.run());
    Ok(address)
}

struct Application {
    poll: Poll,
    listener: TcpListener,
    answers: [Answer; 5],
    connections: Vec<Option<Connection>>,
}

struct Answer {
    /// Of the request that it answers.
    start: Vec<u8>,
    bytes: Vec<u8>,
    /// Whether the connection ends behind it.
    ends: bool,
}

struct Connection {
    socket: TcpStream,
    /// A request that is not complete.
    request: Vec<u8>,
    /// The answer under way, and how much of it was sent.
    sending: Option<(usize, usize)>,
}

impl Application {
    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            // Interrupted by a signal at worst.
            if self.poll.poll(&mut events, None).is_err() {
                continue;
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept();
                    continue;
                }
                let Some(place) = self.connections.get_mut(event.token().0) else { continue };
                if let Some(mut connection) = place.take()
                    && connection.turn(&self.answers).is_ok()
                {
                    *place = Some(connection);
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((mut socket, _)) = self.listener.accept() {
            let token = Token(self.connections.len());
            let both = Interest::READABLE | Interest::WRITABLE;
            if socket.set_nodelay(true).is_ok() && self.poll.registry().register(&mut socket, token, both).is_ok() {
                self.connections.push(Some(Connection { socket, request: Vec::new(), sending: None }));
            }
        }
    }
}

impl Connection {
    /// Does what can be done; an error ends the connection.
    fn turn(&mut self, answers: &[Answer; 5]) -> io::Result<()> {
        let mut buffer = [0; READ_BYTES];
        loop {
            if let Some((index, sent)) = self.sending {
                let Answer { bytes, ends, .. } = &answers[index];
                let sent = match self.socket.write(&bytes[sent..]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    written => sent + written?,
                };
                self.sending = (sent < bytes.len()).then_some((index, sent));
                if self.sending.is_none() && *ends {
                    return Err(ErrorKind::ConnectionAborted.into());
                }
                continue;
            }
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                read => self.request.extend_from_slice(&buffer[..read?]),
            }
            // Proxies do not pipeline, so a head's end is the end of what was read.
            if memmem::find(&self.request, b"\r\n\r\n").is_some() {
                let index = answers.iter().position(|answer| self.request.starts_with(&answer.start));
                self.sending = Some((index.ok_or(ErrorKind::NotFound)?, 0));
                self.request.clear();
            }
        }
    }
}

//! POST requests over one kept connection, pipelined so that they stay in order and do not wait for one another.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::{io, thread};

use crate::failure::Failure;

/// Requests sent and not yet answered at most.
const UNANSWERED: u64 = 64;

pub struct Poster {
    socket: TcpStream,
    address: SocketAddr,
    sent: u64,
    answers: Arc<Answers>,
}

#[derive(Default)]
struct Answers {
    seen: Mutex<Seen>,
    more: Condvar,
}

#[derive(Default)]
struct Seen {
    number: u64,
    /// Why there will be no more answers.
    broken: Option<String>,
}

impl Poster {
    pub fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let answers = Arc::new(Answers::default());
        let (reader, shared) = (BufReader::new(socket.try_clone()?), Arc::clone(&answers));
        thread::spawn(move || shared.read(reader));
        Ok(Self { socket, address, sent: 0, answers })
    }

    /// Sends a request, with `headers` as lines that end in CR LF; an earlier one that was refused is an error here.
    pub fn post(&mut self, path: &str, headers: &str, body: &str) -> Result<(), Failure> {
        self.answers.wait_until(self.sent.saturating_sub(UNANSWERED - 1))?;
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {length}\r\n\r\n{body}",
            self.address
        );
        self.socket.write_all(request.as_bytes())?;
        self.sent += 1;
        Ok(())
    }
}

impl Answers {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no thread panics while it holds this")
    }

    fn wait_until(&self, number: u64) -> Result<(), Failure> {
        let waiting = |seen: &mut Seen| seen.number < number && seen.broken.is_none();
        let seen = self.more.wait_while(self.seen(), waiting).expect("no thread panics while it holds this");
        seen.broken.as_ref().map_or(Ok(()), |why| Err(Failure::Server(format!("publishing: {why}"))))
    }

    fn read(&self, mut reader: BufReader<TcpStream>) {
        loop {
            let answer = answer(&mut reader);
            let mut seen = self.seen();
            match answer {
                Ok(()) => seen.number += 1,
                Err(error) => seen.broken = Some(error.to_string()),
            }
            let broken = seen.broken.is_some();
            drop(seen);
            self.more.notify_one();
            if broken {
                return;
            }
        }
    }
}

/// Reads one response with a length and skips its body; an error unless its status is 2xx.
fn answer(reader: &mut BufReader<TcpStream>) -> io::Result<()> {
    let mut status = String::new();
    reader.read_line(&mut status)?;
    if !status.starts_with("HTTP/1.1 2") {
        return Err(io::Error::other(format!("answered {:?}", status.trim_end())));
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(())
}

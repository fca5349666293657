//! Reads one stream: response head, transfer coding, event-stream lines. Incremental, and it skips nothing unseen.

use memchr::{memchr, memmem};

use crate::client::Opening;
use crate::client::chunked::Chunked;
use crate::payload::{EVENT_NAME, Payload};

/// What a block of the stream means to the benchmark. Blocks without data (heartbeats) mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The opening event: from here on every event published must arrive.
    Connected,
    Event(Payload),
    /// The server says that events are missing.
    Gap,
}

/// The bytes are not the stream that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("answered {0:?}")]
    Refused(String),
    #[error("the head does not announce an event stream")]
    NotAStream,
    #[error("the head is longer than {MAX_HEAD} bytes")]
    HeadTooLong,
    #[error("the chunked coding is broken")]
    Chunk,
    #[error("an event that nobody published")]
    UnknownEvent,
    #[error("an event without an id")]
    NoId,
}

const MAX_HEAD: usize = 16 * 1024;

/// The reading state of one connection. Its buffer holds only a head or a line that is not complete yet.
pub struct Reader {
    opening: Opening,
    framing: Framing,
    partial: Vec<u8>,
    block: Block,
}

/// What stands between the connection's bytes and the body (RFC 9112 §6.3).
#[derive(Default)]
enum Framing {
    /// The head is not complete.
    #[default]
    Unknown,
    Chunked(Chunked),
    /// None: the body ends with the connection.
    Close,
}

impl Reader {
    pub fn new(opening: Opening) -> Self {
        Self { opening, framing: Framing::default(), partial: Vec::new(), block: Block::default() }
    }

    /// Takes the next bytes of the connection and tells `sink` of each block that they complete.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(Signal)) -> Result<(), Malformed> {
        if !matches!(self.framing, Framing::Unknown) {
            return self.body(bytes, sink);
        }
        self.partial.extend_from_slice(bytes);
        let Some(end) = memmem::find(&self.partial, b"\r\n\r\n") else {
            return if self.partial.len() > MAX_HEAD { Err(Malformed::HeadTooLong) } else { Ok(()) };
        };
        let received = std::mem::take(&mut self.partial);
        self.framing = framing(&received[..end])?;
        if self.opening == Opening::Head {
            sink(Signal::Connected);
        }
        self.body(&received[end + 4..], sink)
    }

    /// Whether the server has ended the response by its last chunk.
    pub fn ended(&self) -> bool {
        matches!(self.framing, Framing::Chunked(chunked) if chunked.ended())
    }

    fn body(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(Signal)) -> Result<(), Malformed> {
        loop {
            let piece = match &mut self.framing {
                Framing::Chunked(chunked) => chunked.piece(&mut bytes)?,
                Framing::Unknown | Framing::Close => Some(std::mem::take(&mut bytes)).filter(|rest| !rest.is_empty()),
            };
            let Some(piece) = piece else { return Ok(()) };
            self.lines(piece, sink)?;
        }
    }

    fn lines(&mut self, mut piece: &[u8], sink: &mut impl FnMut(Signal)) -> Result<(), Malformed> {
        while let Some(end) = memchr(b'\n', piece) {
            let line = &piece[..end];
            piece = &piece[end + 1..];
            let signal = if self.partial.is_empty() {
                self.block.line(line)?
            } else {
                self.partial.extend_from_slice(line);
                let signal = self.block.line(&self.partial)?;
                self.partial.clear();
                signal
            };
            if let Some(signal) = signal {
                sink(signal);
            }
        }
        self.partial.extend_from_slice(piece);
        Ok(())
    }
}

fn framing(head: &[u8]) -> Result<Framing, Malformed> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200") {
        return Err(Malformed::Refused(status.into()));
    }
    let (mut chunked, mut stream) = (false, false);
    for line in lines {
        let line = line.to_ascii_lowercase();
        chunked |= line.starts_with("transfer-encoding:") && line.ends_with("chunked");
        stream |= line.starts_with("content-type:") && line.contains("text/event-stream");
    }
    match (stream, chunked) {
        (false, _) => Err(Malformed::NotAStream),
        (true, true) => Ok(Framing::Chunked(Chunked::default())),
        (true, false) => Ok(Framing::Close),
    }
}

/// The lines of a block so far, WHATWG HTML §9.2.6 as far as servers under test use it (LF line ends, one data line).
#[derive(Default)]
struct Block {
    name: Name,
    data: Data,
    has_id: bool,
}

#[derive(Default)]
enum Name {
    #[default]
    Other,
    Bench,
    Connected,
    Gap,
}

#[derive(Default)]
enum Data {
    #[default]
    None,
    Payload(Payload),
    Other,
}

impl Block {
    fn line(&mut self, line: &[u8]) -> Result<Option<Signal>, Malformed> {
        if line.is_empty() {
            return std::mem::take(self).dispatch();
        }
        let colon = memchr(b':', line).unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"data" => {
                self.data = match (&self.data, Payload::read(value)) {
                    (Data::None, Some(payload)) => Data::Payload(payload),
                    _ => Data::Other,
                }
            }
            b"event" if value == EVENT_NAME.as_bytes() => self.name = Name::Bench,
            b"event" if value == b"connected" => self.name = Name::Connected,
            b"event" if value == b"gap" => self.name = Name::Gap,
            b"event" => self.name = Name::Other,
            b"id" => self.has_id = !value.is_empty(),
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(self) -> Result<Option<Signal>, Malformed> {
        match (self.name, self.data) {
            (_, Data::None) => Ok(None),
            (Name::Bench, Data::Payload(_)) if !self.has_id => Err(Malformed::NoId),
            (Name::Bench, Data::Payload(payload)) => Ok(Some(Signal::Event(payload))),
            (Name::Connected, Data::Other) => Ok(Some(Signal::Connected)),
            (Name::Gap, Data::Other) => Ok(Some(Signal::Gap)),
            _ => Err(Malformed::UnknownEvent),
        }
    }
}

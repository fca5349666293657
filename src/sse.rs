//! The bytes of an event stream (WHATWG HTML §9.2): each block encoded once, framed as one HTTP/1.1 chunk; knows no HTTP type and no socket.

use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;

use crate::event::{EventId, EventName};

/// One block of an event stream, ready to be sent to any number of browsers. A clone shares the bytes.
///
/// It is kept with its chunk framing (RFC 9112 §7.1), so that a socket can take it as it is; `payload` is the block alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    chunk: Bytes,
    /// Length of the chunk's size line; the block lies between it and the last CRLF.
    head: u8,
}

/// Room for the size line: the hexadecimal digits of a `usize` and CRLF.
const HEAD_ROOM: usize = 2 * size_of::<usize>() + 2;

impl Frame {
    /// The block with its chunk framing.
    #[must_use]
    pub const fn chunk(&self) -> &Bytes {
        &self.chunk
    }

    /// The block alone.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.chunk.slice(usize::from(self.head)..self.chunk.len() - 2)
    }

    /// The blocks of several frames as one frame.
    #[must_use]
    pub fn merge<'a>(frames: impl Iterator<Item = &'a Self> + Clone) -> Self {
        let expected = frames.clone().map(Self::size).sum();
        Self::build(expected, |out| {
            for frame in frames {
                out.extend_from_slice(frame.block());
            }
        })
    }

    /// What follows the last frame of a chunked body; its block is empty.
    #[must_use]
    pub const fn last() -> Self {
        Self { chunk: Bytes::from_static(b"0\r\n\r\n"), head: 3 }
    }

    /// Bytes that are sent as they are, for what precedes the first block; they have no payload of their own.
    #[must_use]
    pub const fn verbatim(bytes: Bytes) -> Self {
        Self { chunk: bytes, head: 0 }
    }

    fn block(&self) -> &[u8] {
        &self.chunk[usize::from(self.head)..self.chunk.len() - 2]
    }

    /// Length of the block with its chunk framing, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.chunk.len()
    }

    fn build(expected: usize, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_ROOM + expected + 2);
        bytes.resize(HEAD_ROOM, 0);
        write(&mut bytes);
        let size_line = format!("{:x}\r\n", bytes.len() - HEAD_ROOM);
        let start = HEAD_ROOM - size_line.len();
        bytes[start..HEAD_ROOM].copy_from_slice(size_line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        let head = u8::try_from(size_line.len()).expect("a size line is at most HEAD_ROOM bytes");
        Self { chunk: Bytes::from(bytes).slice(start..), head }
    }
}

/// An event. `data` is UTF-8 text; each kind of line break in it (CRLF, LF, CR) starts a new `data:` line.
#[must_use]
pub fn event(id: EventId, name: &EventName, data: &[u8]) -> Frame {
    Frame::build(data.len() + name.as_str().len() + 64, |out| {
        field(out, "id", id);
        named_data(out, name.as_str(), data);
        out.push(b'\n');
    })
}

/// An event of this program's own that has no place in the order: a browser keeps its last event id. `json` is one line.
#[must_use]
pub fn notice(name: &str, json: &str) -> Frame {
    Frame::build(json.len() + name.len() + 32, |out| {
        named_data(out, name, json.as_bytes());
        out.push(b'\n');
    })
}

/// The opening block: reconnection time, position and the `connected` event together, since some clients
/// dispatch an empty event for a block that has no data.
#[must_use]
pub fn connected(retry: Duration, id: impl Display, json: &str) -> Frame {
    Frame::build(json.len() + 128, |out| {
        field(out, "retry", retry.as_millis());
        field(out, "id", id);
        named_data(out, "connected", json.as_bytes());
        out.push(b'\n');
    })
}

/// A heartbeat that dispatches nothing: a comment, and the position as the browser's new last event id.
#[must_use]
pub fn heartbeat(id: EventId) -> Frame {
    Frame::build(64, |out| {
        out.extend_from_slice(b":\n");
        field(out, "id", id);
        out.push(b'\n');
    })
}

/// A heartbeat that says nothing about the position: for a stream that does not have one yet.
#[must_use]
pub fn sign_of_life() -> Frame {
    Frame::build(2, |out| out.extend_from_slice(b":\n"))
}

/// A heartbeat that dispatches an event, for pages that watch for it.
#[must_use]
pub fn heartbeat_event(id: EventId, name: &str) -> Frame {
    event(id, &EventName::new(name), b"{}")
}

/// The last block of a stream that is to be taken up again after `retry`.
#[must_use]
pub fn farewell(retry: Duration) -> Frame {
    Frame::build(32, |out| {
        field(out, "retry", retry.as_millis());
        out.push(b'\n');
    })
}

/// `value` must not contain a line break; every caller passes a number, an event id or a checked text.
fn field(out: &mut Vec<u8>, name: &str, value: impl Display) {
    writeln!(out, "{name}: {value}").expect("writing to a Vec cannot fail");
}

fn named_data(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    if name != EventName::MESSAGE {
        field(out, "event", name);
    }
    let mut rest = data;
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        data_line(out, &rest[..end]);
        rest = rest[end..].strip_prefix(b"\r\n").unwrap_or(&rest[end + 1..]);
    }
    data_line(out, rest);
}

fn data_line(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(line);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Mark, Position};

    const ID: EventId = EventId { mark: Mark(10), position: Position::at(7) };

    #[test]
    fn an_event_has_id_name_and_data() {
        let frame = event(ID, &EventName::new("hello"), b"{\"a\":1}");
        assert_eq!(&frame.payload()[..], b"id: a-7\nevent: hello\ndata: {\"a\":1}\n\n");
    }

    #[test]
    fn a_chunk_is_the_payload_with_its_length() {
        let frame = event(ID, &EventName::new("message"), b"x");
        assert_eq!(&frame.chunk()[..], b"11\r\nid: a-7\ndata: x\n\n\r\n");
        assert_eq!(frame.size(), frame.chunk().len());
    }

    #[test]
    fn merged_frames_are_one_chunk_of_all_their_blocks() {
        let frames = [heartbeat(ID), farewell(Duration::from_secs(2)), Frame::last()];
        let merged = Frame::merge(frames.iter());
        assert_eq!(&merged.chunk()[..], b"18\r\n:\nid: a-7\n\nretry: 2000\n\n\r\n");
        assert_eq!(Frame::last().payload(), "");
    }

    #[test]
    fn every_kind_of_line_break_starts_a_data_line() {
        let frame = event(ID, &EventName::new(""), b"a\r\nb\rc\nd\n\r");
        assert_eq!(&frame.payload()[..], b"id: a-7\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: \n\n");
    }

    #[test]
    fn an_empty_body_is_an_event_without_text() {
        assert_eq!(&event(ID, &EventName::new("e"), b"").payload()[..], b"id: a-7\nevent: e\ndata: \n\n");
    }

    #[test]
    fn the_opening_is_one_block() {
        let frame = connected(Duration::from_millis(1500), ID, "{}");
        assert_eq!(&frame.payload()[..], b"retry: 1500\nid: a-7\nevent: connected\ndata: {}\n\n");
    }

    #[test]
    fn a_heartbeat_moves_the_position_and_dispatches_nothing() {
        assert_eq!(&heartbeat(ID).payload()[..], b":\nid: a-7\n\n");
        assert_eq!(&heartbeat_event(ID, "ping").payload()[..], b"id: a-7\nevent: ping\ndata: {}\n\n");
        assert_eq!(&farewell(Duration::from_secs(2)).payload()[..], b"retry: 2000\n\n");
    }
}

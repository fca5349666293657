//! The encoder of event streams against decoders written from the standards alone: whatever is sent is what a browser dispatches.

#[allow(dead_code, unreachable_pub, reason = "shared by test binaries that each use a part")]
#[path = "support/chunked.rs"]
mod chunked;
#[allow(dead_code, unreachable_pub, reason = "shared by test binaries that each use a part")]
#[path = "support/eventsource_decoder.rs"]
mod eventsource_decoder;

use std::time::Duration;

use cottontail::event::{EventId, EventName, Mark, Position};
use cottontail::sse::{self, Frame};
use proptest::collection::vec;
use proptest::prelude::*;

use chunked::ChunkedDecoder;
use eventsource_decoder::{EventSourceDecoder, Message, Observed};

const ID: EventId = EventId { mark: Mark(0xCAFE), position: Position::at(7) };
const MEBIBYTE: usize = 1 << 20;

/// One call of the encoder.
#[derive(Clone, Debug)]
enum Sent {
    Event(EventId, String, String),
    Connected(u64, EventId, String),
    Heartbeat(EventId),
    HeartbeatEvent(EventId, String),
    Farewell(u64),
}

impl Sent {
    fn encode(&self) -> Frame {
        match self {
            Self::Event(id, name, data) => sse::event(*id, &EventName::new(name), data.as_bytes()),
            Self::Connected(retry, id, json) => sse::connected(Duration::from_millis(*retry), id, json),
            Self::Heartbeat(id) => sse::heartbeat(*id),
            Self::HeartbeatEvent(id, name) => sse::heartbeat_event(*id, name),
            Self::Farewell(retry) => sse::farewell(Duration::from_millis(*retry)),
        }
    }

    /// What a browser makes of it whose last event id is `last_id`, which moves on.
    fn expected(&self, last_id: &mut String) -> Vec<Observed> {
        let mut message = |id: &EventId, name: &str, data: &str| {
            *last_id = id.to_string();
            let (name, data) = (expected_name(name), expected_data(data));
            Observed::Message(Message { name, data, last_event_id: last_id.clone() })
        };
        match self {
            Self::Event(id, name, data) => vec![message(id, name, data)],
            Self::Connected(retry, id, json) => vec![Observed::Retry(*retry), message(id, "connected", json)],
            Self::HeartbeatEvent(id, name) => vec![message(id, name, "{}")],
            Self::Farewell(retry) => vec![Observed::Retry(*retry)],
            Self::Heartbeat(id) => {
                let before = std::mem::replace(last_id, id.to_string());
                let moved = (before != *last_id).then(|| Observed::Position(last_id.clone()));
                [Observed::Comment(String::new())].into_iter().chain(moved).collect()
            }
        }
    }
}

/// Every kind of line break is one LF to a browser, and nothing else changes (WHATWG HTML §9.2.6).
fn expected_data(data: &str) -> String {
    data.replace("\r\n", "\n").replace('\r', "\n")
}

/// Line breaks and NUL are replaced one by one; without a name an event is a `message`.
fn expected_name(name: &str) -> String {
    let name: String = name.chars().map(|c| if "\r\n\0".contains(c) { '\u{FFFD}' } else { c }).collect();
    if name.is_empty() { "message".into() } else { name }
}

fn decode(pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Observed> {
    let mut decoder = EventSourceDecoder::new();
    let observed = pieces.into_iter().flat_map(|piece| decoder.feed(piece.as_ref())).collect();
    assert!(decoder.is_between_blocks(), "a frame is a whole block");
    observed
}

/// `bytes` in pieces of these sizes, again from the first size when they run out.
fn cut<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut sizes = sizes.iter().cycle();
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let size = sizes.next().copied().unwrap_or(bytes.len()).clamp(1, bytes.len());
        let (piece, rest) = bytes.split_at(size);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn dispatched(name: &str, data: &str) -> Observed {
    Observed::Message(Message { name: name.into(), data: data.into(), last_event_id: ID.to_string() })
}

/// Texts made of what could be taken for the format's own syntax, among others.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(vec![
            "\r", "\n", "\r\n", "\n\n", "\0", "\u{FEFF}", " ", "  ", ":", "data: forged", "id: 9", "event: forged",
            "retry: 1", "data", "\u{2028}", "\u{85}", "\u{1F430}", "h\u{e9}llo",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[ -~]{0,300}",
    ];
    vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn id() -> impl Strategy<Value = EventId> {
    let any_id = any::<(u64, u64, u16)>()
        .prop_map(|(mark, offset, part)| EventId { mark: Mark(mark), position: Position { offset, part } });
    // Often the same one again, since a heartbeat of a quiet stream moves nothing.
    prop_oneof![Just(ID), any_id]
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        4 => (id(), text(), text()).prop_map(|(id, name, data)| Sent::Event(id, name, data)),
        1 => (any::<u64>(), id(), text()).prop_map(|(retry, id, json)| Sent::Connected(retry, id, json)),
        1 => id().prop_map(Sent::Heartbeat),
        1 => (id(), text()).prop_map(|(id, name)| Sent::HeartbeatEvent(id, name)),
        1 => any::<u64>().prop_map(Sent::Farewell),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_body_reaches_the_browser_with_its_line_breaks_as_lf_and_nothing_else_changed(
        id in id(), name in text(), data in text(), sizes in vec(1usize..40, 1..8),
    ) {
        let payload = sse::event(id, &EventName::new(&name), data.as_bytes()).payload();
        let message = Message {
            name: expected_name(&name),
            data: expected_data(&data),
            last_event_id: id.to_string(),
        };
        prop_assert_eq!(decode(cut(&payload, &sizes)), vec![Observed::Message(message)]);
    }

    #[test]
    fn many_frames_in_a_row_decode_to_the_sequence_wherever_the_bytes_are_cut(
        sequence in vec(sent(), 0..24), sizes in vec(1usize..200, 1..8),
    ) {
        let frames: Vec<Frame> = sequence.iter().map(Sent::encode).collect();
        let mut last_id = String::new();
        let expected: Vec<Observed> = sequence.iter().flat_map(|sent| sent.expected(&mut last_id)).collect();
        let wire = frames.iter().flat_map(|frame| frame.chunk().to_vec()).chain(Frame::last().chunk().to_vec());
        let wire: Vec<u8> = wire.collect();

        let mut chunks = ChunkedDecoder::new();
        let bodies: Vec<Vec<u8>> =
            cut(&wire, &sizes).into_iter().map(|piece| chunks.feed(piece).expect("well-formed chunks")).collect();
        prop_assert!(chunks.is_done());
        prop_assert_eq!(decode(bodies), expected);
    }

    #[test]
    fn one_frame_is_one_chunk_that_holds_its_payload(sent in sent()) {
        let frame = sent.encode();
        prop_assert_eq!(frame.size(), frame.chunk().len());
        let mut chunks = ChunkedDecoder::new();
        prop_assert_eq!(chunks.feed(frame.chunk()).expect("well-formed"), frame.payload().to_vec());
        prop_assert!(!chunks.is_done(), "an empty chunk would end the stream");
        // One chunk: with its size line and last CRLF away, the payload is what is left.
        let chunk = frame.chunk();
        let size_line = chunk.iter().position(|&byte| byte == b'\n').expect("a size line") + 1;
        prop_assert_eq!(&chunk[size_line..chunk.len() - 2], &frame.payload()[..]);
    }
}

#[test]
fn a_character_cut_anywhere_is_whole_again() {
    let data = "\u{1F430}\r\n\u{1F469}\u{200D}\u{1F33E}\r\u{e9}";
    let payload = sse::event(ID, &EventName::new("\u{1F955}"), data.as_bytes()).payload();
    let expected = vec![dispatched("\u{1F955}", "\u{1F430}\n\u{1F469}\u{200D}\u{1F33E}\n\u{e9}")];
    for at in 0..=payload.len() {
        assert_eq!(decode([&payload[..at], &payload[at..]]), expected, "cut at {at}");
    }
    assert_eq!(decode(cut(&payload, &[1])), expected);
}

#[test]
fn lines_of_a_mebibyte_survive() {
    let line = "\u{1F430}".repeat(MEBIBYTE / 4);
    for (data, expected) in [
        (line.clone(), line.clone()),
        (format!("{line}\r\n{line}\r{line}\n"), format!("{line}\n{line}\n{line}\n")),
        ("\r\n".repeat(MEBIBYTE / 2), "\n".repeat(MEBIBYTE / 2)),
    ] {
        let frame = sse::event(ID, &EventName::new("big"), data.as_bytes());
        let mut chunks = ChunkedDecoder::new();
        let body = chunks.feed(frame.chunk()).expect("well-formed");
        // No `assert_eq`: a failure would print megabytes.
        assert!(decode(cut(&body, &[1460])) == [dispatched("big", &expected)], "{} bytes", data.len());
    }
}

#[test]
fn a_mark_a_space_or_nothing_at_the_start_of_a_body_is_kept() {
    for data in ["", " ", "  x", "\u{FEFF}", "\u{FEFF}\u{FEFF}x", "\0", ":", "data: x", "\n", "\n\n"] {
        let payload = sse::event(ID, &EventName::new("message"), data.as_bytes()).payload();
        assert_eq!(decode([payload]), [dispatched("message", data)], "{data:?}");
    }
}

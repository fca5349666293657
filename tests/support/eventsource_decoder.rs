//! A decoder of event streams written from the WHATWG text alone (HTML Living Standard §9.2.5 and §9.2.6); it shares nothing with the encoder it judges.

/// What a browser would dispatch: `name` is the event's type, `last_event_id` its `lastEventId`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub name: String,
    pub data: String,
    pub last_event_id: String,
}

/// What one line or one blank line did, in the order of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// A comment, without its colon; invisible to a browser.
    Comment(String),
    /// A new reconnection time in milliseconds.
    Retry(u64),
    /// A blank line that dispatched nothing but set the last event id to a new value.
    Position(String),
    Message(Message),
}

/// Takes the bytes of one response body in pieces of any size.
#[derive(Debug, Default)]
pub struct EventSourceDecoder {
    /// Bytes of the line that has not ended yet.
    line: Vec<u8>,
    /// The last byte was a CR, so an LF that follows belongs to the same line end.
    after_carriage_return: bool,
    /// The first line may start with a byte order mark; later ones keep it.
    past_first_line: bool,
    data: String,
    event_type: String,
    id_buffer: String,
    last_event_id: String,
    retry: Option<u64>,
}

impl EventSourceDecoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// The id that a reconnection would send; the empty text means none.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The reconnection time in milliseconds, once the stream has set one.
    pub fn retry(&self) -> Option<u64> {
        self.retry
    }

    /// Whether the stream could end here without losing a started block.
    pub fn is_between_blocks(&self) -> bool {
        self.line.is_empty()
            && self.data.is_empty()
            && self.event_type.is_empty()
            && self.id_buffer == self.last_event_id
    }

    /// Reads on; a block that is still open at the end of the stream is never dispatched (§9.2.6).
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Observed> {
        let mut seen = Vec::new();
        for &byte in bytes {
            let after_carriage_return = std::mem::replace(&mut self.after_carriage_return, byte == b'\r');
            match byte {
                b'\n' if after_carriage_return => {}
                b'\r' | b'\n' => seen.extend(self.end_line()),
                _ => self.line.push(byte),
            }
        }
        seen
    }

    fn end_line(&mut self) -> Option<Observed> {
        let bytes = std::mem::take(&mut self.line);
        let mut rest = bytes.as_slice();
        if !std::mem::replace(&mut self.past_first_line, true) {
            rest = rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(rest);
        }
        let line = String::from_utf8_lossy(rest);
        if line.is_empty() {
            return self.dispatch();
        }
        match line.split_once(':') {
            Some(("", comment)) => Some(Observed::Comment(comment.to_owned())),
            Some((field, value)) => self.process_field(field, value.strip_prefix(' ').unwrap_or(value)),
            None => self.process_field(&line, ""),
        }
    }

    fn process_field(&mut self, field: &str, value: &str) -> Option<Observed> {
        match field {
            "event" => value.clone_into(&mut self.event_type),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id_buffer),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                let milliseconds = value.parse().unwrap_or(u64::MAX);
                self.retry = Some(milliseconds);
                return Some(Observed::Retry(milliseconds));
            }
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Observed> {
        let moved = self.last_event_id != self.id_buffer;
        self.id_buffer.clone_into(&mut self.last_event_id);
        let mut data = std::mem::take(&mut self.data);
        let event_type = std::mem::take(&mut self.event_type);
        if data.is_empty() {
            return moved.then(|| Observed::Position(self.last_event_id.clone()));
        }
        data.pop();
        let name = if event_type.is_empty() { "message".to_owned() } else { event_type };
        Some(Observed::Message(Message { name, data, last_event_id: self.last_event_id.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(stream: &[u8]) -> Vec<Observed> {
        EventSourceDecoder::new().feed(stream)
    }

    fn message(name: &str, data: &str, id: &str) -> Observed {
        Observed::Message(Message { name: name.into(), data: data.into(), last_event_id: id.into() })
    }

    #[test]
    fn the_examples_of_the_standard_decode_as_it_says() {
        assert_eq!(decode(b"data: YHOO\ndata: +2\ndata: 10\n\n"), [message("message", "YHOO\n+2\n10", "")]);
        assert_eq!(
            decode(b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"),
            [
                Observed::Comment(" test stream".into()),
                message("message", "first event", "1"),
                message("message", "second event", ""),
                message("message", " third event", ""),
            ]
        );
        assert_eq!(decode(b"data\n\ndata\ndata\n\ndata:"), [message("message", "", ""), message("message", "\n", "")]);
        assert_eq!(
            decode(b"data:test\n\ndata: test\n\n"),
            [message("message", "test", ""), message("message", "test", "")]
        );
    }

    #[test]
    fn a_byte_order_mark_is_dropped_only_at_the_start() {
        assert_eq!(decode(b"\xEF\xBB\xBFdata:a\n\n"), [message("message", "a", "")]);
        assert_eq!(decode(b"data:a\n\xEF\xBB\xBFdata:b\n\n"), [message("message", "a", "")]);
        assert_eq!(decode(b"\xEF\xBB\xBF\xEF\xBB\xBFdata:a\n\n"), []);
    }

    #[test]
    fn every_kind_of_line_end_ends_one_line() {
        assert_eq!(decode(b"data:a\rdata:b\r\ndata:c\n\r\n"), [message("message", "a\nb\nc", "")]);
        assert_eq!(decode(b"data:a\r\r"), [message("message", "a", "")]);
        assert_eq!(decode(b"data:a\r\n\r\ndata:b\n\n"), [message("message", "a", ""), message("message", "b", "")]);
    }

    #[test]
    fn an_id_without_data_moves_the_position_and_dispatches_nothing() {
        let mut decoder = EventSourceDecoder::new();
        assert_eq!(decoder.feed(b"id:7\nevent:x\n"), []);
        assert_eq!(decoder.last_event_id(), "", "an id counts only from its blank line on");
        assert_eq!(decoder.feed(b"\n"), [Observed::Position("7".into())]);
        assert_eq!(decoder.last_event_id(), "7");
        assert_eq!(decoder.feed(b"data:a\n\n"), [message("message", "a", "7")]);
    }

    #[test]
    fn an_id_with_nul_is_ignored_and_an_empty_one_resets() {
        assert_eq!(
            decode(b"id:1\ndata:a\n\nid:2\0\ndata:b\n\nid:\ndata:c\n\n"),
            [message("message", "a", "1"), message("message", "b", "1"), message("message", "c", "")]
        );
    }

    #[test]
    fn retry_takes_digits_only() {
        assert_eq!(decode(b"retry:250\nretry: 30\n"), [Observed::Retry(250), Observed::Retry(30)]);
        assert_eq!(decode(b"retry:-1\nretry:1s\nretry:\nretry\nretry:  1\nretry:1.5\n"), []);
    }

    #[test]
    fn field_names_are_literal_and_unknown_ones_are_ignored() {
        assert_eq!(decode(b"Data:a\n data:b\nfoo:c\n\ndata:d\nevent:e\n\n"), [message("e", "d", "")]);
        assert_eq!(decode(b"event:a\nevent:b\ndata:c:d\n\n"), [message("b", "c:d", "")]);
    }

    #[test]
    fn an_open_block_at_the_end_is_not_dispatched() {
        let mut decoder = EventSourceDecoder::new();
        assert_eq!(decoder.feed(b"id:1\ndata:a\n"), []);
        assert!(!decoder.is_between_blocks());
        assert_eq!(decoder.last_event_id(), "");
    }

    #[test]
    fn bytes_that_are_not_utf_8_become_replacement_characters() {
        assert_eq!(decode(b"data:\xFFa\xE2\x82\n\n"), [message("message", "\u{FFFD}a\u{FFFD}", "")]);
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            lines in proptest::collection::vec("(data|id|event|retry|:|x)?:? ?[a-c0-9\u{FEFF}\u{e9}\0]{0,4}(\r|\n|\r\n)", 0..24),
            cuts in proptest::collection::vec(0usize..200, 0..12),
        ) {
            let stream = lines.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let mut decoder = EventSourceDecoder::new();
            let pieces: Vec<Observed> =
                cuts.windows(2).flat_map(|ends| decoder.feed(&stream[ends[0]..ends[1]])).collect();
            let mut whole = EventSourceDecoder::new();
            prop_assert_eq!(pieces, whole.feed(&stream));
            prop_assert_eq!(decoder.last_event_id(), whole.last_event_id());
        }
    }
}

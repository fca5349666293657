//! An event stream's bytes into its blocks (WHATWG HTML §9.2.6), as far as the doctor looks at them; pure.

/// A block that is longer is no longer looked at.
const LONGEST_BLOCK: usize = 1 << 20;

/// What stood between two empty lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) event: String,
    pub(super) data: Option<String>,
    pub(super) id: Option<String>,
    pub(super) retry: bool,
    pub(super) comment: bool,
}

impl Block {
    /// A sign of life that dispatches nothing.
    pub(super) const fn is_heartbeat(&self) -> bool {
        self.comment && self.data.is_none()
    }

    /// What Cottontail says before it ends a stream itself.
    pub(super) const fn is_farewell(&self) -> bool {
        self.retry && self.data.is_none()
    }
}

/// Takes bytes as they come and gives blocks as they are whole. Lines end with LF or CRLF, as Cottontail and proxies write them.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    line: Vec<u8>,
    block: Block,
    size: usize,
}

impl Blocks {
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Block> {
        let mut whole = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line)).into_owned();
                if text.is_empty() {
                    self.size = 0;
                    let block = std::mem::take(&mut self.block);
                    whole.extend((block != Block::default()).then_some(block));
                } else {
                    self.block.take(&text);
                }
            } else if self.size < LONGEST_BLOCK {
                self.size += 1;
                self.line.push(*byte);
            }
        }
        whole
    }
}

impl Block {
    fn take(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "" => self.comment = true,
            "event" => value.clone_into(&mut self.event),
            "id" => self.id = Some(value.to_owned()),
            "retry" => self.retry = true,
            "data" => {
                let data = self.data.get_or_insert_default();
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::EventId;
    use crate::sse;

    #[test]
    fn what_cottontail_writes_is_read_in_whichever_pieces_it_comes() {
        let opening = sse::connected(Duration::from_secs(1), "e-1", "{\"user\":\"ü\"}").payload();
        let heartbeat = sse::heartbeat(EventId::default()).payload();
        let farewell = sse::farewell(Duration::from_secs(1)).payload();
        let bytes = [opening, heartbeat, farewell].concat();
        let (mut at_once, mut bytewise) = (Blocks::default(), Blocks::default());
        let found = at_once.feed(&bytes);
        let one_by_one: Vec<Block> = bytes.iter().flat_map(|byte| bytewise.feed(&[*byte])).collect();
        assert_eq!(found, one_by_one);
        assert_eq!((found[0].event.as_str(), found[0].data.as_deref()), ("connected", Some("{\"user\":\"ü\"}")));
        assert_eq!(found[0].id.as_deref(), Some("e-1"));
        assert!(found[1].is_heartbeat() && !found[1].is_farewell());
        assert!(found[2].is_farewell() && found.len() == 3);
    }

    #[test]
    fn a_page_is_no_block_and_an_endless_line_takes_no_memory() {
        let mut blocks = Blocks::default();
        assert_eq!(blocks.feed(b"<html>\r\n<body>\r\n"), []);
        for _ in 0..40 {
            blocks.feed(&vec![b'x'; 1 << 16]);
        }
        assert!(blocks.line.len() <= LONGEST_BLOCK);
    }
}

//! A strict, incremental decoder of the chunked transfer coding (RFC 9112 §7.1); leniency would hide a server's faults.

/// The bytes are not a well-formed chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a chunk size line that is not hexadecimal digits and an optional extension ended by CRLF")]
    Size,
    #[error("chunk data that is not followed by CRLF")]
    DataEnd,
    #[error("a trailer line that is not ended by CRLF")]
    Trailer,
    #[error("bytes after the end of the body")]
    Surplus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Data { left: usize },
    DataEnd,
    Trailers,
    Done,
}

/// Takes the bytes after the head in pieces of any size.
#[derive(Debug)]
pub struct ChunkedDecoder {
    state: State,
    pending: Vec<u8>,
}

/// A longer size or trailer line is refused, so that a broken server cannot make a test grow without end.
const MAX_LINE: usize = 4096;

impl ChunkedDecoder {
    pub fn new() -> Self {
        Self { state: State::Size, pending: Vec::new() }
    }

    /// Whether the last chunk and the end of the trailers have been seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Returns the body bytes that became available.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        self.pending.extend_from_slice(bytes);
        let mut body = Vec::new();
        loop {
            match self.state {
                State::Size => match self.take_line(Malformed::Size)? {
                    Some(line) => {
                        let left = chunk_size(&line)?;
                        self.state = if left == 0 { State::Trailers } else { State::Data { left } };
                    }
                    None => return Ok(body),
                },
                State::Data { left } => {
                    let taken = left.min(self.pending.len());
                    body.extend(self.pending.drain(..taken));
                    if taken < left {
                        self.state = State::Data { left: left - taken };
                        return Ok(body);
                    }
                    self.state = State::DataEnd;
                }
                State::DataEnd => {
                    if !b"\r\n".starts_with(&self.pending[..self.pending.len().min(2)]) {
                        return Err(Malformed::DataEnd);
                    }
                    if self.pending.len() < 2 {
                        return Ok(body);
                    }
                    self.pending.drain(..2);
                    self.state = State::Size;
                }
                State::Trailers => match self.take_line(Malformed::Trailer)? {
                    Some(line) if line.is_empty() => self.state = State::Done,
                    Some(_) => {}
                    None => return Ok(body),
                },
                State::Done if self.pending.is_empty() => return Ok(body),
                State::Done => return Err(Malformed::Surplus),
            }
        }
    }

    /// One line without its CRLF, once it is whole; a lone LF is a fault.
    fn take_line(&mut self, fault: Malformed) -> Result<Option<Vec<u8>>, Malformed> {
        let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') else {
            return if self.pending.len() > MAX_LINE { Err(fault) } else { Ok(None) };
        };
        let mut line: Vec<u8> = self.pending.drain(..=end).collect();
        line.pop();
        if line.pop() == Some(b'\r') && !line.contains(&b'\r') { Ok(Some(line)) } else { Err(fault) }
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, Malformed> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Malformed::Size);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Malformed::Size)?;
    usize::from_str_radix(text, 16).map_err(|_| Malformed::Size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<(Vec<u8>, bool), Malformed> {
        let mut decoder = ChunkedDecoder::new();
        let body = decoder.feed(bytes)?;
        Ok((body, decoder.is_done()))
    }

    #[test]
    fn a_whole_body_ends_with_its_last_chunk() {
        assert_eq!(decode(b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n"), Ok((b"abc0123456789".to_vec(), true)));
        assert_eq!(decode(b"0\r\nTrailer: x\r\n\r\n"), Ok((Vec::new(), true)));
        assert_eq!(decode(b"3\r\nabc\r\n0\r\n"), Ok((b"abc".to_vec(), false)), "the empty line is still missing");
    }

    #[test]
    fn cuts_anywhere_make_no_difference() {
        let mut decoder = ChunkedDecoder::new();
        let body: Vec<u8> =
            b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n".chunks(1).flat_map(|byte| decoder.feed(byte).unwrap()).collect();
        assert_eq!(body, b"abc");
        assert!(decoder.is_done());
    }

    #[test]
    fn malformed_bodies_are_named() {
        assert_eq!(decode(b"\r\n"), Err(Malformed::Size));
        assert_eq!(decode(b" 3\r\n"), Err(Malformed::Size));
        assert_eq!(decode(b"0x3\r\n"), Err(Malformed::Size));
        assert_eq!(decode(b"+3\r\nabc\r\n"), Err(Malformed::Size));
        assert_eq!(decode(b"3\nabc"), Err(Malformed::Size));
        assert_eq!(decode(b"fffffffffffffffff\r\n"), Err(Malformed::Size));
        assert_eq!(decode(b"3\r\nabcd"), Err(Malformed::DataEnd));
        assert_eq!(decode(b"3\r\nabc\n"), Err(Malformed::DataEnd));
        assert_eq!(decode(b"0\r\nTrailer: x\n"), Err(Malformed::Trailer));
        assert_eq!(decode(b"0\r\n\r\nHTTP/1.1"), Err(Malformed::Surplus));
    }
}

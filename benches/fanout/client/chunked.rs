//! The chunked transfer coding (RFC 9112 §7.1), receiving side: from bytes to pieces of the body. No extensions, no trailers.

use crate::client::reader::Malformed;

/// Where in a chunk the next byte stands.
#[derive(Clone, Copy, Default)]
pub struct Chunked {
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Size { value: usize, digits: u8 },
    SizeLf(usize),
    Data(usize),
    DataCr,
    DataLf,
    Ended,
}

impl Default for State {
    fn default() -> Self {
        Self::Size { value: 0, digits: 0 }
    }
}

impl Chunked {
    pub fn ended(self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// The next piece of the body that `input` holds, which is cut by what was read; `None` when more bytes are needed.
    pub fn piece<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        loop {
            if let State::Data(left) = self.state {
                let (piece, rest) = input.split_at(left.min(input.len()));
                *input = rest;
                self.state = if piece.len() == left { State::DataCr } else { State::Data(left - piece.len()) };
                return Ok(if piece.is_empty() { None } else { Some(piece) });
            }
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            if self.ended() {
                *input = &[];
                return Ok(None);
            }
            *input = rest;
            self.state = self.state.after(byte)?;
        }
    }
}

impl State {
    fn after(self, byte: u8) -> Result<Self, Malformed> {
        match (self, byte) {
            (Self::Size { digits: 1.., value }, b'\r') => Ok(Self::SizeLf(value)),
            (Self::Size { value, digits: digits @ 0..8 }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed::Chunk)?;
                Ok(Self::Size { value: value * 16 + digit as usize, digits: digits + 1 })
            }
            (Self::SizeLf(0), b'\n') => Ok(Self::Ended),
            (Self::SizeLf(size), b'\n') => Ok(Self::Data(size)),
            (Self::DataCr, b'\r') => Ok(Self::DataLf),
            (Self::DataLf, b'\n') => Ok(Self::default()),
            _ => Err(Malformed::Chunk),
        }
    }
}

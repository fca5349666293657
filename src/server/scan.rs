//! Follows the bytes of an HTTP/1.1 connection and finds what two parsers could read differently (RFC 9112 §11.2); pure.
//! What is plainly wrong is left to hyper, which refuses it.

/// The longest field name that matters here: `transfer-encoding`.
const LONGEST_NAME: usize = 17;

/// A byte that makes a message ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous {
    pub(crate) index: usize,
    /// The byte that, put in its place, makes hyper refuse the message.
    pub(crate) spoilt: u8,
}

/// Where in the stream of messages the next byte stands.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    place: Place,
    head: Head,
    /// The byte before was CR.
    after_cr: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The start line; nothing of it has come yet if `empty`.
    StartLine {
        empty: bool,
    },
    Name {
        length: usize,
    },
    Value(Field),
    Body {
        left: u64,
    },
    ChunkSize {
        size: u64,
        digits: u8,
    },
    ChunkExtension {
        size: u64,
    },
    Chunk {
        left: u64,
    },
    /// The CRLF behind a chunk.
    ChunkEnd,
    Trailer {
        empty: bool,
    },
    /// What follows may not be HTTP any more.
    Passing,
    /// Something was found; hyper will read nothing more.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    ContentLength,
    TransferEncoding,
    Upgrade,
    Other,
}

/// What the head so far says about the body.
#[derive(Clone, Debug, Default)]
struct Head {
    name: [u8; LONGEST_NAME],
    value: Value,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

/// The value of a field that frames the body, read as it comes.
#[derive(Clone, Copy, Debug, Default)]
struct Value {
    length: u64,
    /// Bytes of it that are not whitespace.
    count: usize,
    /// Whitespace came after them.
    ended: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { place: Place::StartLine { empty: true }, head: Head::default(), after_cr: false }
    }
}

impl Scanner {
    /// Goes over the next bytes; the first that makes the message ambiguous.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Option<Ambiguous> {
        let mut index = 0;
        while index < bytes.len() {
            match &mut self.place {
                Place::Passing | Place::Refused => return None,
                Place::Body { left } | Place::Chunk { left } => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - index);
                    *left -= length as u64;
                    index += length;
                    if *left == 0 {
                        let in_chunk = matches!(self.place, Place::Chunk { .. });
                        self.place = if in_chunk { Place::ChunkEnd } else { Place::StartLine { empty: true } };
                    }
                }
                Place::StartLine { .. }
                | Place::Name { .. }
                | Place::Value(_)
                | Place::ChunkSize { .. }
                | Place::ChunkExtension { .. }
                | Place::ChunkEnd
                | Place::Trailer { .. } => {
                    if !self.step(bytes[index]) {
                        // Heads and sizes hold no NUL; extensions are passed over up to a line's end of any kind.
                        let in_extension = matches!(self.place, Place::ChunkExtension { .. });
                        self.place = Place::Refused;
                        return Some(Ambiguous { index, spoilt: if in_extension { b'\n' } else { 0 } });
                    }
                    index += 1;
                }
            }
        }
        None
    }

    /// Whether `byte` has one meaning only.
    fn step(&mut self, byte: u8) -> bool {
        let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
        match byte {
            b'\n' => after_cr && self.line_end(),
            // A CR by itself is a line's end to some.
            _ if after_cr => false,
            b'\r' => true,
            _ => self.inside_line(byte),
        }
    }

    fn inside_line(&mut self, byte: u8) -> bool {
        match &mut self.place {
            Place::StartLine { empty } => {
                *empty = false;
                // A fragment is no part of a request's target, and would silently be dropped.
                byte != b'#'
            }
            Place::Name { length } => match byte {
                b':' => {
                    let field = self.head.field(*length);
                    self.place = Place::Value(field);
                    self.head.begin(field)
                }
                // Before the colon it hides a field from some; at a line's start it continues the line before for some.
                b' ' | b'\t' => false,
                _ => {
                    if let Some(place) = self.head.name.get_mut(*length) {
                        *place = byte.to_ascii_lowercase();
                    }
                    *length = length.saturating_add(1);
                    true
                }
            },
            Place::Value(field) => self.head.value(*field, byte),
            Place::ChunkSize { size, digits } => match (byte, char::from(byte).to_digit(16)) {
                (_, Some(digit)) if *digits < 16 => {
                    *size = *size << 4 | u64::from(digit);
                    *digits += 1;
                    true
                }
                (b';', _) if *digits > 0 => {
                    self.place = Place::ChunkExtension { size: *size };
                    true
                }
                _ => false,
            },
            Place::Trailer { empty } => {
                let folded = *empty && matches!(byte, b' ' | b'\t');
                *empty = false;
                !folded
            }
            Place::ChunkEnd => false,
            Place::ChunkExtension { .. }
            | Place::Body { .. }
            | Place::Chunk { .. }
            | Place::Passing
            | Place::Refused => true,
        }
    }

    fn line_end(&mut self) -> bool {
        self.place = match self.place {
            // RFC 9112 §2.2: an empty line before a request is let pass.
            Place::StartLine { empty: true } | Place::Trailer { empty: true } => Place::StartLine { empty: true },
            Place::StartLine { empty: false } => {
                self.head = Head::default();
                Place::Name { length: 0 }
            }
            Place::Name { length: 0 } => self.head.body(),
            Place::Value(field) if self.head.end(field) => Place::Name { length: 0 },
            // A line without a colon, without a value that it needs, or without a size.
            Place::Name { .. } | Place::Value(_) | Place::ChunkSize { digits: 0, .. } => return false,
            Place::ChunkSize { size: 0, .. } | Place::ChunkExtension { size: 0 } | Place::Trailer { empty: false } => {
                Place::Trailer { empty: true }
            }
            Place::ChunkSize { size, .. } | Place::ChunkExtension { size } => Place::Chunk { left: size },
            Place::ChunkEnd => Place::ChunkSize { size: 0, digits: 0 },
            Place::Body { .. } | Place::Chunk { .. } | Place::Passing | Place::Refused => self.place,
        };
        true
    }
}

impl Head {
    fn field(&self, length: usize) -> Field {
        match self.name.get(..length) {
            Some(b"content-length") => Field::ContentLength,
            Some(b"transfer-encoding") => Field::TransferEncoding,
            Some(b"upgrade") => Field::Upgrade,
            _ => Field::Other,
        }
    }

    /// Whether the body is framed once only; equal lengths said twice are refused like different ones.
    fn begin(&mut self, field: Field) -> bool {
        self.value = Value::default();
        self.upgrade |= field == Field::Upgrade;
        let frames = matches!(field, Field::ContentLength | Field::TransferEncoding);
        !frames || (self.length.is_none() && !self.chunked)
    }

    /// Whether one more byte of a value leaves its meaning clear: digits, or the one coding `chunked`.
    fn value(&mut self, field: Field, byte: u8) -> bool {
        let value = &mut self.value;
        if !matches!(field, Field::ContentLength | Field::TransferEncoding) {
            return true;
        }
        if matches!(byte, b' ' | b'\t') {
            value.ended = value.count > 0;
            return true;
        }
        let fits = if field == Field::ContentLength {
            let length =
                byte.is_ascii_digit().then(|| value.length.checked_mul(10)?.checked_add(u64::from(byte - b'0')));
            length.flatten().map(|length| value.length = length).is_some()
        } else {
            b"chunked".get(value.count).is_some_and(|expected| byte.eq_ignore_ascii_case(expected))
        };
        value.count += 1;
        fits && !value.ended
    }

    fn end(&mut self, field: Field) -> bool {
        match field {
            Field::ContentLength => self.length = Some(self.value.length),
            Field::TransferEncoding => self.chunked = true,
            Field::Upgrade | Field::Other => return true,
        }
        let expected = if field == Field::TransferEncoding { b"chunked".len() } else { 1 };
        self.value.count >= expected
    }

    /// What follows the head.
    fn body(&self) -> Place {
        if self.upgrade {
            // The server closes the connection, or it leaves HTTP.
            return Place::Passing;
        }
        match (self.chunked, self.length) {
            (true, _) => Place::ChunkSize { size: 0, digits: 0 },
            (false, None | Some(0)) => Place::StartLine { empty: true },
            (false, Some(left)) => Place::Body { left },
        }
    }
}

#[cfg(test)]
mod tests;

//! What the application answers to each path, and a browser's check that it is just that, however it is cut.

use memchr::memmem;

const KB: usize = 1 << 10;
const MAX_HEAD: usize = 16 * KB;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Small,
    Large,
    /// Answers that are wrong on purpose, which must be noticed: the body breaks off …
    Short,
    /// … or has one byte that is not its own …
    Altered,
    /// … or is that of an error.
    Refused,
}

impl Wanted {
    pub const ALL: [Self; 5] = [Self::Small, Self::Large, Self::Short, Self::Altered, Self::Refused];

    pub fn path(self) -> &'static str {
        match self {
            Self::Small => "/1k",
            Self::Large => "/100k",
            Self::Short => "/short",
            Self::Altered => "/altered",
            Self::Refused => "/refused",
        }
    }

    /// The body that is right.
    pub fn body(self) -> Vec<u8> {
        let size = if self == Self::Large { 100 * KB } else { KB };
        b"The quick brown fox jumps over the lazy dog. ".iter().copied().cycle().take(size).collect()
    }

    /// The bytes that the application sends, and whether the connection ends with them.
    pub fn sent(self) -> (Vec<u8>, bool) {
        let mut body = self.body();
        let status = if self == Self::Refused { "500 Internal Server Error" } else { "200 OK" };
        let mut answer = format!(
            "HTTP/1.1 {status}\r\nServer: application\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             ETag: \"5f-1994\"\r\nVary: Accept-Encoding\r\n\r\n",
            body.len()
        )
        .into_bytes();
        if self == Self::Altered {
            body[KB / 2] = b'!';
        }
        if self == Self::Short {
            body.truncate(KB / 2);
        }
        answer.extend(body);
        (answer, self == Self::Short)
    }

    /// A request as a browser sends it.
    pub fn request(self) -> Vec<u8> {
        format!(
            "GET {} HTTP/1.1\r\nHost: shop.example\r\n\
             User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
             Accept: application/json, */*;q=0.5\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate\r\n\
             Referer: http://shop.example/orders\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n",
            self.path()
        )
        .into_bytes()
    }
}

/// Why an answer is not the one that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("answered {0:?}")]
    Status(String),
    #[error("the head is longer than {MAX_HEAD} bytes")]
    HeadTooLong,
    #[error("the length of the body is said to be {0:?}")]
    Length(Option<usize>),
    #[error("the body is another one")]
    Body,
    #[error("there are bytes after the body")]
    Excess,
}

/// Reads one answer after another from the bytes of a connection.
pub struct Reader {
    body: Vec<u8>,
    /// A head that is not complete yet.
    head: Vec<u8>,
    /// Bytes of the body that were read, once the head is complete.
    read: Option<usize>,
}

impl Reader {
    pub fn new(wanted: Wanted) -> Self {
        Self { body: wanted.body(), head: Vec::new(), read: None }
    }

    /// Takes the next bytes; true when they complete an answer.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<bool, Wrong> {
        let Some(read) = self.read else { return self.feed_head(bytes) };
        let expected = self.body.get(read..read + bytes.len()).ok_or(Wrong::Excess)?;
        if bytes != expected {
            return Err(Wrong::Body);
        }
        let read = read + bytes.len();
        let complete = read == self.body.len();
        self.read = (!complete).then_some(read);
        Ok(complete)
    }

    fn feed_head(&mut self, bytes: &[u8]) -> Result<bool, Wrong> {
        self.head.extend_from_slice(bytes);
        let Some(end) = memmem::find(&self.head, b"\r\n\r\n") else {
            return if self.head.len() > MAX_HEAD { Err(Wrong::HeadTooLong) } else { Ok(false) };
        };
        let received = std::mem::take(&mut self.head);
        let head = String::from_utf8_lossy(&received[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap_or_default();
        if !status.starts_with("HTTP/1.1 200") {
            return Err(Wrong::Status(status.into()));
        }
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok());
        if length != Some(self.body.len()) {
            return Err(Wrong::Length(length));
        }
        self.read = Some(0);
        self.feed(&received[end + 4..])
    }
}

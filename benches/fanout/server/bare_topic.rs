//! The bytes that wait for the streams of one topic, kept once for all of them, and how far each stream has got.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};

/// Bytes that may be kept for streams that are behind before the log is searched for what all of them have got.
const TRIM_BYTES: usize = 1 << 20;

/// Ready chunks in order. Positions are counted in bytes from the first chunk ever pushed.
#[derive(Default)]
pub struct Log {
    bytes: Vec<u8>,
    start: u64,
    /// Where each kept chunk ends.
    ends: VecDeque<u64>,
    /// Keys of the streams of this topic.
    pub members: Vec<usize>,
    /// Whether the topic waits in the list of topics to flush.
    pub fed: bool,
}

/// How far one stream has got.
#[derive(Clone, Copy, Default)]
pub struct Progress {
    at: u64,
    /// The socket was full; it is written to again when it says that it has room.
    pub blocked: bool,
}

impl Log {
    pub fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        self.ends.push_back(self.end_at());
    }

    /// The progress of a stream that has got everything so far.
    pub fn end(&self) -> Progress {
        Progress { at: self.end_at(), blocked: false }
    }

    pub fn is_behind(&self, progress: Progress) -> bool {
        progress.at < self.end_at()
    }

    /// Writes what the stream has not got: all in one write when `merged`, otherwise one write per chunk.
    pub fn write_to(&self, socket: &mut impl Write, progress: &mut Progress, merged: bool) -> io::Result<()> {
        while self.is_behind(*progress) && !progress.blocked {
            let to = if merged { self.end_at() } else { self.end_of_chunk(progress.at) };
            match socket.write(&self.bytes[self.index(progress.at)..self.index(to)]) {
                Ok(written) => progress.at += written as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => progress.blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Forgets what nobody needs; `behind` are the streams that have not got everything.
    pub fn trim(&mut self, behind: impl Iterator<Item = Progress>) {
        let needed = behind.map(|progress| progress.at).min().unwrap_or(self.end_at());
        if needed == self.end_at() {
            self.bytes.clear();
            self.ends.clear();
        } else if self.bytes.len() > TRIM_BYTES {
            self.bytes.drain(..self.index(needed));
            while self.ends.front().is_some_and(|end| *end <= needed) {
                self.ends.pop_front();
            }
        } else {
            return;
        }
        self.start = needed;
    }

    fn end_at(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn end_of_chunk(&self, at: u64) -> u64 {
        self.ends[self.ends.partition_point(|end| *end <= at)]
    }

    fn index(&self, at: u64) -> usize {
        usize::try_from(at - self.start).expect("the log is in memory")
    }
}

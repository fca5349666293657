//! What waits for one stream, bounded in events and bytes; knows neither who reads it nor how it is sent.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::limits::{Limits, Meter, Refusal};
use crate::sse::Frame;

/// Frames written with one system call.
pub(super) const SLICES: usize = 32;

/// Frames in order, the first of them perhaps sent in part. Most queues hold one frame at most, which takes no allocation.
#[derive(Debug, Default)]
pub(super) struct Queue {
    first: Option<Piece>,
    rest: VecDeque<Piece>,
    bytes: usize,
    events: usize,
    /// Bytes of the first frame that were sent already.
    sent: usize,
    /// When the source handed over the oldest event that waits here.
    oldest: Option<Instant>,
    meter: Meter,
}

#[derive(Debug)]
struct Piece {
    frame: Frame,
    events: usize,
}

impl Queue {
    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) const fn oldest(&self) -> Option<Instant> {
        self.oldest
    }

    /// Events and bytes that wait.
    pub(super) const fn waiting(&self) -> (usize, usize) {
        (self.events, self.bytes)
    }

    /// Queues a frame whatever the limits say: for the few that are the hub's own.
    pub(super) fn push(&mut self, frame: Frame) {
        self.push_piece(Piece { frame, events: 0 });
    }

    /// Puts a frame before all others; nothing of them may have been sent.
    pub(super) fn push_first(&mut self, frame: Frame) {
        self.bytes += frame.size();
        if let Some(second) = self.first.replace(Piece { frame, events: 0 }) {
            self.rest.push_front(second);
        }
    }

    fn push_piece(&mut self, piece: Piece) {
        self.bytes += piece.frame.size();
        self.events += piece.events;
        if self.first.is_none() {
            self.first = Some(piece);
        } else {
            self.rest.push_back(piece);
        }
    }

    /// Queues a frame of `events` events that the source handed over at `received`, if they are live.
    ///
    /// An empty queue takes any frame, so that one large event alone cuts nobody off. What comes out of the history is
    /// held to no rate.
    pub(super) fn offer(
        &mut self,
        frame: &Frame,
        events: usize,
        received: Option<Instant>,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        if !self.is_empty() && !self.fits(frame, events, limits) {
            return Err(Refusal::Full);
        }
        if let Some(received) = received {
            limits.measure(&mut self.meter, events, frame.size(), received)?;
        }
        self.oldest = self.oldest.or(received);
        self.push_piece(Piece { frame: frame.clone(), events });
        Ok(())
    }

    /// Whether a frame of `events` events stays within the limits.
    pub(super) fn fits(&self, frame: &Frame, events: usize, limits: &Limits) -> bool {
        self.events + events <= limits.queue_events && (self.bytes + frame.size()) as u64 <= limits.queue_bytes
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn pop(&mut self) -> Option<Frame> {
        let piece = self.first.take()?;
        self.bytes -= piece.frame.size();
        self.events -= piece.events;
        self.first = self.rest.pop_front();
        if self.rest.is_empty() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
        if self.first.is_none() {
            self.oldest = None;
        }
        Some(piece.frame)
    }

    /// Everything that waits, up to about `CHUNK` bytes, as one piece without chunk framing; a single frame is not copied.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        const CHUNK: usize = 16 << 10;
        let first = self.pop()?;
        if self.is_empty() {
            return Some(first.payload());
        }
        let mut merged = BytesMut::with_capacity(CHUNK.min(first.size() + self.bytes));
        merged.extend_from_slice(&first.payload());
        while self.first.as_ref().is_some_and(|next| merged.len() + next.frame.size() <= CHUNK) {
            merged.extend_from_slice(&self.pop().expect("a frame is first").payload());
        }
        Some(merged.freeze())
    }

    /// Fills `slices` with what is to be sent next, with its chunk framing; returns how many it filled.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let frames = self.first.iter().chain(&self.rest).map(|piece| piece.frame.chunk());
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(frames) {
            let sent = if filled == 0 { self.sent } else { 0 };
            *slice = IoSlice::new(&chunk[sent..]);
            filled += 1;
        }
        filled
    }

    /// Takes away `bytes` that were sent.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        while let Some(piece) = self.first.as_ref().filter(|piece| piece.frame.size() <= self.sent) {
            self.sent -= piece.frame.size();
            self.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, EventName};
    use crate::sse;
    use proptest::prelude::*;

    proptest! {
        /// Whatever parts a socket takes, what was queued is sent once and in order.
        #[test]
        fn parts_of_any_size_add_up(sizes in proptest::collection::vec(0usize..300, 0..50), cut in 1usize..700) {
            let mut queue = Queue::default();
            let mut expected = Vec::new();
            for size in sizes {
                let frame = sse::event(EventId::default(), &EventName::new("e"), &vec![b'x'; size]);
                expected.extend_from_slice(frame.chunk());
                queue.push(frame);
            }
            let mut sent = Vec::new();
            while !queue.is_empty() {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let filled = queue.slices(&mut slices);
                let offered: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
                let taken = cut.min(offered.len());
                sent.extend_from_slice(&offered[..taken]);
                queue.advance(taken);
            }
            prop_assert_eq!(sent, expected);
            prop_assert_eq!((queue.bytes, queue.events, queue.sent), (0, 0, 0));
        }
    }
}

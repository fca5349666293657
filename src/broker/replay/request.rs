//! One stream's wish for the past: how much of it has been sent, and where to go on; no connection.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::Sender;
use tokio::time::timeout_at;

use super::super::stream::{Cursor, Verdict};
use crate::event::EventId;
use crate::hub::{Archived, Past, ReadFrom};

/// Others who share the reader wait this long for one whose queue is full; then it is put aside.
pub(super) const STALL: Duration = Duration::from_millis(250);
/// A stream that takes nothing for this long is given up.
const STALL_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Request {
    place: Place,
    pieces: Sender<Archived>,
    retries: u32,
    /// It was told where it stands; what is read now is for it.
    started: bool,
    stalled_since: Option<Instant>,
}

#[derive(Debug)]
enum Place {
    /// `sent` is the last that its stream was given, as that stream would say it.
    At { cursor: Cursor, sent: EventId },
    Since {
        time: SystemTime,
        /// Connections that ended by what cannot be read where it was looked for.
        failures: u32,
    },
}

/// What a piece came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Yes,
    /// Its queue is full: it goes on later, after what was sent.
    Stalled,
    /// Its stream is gone, or needs nothing more.
    Gone,
}

impl Request {
    pub(super) fn new(from: ReadFrom, pieces: Sender<Archived>, retries: u32) -> Self {
        let place = match from {
            ReadFrom::After(id) => Place::At { cursor: Cursor::new(id, retries), sent: id },
            ReadFrom::Since(time) => Place::Since { time, failures: 0 },
        };
        Self { place, pieces, retries, started: false, stalled_since: None }
    }

    /// The offset after which it goes on; none while it has only a time.
    pub(super) const fn offset(&self) -> Option<u64> {
        match &self.place {
            Place::At { cursor, .. } => Some(cursor.last().position.offset),
            Place::Since { .. } => None,
        }
    }

    pub(super) const fn since(&self) -> Option<SystemTime> {
        match self.place {
            Place::At { .. } => None,
            Place::Since { time, .. } => Some(time),
        }
    }

    /// Where a reader for it attaches.
    pub(super) fn attach(&mut self) -> u64 {
        match &mut self.place {
            Place::At { cursor, .. } => cursor.attach(),
            Place::Since { .. } => 0,
        }
    }

    /// Whether it waits for the very delivery after which it goes on.
    pub(super) const fn is_owed(&self) -> bool {
        matches!(&self.place, Place::At { cursor, .. } if cursor.is_owed())
    }

    pub(super) fn is_gone(&self, now: Instant) -> bool {
        matches!(self.place, Place::Since { failures, .. } if failures >= self.retries)
            || self.pieces.is_closed()
            || self.stalled_since.is_some_and(|since| now.saturating_duration_since(since) > STALL_LIMIT)
    }

    /// Whether its stream has taken everything that was sent: less is not worth a reader.
    pub(super) fn is_ready(&self) -> bool {
        self.pieces.capacity() == self.pieces.max_capacity()
    }

    /// What the delivery `id` means for it; tells its stream where that is not simply the next one.
    pub(super) fn judge(&mut self, id: EventId) -> Option<Archived> {
        let Place::At { cursor, sent } = &mut self.place else { return None };
        match cursor.judge(id) {
            Verdict::Overlap | Verdict::Next => None,
            Verdict::Confirmed if self.started => None,
            Verdict::Confirmed => Some(Archived::After(*sent)),
            Verdict::AfterGap(reason) => Some(Archived::Gap { reason, to: id }),
            Verdict::OtherHistory => Some(Archived::Unknown),
        }
    }

    /// It begins before the delivery `first`, and `missing` says that there should be more before it.
    pub(super) fn begin_at(&mut self, first: EventId, missing: Option<&'static str>) -> Archived {
        let mut cursor = Cursor::new(first, self.retries);
        cursor.judge(first);
        self.place = Place::At { cursor, sent: first };
        match missing {
            None => Archived::After(first),
            Some(reason) => Archived::Gap { reason, to: first },
        }
    }

    /// Its reader's connection was ended by something that cannot be read, after the reader had come to `position`. Whose
    /// place is elsewhere has not come that far.
    pub(super) fn poisoned(&mut self, position: u64) {
        match &mut self.place {
            Place::At { cursor, .. } if cursor.stands_at(position) => cursor.poisoned(),
            Place::At { .. } => {}
            Place::Since { failures, .. } => {
                *failures += 1;
                if *failures == self.retries {
                    // It has been sent nothing yet, so there is room; and it may have been told and be gone.
                    let _ = self.pieces.try_send(Archived::Unknown);
                }
            }
        }
    }

    /// Sends what came up to and with `past`, unless it does not concern this stream yet: it was told nothing, or has come
    /// to a reader that is still on its way to its place.
    pub(super) async fn send_past(&mut self, past: &Arc<[Past]>, deadline: Instant) -> Sent {
        let Some(end) = past.last().map(Past::end).filter(|end| self.started && self.lacks(*end)) else {
            return Sent::Yes;
        };
        self.send(Archived::Deliveries(Arc::clone(past)), end, deadline).await
    }

    fn lacks(&self, end: EventId) -> bool {
        matches!(&self.place, Place::At { sent, .. } if sent.position < end.position)
    }

    /// Sends what `judge` or `begin_at` gave.
    pub(super) async fn tell(&mut self, piece: Archived, deadline: Instant) -> Sent {
        let up_to = match &piece {
            Archived::After(id) | Archived::Gap { to: id, .. } => *id,
            Archived::Unknown | Archived::Nothing | Archived::Deliveries(_) => {
                // Nothing follows it, whether it was taken or not.
                let _ = timeout_at(deadline.into(), self.pieces.send(piece)).await;
                return Sent::Gone;
            }
        };
        let sent = self.send(piece, up_to, deadline).await;
        self.started |= sent == Sent::Yes;
        sent
    }

    async fn send(&mut self, piece: Archived, up_to: EventId, deadline: Instant) -> Sent {
        match timeout_at(deadline.into(), self.pieces.send(piece)).await {
            Ok(Ok(())) => {
                self.stalled_since = None;
                if let Place::At { sent, .. } = &mut self.place {
                    *sent = up_to;
                }
                Sent::Yes
            }
            Ok(Err(_closed)) => Sent::Gone,
            Err(_elapsed) => Sent::Stalled,
        }
    }

    /// The same request, to be taken up after what was sent.
    pub(super) fn put_aside(mut self, now: Instant) -> Self {
        self.stalled_since.get_or_insert(now);
        self.rewind();
        self
    }

    /// Forgets what was read and not sent.
    pub(super) fn rewind(&mut self) {
        if let Place::At { cursor, sent } = &mut self.place
            && cursor.last().position.offset != sent.position.offset
        {
            *cursor = Cursor::new(*sent, self.retries);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Mark, Position};

    fn id(offset: u64) -> EventId {
        EventId { mark: Mark(1), position: Position::before(offset) }
    }

    #[tokio::test]
    async fn a_stream_that_was_put_aside_gets_nothing_from_before_its_place() {
        let (pieces, mut given) = tokio::sync::mpsc::channel(9);
        let mut request = Request::new(ReadFrom::After(id(5)), pieces, 3);
        let deadline = Instant::now() + STALL;
        let read = async |request: &mut Request, offsets: std::ops::RangeInclusive<u64>| {
            for offset in offsets.clone() {
                if let Some(told) = request.judge(id(offset)) {
                    assert_eq!(request.tell(told, deadline).await, Sent::Yes);
                }
            }
            let past: Arc<[Past]> = offsets.map(|offset| Past::new(id(offset), Vec::new())).collect();
            assert_eq!(request.send_past(&past, deadline).await, Sent::Yes);
        };
        request.attach();
        read(&mut request, 5..=8).await;
        let mut request = request.put_aside(Instant::now());
        request.attach();
        for offsets in [1..=3, 4..=6, 7..=9] {
            read(&mut request, offsets).await;
        }
        drop(request);
        let mut ends = Vec::new();
        while let Some(piece) = given.recv().await {
            match piece {
                Archived::Deliveries(past) => ends.extend(past.last().map(Past::end)),
                Archived::After(after) => assert_eq!(after, id(5)),
                other @ (Archived::Gap { .. } | Archived::Unknown | Archived::Nothing) => unreachable!("{other:?}"),
            }
        }
        assert_eq!(ends, [id(8), id(9)]);
    }
}

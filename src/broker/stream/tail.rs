//! The tail: the one consumer that follows the end of the stream.
//!
//! It fills the ring at the start, goes on where it was after an outage, and notices when the stream is not the one it was.

use std::time::{Duration, Instant};

use lapin::message::Delivery;
use lapin::types::{AMQPValue, ShortString};
use tokio::time::timeout;

use super::super::address::Address;
use super::super::decode;
use super::super::dial::{Dialer, Wire};
use super::super::failure::Failure;
use super::super::pipeline::Intake;
use super::super::session::{Flow, own_mark};
use super::super::topology::Topology;
use super::cursor::UNREADABLE;
use super::{Cursor, Probe, StreamQueue, StreamSession, Verdict, id_of, is_marker, marker};
use crate::event::{EventId, Position};
use crate::hub::HistoryConfig;
use crate::telemetry::amqp;

/// What is there is delivered within this time, or the stream is taken for empty, or for another one.
const OWED_LIMIT: Duration = Duration::from_secs(1);
/// As long as nothing comes, what is owed is looked into this often.
const DOUBT_INTERVAL: Duration = Duration::from_secs(3);
/// A pause as long as this is the end of what is there.
const PAUSE: Duration = Duration::from_millis(100);
/// The first look at an age; without an answer the ring starts empty, and the stream itself answers.
const AGE_LIMIT: Duration = Duration::from_millis(300);
/// Time for what was published between the look at the end and coming there.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(2);

/// The reader of the stream's end, with its place in it from session to session.
pub(in super::super) struct Tail {
    queue: StreamQueue,
    warm_events: u64,
    warm_age: Duration,
    retries: u32,
    cursor: Option<Cursor>,
    /// What comes up to this offset was there before the history was begun.
    warm_until: Option<u64>,
    /// The stream was empty when it was begun, and nothing has come since.
    empty: bool,
    /// Connections that ended by what cannot be read before any place was known.
    blind: u32,
}

/// A session under way towards its first new message.
struct Opening<'a, I> {
    tail: &'a mut Tail,
    intake: &'a mut I,
    flow: Flow,
}

impl Tail {
    pub(in super::super) fn new(queue: StreamQueue, history: &HistoryConfig) -> Self {
        Self {
            queue,
            warm_events: history.warm_events.into(),
            warm_age: history.warm_age.0,
            retries: history.poison_retries.max(1),
            cursor: None,
            warm_until: None,
            empty: false,
            blind: 0,
        }
    }

    pub(in super::super) fn queue_name(&self) -> ShortString {
        self.queue.name()
    }

    /// Connects and comes to the end of what the stream has: what comes next is new. Dropping the future cuts the connection.
    pub(in super::super) async fn open<I: Intake>(
        &mut self,
        dialer: &Dialer,
        address: &Address,
        topology: &Topology,
        flow: Flow,
        intake: &mut I,
    ) -> Result<StreamSession, Failure> {
        let created = self.queue.establish(dialer, address, topology, flow.setup_limit).await?;
        if created && self.cursor.take().is_some() {
            tracing::warn!("the stream was missing and has been created anew; what it kept is gone");
        }
        let wire = dialer.dial(address).await?;
        let mut opening = Opening { tail: self, intake, flow };
        let mut session = match opening.tail.cursor.as_mut().map(Cursor::attach) {
            Some(offset) => opening.attach(wire, AMQPValue::LongLongInt(offset.cast_signed())).await?,
            None => opening.begin(dialer, address, wire).await?,
        };
        opening.confirm(&mut session).await?;
        opening.warm(&mut session).await?;
        intake.current();
        Ok(session)
    }

    /// Takes a delivery of the session that `open` gave.
    pub(in super::super) fn take<I: Intake>(
        &mut self,
        intake: &mut I,
        received: Instant,
        delivery: Delivery,
    ) -> Result<(), Failure> {
        let id = id_of(&delivery)?;
        match self.cursor.as_mut().map(|cursor| cursor.judge(id)) {
            Some(Verdict::Overlap | Verdict::Confirmed) => return Ok(()),
            Some(Verdict::OtherHistory) => {
                self.cursor = None;
                return Err(Failure::HistoryChanged);
            }
            Some(Verdict::AfterGap(reason)) => {
                tracing::warn!(position = %id, reason, "messages of the stream are missing");
                if reason == UNREADABLE {
                    amqp::unmapped(UNREADABLE);
                }
                intake.interrupted(id, reason);
            }
            Some(Verdict::Next) => {}
            None => {
                self.cursor = Some(self.cursor_at(id));
                self.empty = false;
            }
        }
        if is_marker(&delivery) {
            intake.pass(id, received);
        } else {
            intake.accept(id, received, &decode::message(delivery));
        }
        Ok(())
    }

    fn cursor_at(&self, id: EventId) -> Cursor {
        let mut cursor = Cursor::new(id, self.retries);
        // It has just been read.
        cursor.judge(id);
        cursor
    }

    /// Learns from the end of a session or of the attempt at one.
    pub(in super::super) fn failed(&mut self, failure: &Failure) {
        if matches!(failure, Failure::Poison) {
            match &mut self.cursor {
                Some(cursor) => cursor.poisoned(),
                None => self.blind += 1,
            }
        }
    }
}

impl<I: Intake> Opening<'_, I> {
    async fn attach(&self, wire: Wire, offset: AMQPValue) -> Result<StreamSession, Failure> {
        let stream = self.tail.queue.name();
        let probe = Probe { wire: &wire, stream: &stream };
        match self.within(probe.attach(offset, self.flow.prefetch)).await {
            Ok((channel, consumer)) => Ok(StreamSession::new(wire, channel, consumer, self.flow)),
            Err(failure) => {
                wire.close().await;
                Err(failure)
            }
        }
    }

    /// Finds where to start in a stream of which nothing is known, and says so to the intake.
    async fn begin(&mut self, dialer: &Dialer, address: &Address, wire: Wire) -> Result<StreamSession, Failure> {
        if self.tail.empty {
            return self.attach(wire, AMQPValue::LongString("first".into())).await;
        }
        let (stream, last) = (self.tail.queue.name(), || AMQPValue::LongString("last".into()));
        let probe = Probe { wire: &wire, stream: &stream };
        if self.tail.blind >= self.tail.retries {
            // Where the end is cannot be read; what is published from now on can.
            tracing::warn!("the end of the stream cannot be read and is stepped over");
            amqp::unmapped(UNREADABLE);
            return self.begin_unmarked(wire, "next").await;
        }
        let mut end = self.within(probe.first(last(), OWED_LIMIT)).await?;
        if end.is_none() {
            let other = dialer.dial(address).await?;
            marker::publish(&other, &stream).await;
            other.close().await;
            end = self.within(probe.first(last(), OWED_LIMIT)).await?;
        }
        let Some(end) = end else {
            let session = self.begin_unmarked(wire, "first").await?;
            self.tail.empty = true;
            return Ok(session);
        };
        let start = self.warm_start(probe, end).await?;
        self.tail.warm_until = Some(end.position.offset);
        let mut session = self.attach(wire, AMQPValue::LongLongInt(start.cast_signed())).await?;
        let first = session.next(self.flow.setup_limit).await?.ok_or(Failure::Timeout)?;
        self.intake.starts_after(id_of(&first)?);
        self.tail.take(self.intake, Instant::now(), first)?;
        Ok(session)
    }

    /// Begins without an id from the stream: with one that only this process knows.
    async fn begin_unmarked(&mut self, wire: Wire, offset: &str) -> Result<StreamSession, Failure> {
        let session = self.attach(wire, AMQPValue::LongString(offset.into())).await?;
        self.intake.starts_after(EventId { mark: own_mark(), position: Position::before(0) });
        Ok(session)
    }

    /// The offset from which the ring is filled: so many before the end, none of them too old.
    async fn warm_start(&self, probe: Probe<'_>, end: EventId) -> Result<u64, Failure> {
        let end = end.position.offset;
        let (events, age) = (self.tail.warm_events, self.tail.warm_age.as_secs());
        if events == 0 || age == 0 {
            return Ok(end);
        }
        let interval = AMQPValue::LongString(format!("{age}s").into());
        let young = self.within(probe.first(interval, AGE_LIMIT)).await?;
        Ok(young.map_or(end, |id| id.position.offset.max(end.saturating_sub(events)).min(end)))
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        timeout(self.flow.setup_limit, work).await.unwrap_or(Err(Failure::Timeout))
    }

    /// Sees that the last delivery is where it was. While nothing comes, the end of the stream tells a slow broker from a stream
    /// that is shorter than it was.
    async fn confirm(&mut self, session: &mut StreamSession) -> Result<(), Failure> {
        while self.tail.cursor.as_ref().is_some_and(Cursor::is_owed) {
            if let Some(delivery) = session.next(DOUBT_INTERVAL).await? {
                self.tail.take(self.intake, Instant::now(), delivery)?;
                continue;
            }
            let stream = self.tail.queue.name();
            let probe = Probe { wire: session.wire(), stream: &stream };
            let newest = self.within(probe.newest(OWED_LIMIT)).await?;
            let last = self.tail.cursor.as_ref().map_or(0, |cursor| cursor.last().position.offset);
            // A replica that is behind the others ends with what is known here.
            let same = newest.is_some_and(|id| id.position.offset >= last || self.intake.knows(id));
            if !same {
                self.tail.cursor = None;
                return Err(Failure::HistoryChanged);
            }
        }
        Ok(())
    }

    /// Reads what the stream had when it was begun, and what came meanwhile, into the ring.
    async fn warm(&mut self, session: &mut StreamSession) -> Result<(), Failure> {
        let Some(until) = self.tail.warm_until else { return Ok(()) };
        let reached = |tail: &Tail| tail.cursor.as_ref().is_some_and(|cursor| cursor.last().position.offset >= until);
        while !reached(self.tail) {
            self.intake.ready().await;
            let delivery = session.next(self.flow.setup_limit).await?.ok_or(Failure::Timeout)?;
            self.tail.take(self.intake, Instant::now(), delivery)?;
        }
        let deadline = Instant::now() + CATCH_UP_LIMIT;
        while Instant::now() < deadline {
            let Some(delivery) = session.next(PAUSE).await? else { break };
            self.tail.take(self.intake, Instant::now(), delivery)?;
        }
        self.tail.warm_until = None;
        Ok(())
    }
}

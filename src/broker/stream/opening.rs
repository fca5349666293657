//! How a session of the tail begins: where it attaches, that nothing has become another stream, and the way to the present.

use std::time::{Duration, Instant};

use lapin::types::AMQPValue;
use tokio::time::timeout;

use super::super::address::Address;
use super::super::dial::{Dialer, Wire};
use super::super::failure::Failure;
use super::super::pipeline::Intake;
use super::super::session::{Flow, own_mark};
use super::cursor::UNREADABLE;
use super::{Cursor, Probe, StreamSession, Tail, id_of, marker};
use crate::event::{EventId, Position};
use crate::telemetry::amqp;

/// What is there is delivered within this time, or the stream is taken for empty, or for another one.
const OWED_LIMIT: Duration = Duration::from_secs(1);
/// As long as nothing comes, what is owed is looked into this often …
const DOUBT_INTERVAL: Duration = Duration::from_secs(3);
/// … so many times; then another session may have more luck.
const DOUBTS: u32 = 5;
/// A pause as long as this is the end of what is there.
const PAUSE: Duration = Duration::from_millis(100);
/// The first look at an age; without an answer the ring starts empty, and the stream itself answers.
const AGE_LIMIT: Duration = Duration::from_millis(300);
/// Time for what was published between the look at the end and coming there.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(2);

/// A session under way towards its first new message.
pub(super) struct Opening<'a, I> {
    pub(super) tail: &'a mut Tail,
    pub(super) intake: &'a mut I,
    pub(super) dialer: &'a Dialer,
    pub(super) address: &'a Address,
    pub(super) flow: Flow,
}

impl<I: Intake> Opening<'_, I> {
    /// Connects and comes to the end of what the stream has.
    pub(super) async fn run(mut self) -> Result<StreamSession, Failure> {
        let wire = self.dialer.dial(self.address).await?;
        let mut session = match self.tail.cursor.as_mut().map(Cursor::attach) {
            Some(offset) => self.attach(wire, AMQPValue::LongLongInt(offset.cast_signed())).await?,
            None => self.begin(wire).await?,
        };
        self.confirm(&mut session).await?;
        self.warm(&mut session).await?;
        Ok(session)
    }

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
    async fn begin(&mut self, wire: Wire) -> Result<StreamSession, Failure> {
        self.tail.warm_until = None;
        if self.tail.empty {
            return self.attach(wire, self.head()).await;
        }
        let spoiled = self.tail.steps_over();
        if spoiled > self.tail.retries {
            // Not even a marker made the end readable; what is published from now on is.
            return self.begin_unmarked(wire, AMQPValue::LongString("next".into())).await;
        }
        if spoiled > 0 {
            tracing::warn!("the end of the stream cannot be read and is stepped over");
            if spoiled == 1 {
                amqp::unmapped(UNREADABLE);
            }
            self.mark().await?;
        }
        let Some(end) = self.end(&wire).await? else {
            let session = self.begin_unmarked(wire, self.head()).await?;
            self.tail.empty = true;
            return Ok(session);
        };
        let start = if spoiled > 0 { end.position.offset } else { self.warm_start(&wire, end).await? };
        self.tail.warm_until = Some(end.position.offset);
        let mut session = self.attach(wire, AMQPValue::LongLongInt(start.cast_signed())).await?;
        let first = session.next(self.flow.setup_limit).await?.ok_or(Failure::Timeout)?;
        self.intake.starts_after(id_of(&first)?);
        self.tail.take(self.intake, Instant::now(), first)?;
        Ok(session)
    }

    /// Begins without an id from the stream: with one that only this process knows.
    async fn begin_unmarked(&mut self, wire: Wire, offset: AMQPValue) -> Result<StreamSession, Failure> {
        let session = self.attach(wire, offset).await?;
        self.intake.starts_after(EventId { mark: own_mark(), position: Position::before(0) });
        Ok(session)
    }

    /// Where a stream that was empty is read from: its first message, or what comes after those that cannot be read.
    fn head(&self) -> AMQPValue {
        match self.tail.steps_over() {
            0 => AMQPValue::LongString("first".into()),
            skip => AMQPValue::LongLongInt(skip.into()),
        }
    }

    /// What the newest chunk begins with. A stream in which nothing is found gets a marker; without the right to write one it
    /// counts as empty.
    async fn end(&self, wire: &Wire) -> Result<Option<EventId>, Failure> {
        let stream = self.tail.queue.name();
        let probe = Probe { wire, stream: &stream };
        let end = self.within(probe.last(OWED_LIMIT)).await?;
        if end.is_some() {
            return Ok(end);
        }
        let marked = self.mark().await?;
        let end = self.within(probe.last(if marked { OWED_LIMIT } else { DOUBT_INTERVAL })).await?;
        if marked && end.is_none() { Err(Failure::Timeout) } else { Ok(end) }
    }

    /// Publishes a marker, on a connection of its own; false without the right to.
    async fn mark(&self) -> Result<bool, Failure> {
        let wire = self.dialer.dial(self.address).await?;
        let marked = marker::publish(&wire, &self.tail.queue.name()).await;
        wire.close().await;
        marked
    }

    /// The offset from which the ring is filled: so many before the end, none of them too old.
    async fn warm_start(&self, wire: &Wire, end: EventId) -> Result<u64, Failure> {
        let end = end.position.offset;
        let (events, age) = (self.tail.warm_events, self.tail.warm_age.as_secs());
        if events == 0 || age == 0 {
            return Ok(end);
        }
        let interval = AMQPValue::LongString(format!("{age}s").into());
        let stream = self.tail.queue.name();
        let young = self.within(Probe { wire, stream: &stream }.first(interval, AGE_LIMIT)).await?;
        Ok(young.map_or(end, |id| id.position.offset.max(end.saturating_sub(events)).min(end)))
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        timeout(self.flow.setup_limit, work).await.unwrap_or(Err(Failure::Timeout))
    }

    /// Sees that the last delivery is where it was. While nothing comes, the end of the stream tells a slow broker from a stream
    /// that is shorter than it was.
    async fn confirm(&mut self, session: &mut StreamSession) -> Result<(), Failure> {
        for _ in 0..DOUBTS {
            let Some(last) = self.tail.cursor.as_ref().filter(|cursor| cursor.is_owed()).map(Cursor::last) else {
                return Ok(());
            };
            if let Some(delivery) = session.next(DOUBT_INTERVAL).await? {
                self.tail.take(self.intake, Instant::now(), delivery)?;
                continue;
            }
            let stream = self.tail.queue.name();
            let probe = Probe { wire: session.wire(), stream: &stream };
            let newest = match self.within(probe.newest(last.position.offset, OWED_LIMIT)).await {
                // It stands anywhere, and not in the tail's way.
                Err(Failure::Poison) => return Err(Failure::Timeout),
                newest => newest?,
            };
            let newest = if newest.is_none() { self.end(session.wire()).await? } else { newest };
            // A replica that is behind the others ends with what is known here.
            if !newest.is_some_and(|id| id.position.offset >= last.position.offset || self.intake.knows(id)) {
                self.tail.cursor = None;
                return Err(Failure::HistoryChanged);
            }
        }
        Err(Failure::Timeout)
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
            self.intake.ready().await;
            let Some(delivery) = session.next(PAUSE).await? else { break };
            self.tail.take(self.intake, Instant::now(), delivery)?;
        }
        self.tail.warm_until = None;
        Ok(())
    }
}

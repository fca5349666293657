//! The tail: the one consumer that follows the end of the stream, from session to session.
//!
//! It goes on where it was after an outage, and notices when the stream is not the one it was. How a session comes to the
//! end of what is there is told by `opening`.

use std::time::{Duration, Instant};

use lapin::message::Delivery;
use lapin::types::ShortString;

use super::super::address::Address;
use super::super::decode;
use super::super::dial::Dialer;
use super::super::failure::Failure;
use super::super::pipeline::Intake;
use super::super::session::Flow;
use super::super::topology::Topology;
use super::cursor::UNREADABLE;
use super::opening::Opening;
use super::{Cursor, StreamQueue, StreamSession, Verdict, id_of, is_marker};
use crate::event::EventId;
use crate::hub::HistoryConfig;
use crate::telemetry::amqp;

/// The reader of the stream's end, with its place in it from session to session.
pub(in super::super) struct Tail {
    pub(super) queue: StreamQueue,
    pub(super) warm_events: u64,
    pub(super) warm_age: Duration,
    pub(super) retries: u32,
    pub(super) cursor: Option<Cursor>,
    /// What comes up to this offset was there before the history was begun.
    pub(super) warm_until: Option<u64>,
    /// The stream was empty when it was begun, and nothing has come since.
    pub(super) empty: bool,
    /// Connections that ended by what cannot be read while no place is known.
    pub(super) blind: u32,
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
        let session = Opening { tail: self, intake: &mut *intake, dialer, address, flow }.run().await?;
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
                if self.empty && self.steps_over() > 0 {
                    amqp::unmapped(UNREADABLE);
                    intake.interrupted(id, UNREADABLE);
                }
                self.cursor = Some(self.cursor_at(id));
                self.empty = false;
                self.blind = 0;
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

    /// While no place is known: how many messages to step over. The first has `retries` connections, each after it one.
    pub(super) const fn steps_over(&self) -> u32 {
        (self.blind + 1).saturating_sub(self.retries)
    }

    /// Learns from the end of a session or of the attempt at one.
    pub(in super::super) fn failed(&mut self, failure: &Failure) {
        match (&mut self.cursor, failure) {
            (Some(cursor), Failure::Poison) => cursor.poisoned(),
            (Some(cursor), _) => cursor.interrupted(),
            (None, Failure::Poison) => self.blind = self.blind.saturating_add(1),
            (None, _) => {}
        }
    }
}

//! One connection's life as a reader of the stream, acknowledgements included; where it reads and what is made of it is the tail's.

use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions};
use lapin::types::ShortString;
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use super::super::dial::{CLOSE_LIMIT, Wire};
use super::super::failure::{Failure, Step};
use super::super::pipeline::Intake;
use super::super::session::{Flow, acknowledgement_timer, next_event, note};
use super::super::topology::Topology;

/// A connection from which the stream's deliveries come.
pub(in super::super) struct StreamSession {
    wire: Wire,
    channel: Channel,
    consumer: Consumer,
    flow: Flow,
    /// The highest delivery tag that was dealt with and is not acknowledged, and how many are.
    unacknowledged: (u64, u16),
}

impl StreamSession {
    /// From a consumer that was started on `channel` of `wire`.
    pub(super) const fn new(wire: Wire, channel: Channel, consumer: Consumer, flow: Flow) -> Self {
        Self { wire, channel, consumer, flow, unacknowledged: (0, 0) }
    }

    pub(super) const fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The next delivery, if it comes within `limit`. It counts as dealt with.
    pub(super) async fn next(&mut self, limit: Duration) -> Result<Option<Delivery>, Failure> {
        let Ok(delivery) = timeout(limit, self.consumer.next()).await else {
            if self.unacknowledged.1 > 0 {
                self.acknowledge().await;
            }
            return Ok(None);
        };
        let delivery = self.delivered(delivery)?;
        self.count(delivery.delivery_tag).await;
        Ok(Some(delivery))
    }

    /// Gives each delivery to `take`, not before `intake` is ready for it, until `stop` resolves (`Ok`), no more come, or
    /// one cannot be taken.
    pub(in super::super) async fn run<I: Intake, S: Future<Output = ()>>(
        &mut self,
        intake: &mut I,
        mut take: impl FnMut(&mut I, Instant, Delivery) -> Result<(), Failure>,
        (topology, queue): (&Topology, &ShortString),
        mut stop: Pin<&mut S>,
    ) -> Result<(), Failure> {
        let mut events = pin!(self.wire.connection.events_listener());
        let mut flush = acknowledgement_timer(self.flow.ack_interval);
        let mut keys_changed = pin!(topology.keys_changed());
        loop {
            let next = async {
                intake.ready().await;
                self.consumer.next().await
            };
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                event = next_event(events.as_mut()) => note(&event),
                () = &mut keys_changed => {
                    topology.bind(&self.channel, queue, Step::BindStream).await?;
                    keys_changed.set(topology.keys_changed());
                }
                _ = flush.tick(), if self.unacknowledged.1 > 0 => self.acknowledge().await,
                delivery = next => {
                    let received = Instant::now();
                    let delivery = self.delivered(delivery)?;
                    let tag = delivery.delivery_tag;
                    take(intake, received, delivery)?;
                    self.count(tag).await;
                    // A consumer with messages waiting never yields to the runtime by itself.
                    tokio::task::coop::consume_budget().await;
                }
            }
        }
    }

    /// What the consumer gave; after `None` it is not asked again, since it would wait for ever.
    fn delivered(&self, delivery: Option<lapin::Result<Delivery>>) -> Result<Delivery, Failure> {
        match delivery {
            Some(delivery) => delivery.map_err(|error| Failure::of(error, Step::ConsumeStream)),
            None if self.wire.connection.status().connected() => Err(Failure::ConsumerCancelled),
            None => Err(Failure::Lost(std::io::ErrorKind::ConnectionAborted.into())),
        }
    }

    /// The delivery `tag` was dealt with.
    async fn count(&mut self, tag: u64) {
        self.unacknowledged = (tag, self.unacknowledged.1 + 1);
        if self.unacknowledged.1 >= (self.flow.prefetch / 2).max(1) {
            self.acknowledge().await;
        }
    }

    async fn acknowledge(&mut self) {
        let (tag, _) = std::mem::take(&mut self.unacknowledged);
        // It fails only when the channel is gone; the consumer then says why, after the messages it still holds.
        let _ = self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await;
    }

    /// Closes in good order, all within a time limit. What is not acknowledged is read again by its offset, or not at all.
    pub(in super::super) async fn close(self) {
        // Should the channel be gone already, it is refused at once.
        let goodbye = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        if timeout(CLOSE_LIMIT, goodbye).await.is_ok() {
            self.wire.close().await;
        }
    }
}

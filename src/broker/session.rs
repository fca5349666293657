//! One connection's life as a consumer: from dialling to the last acknowledgement; when to try again is the link's.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer, Event};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::address::Address;
use super::decode;
use super::dial::{Dialer, Wire};
use super::failure::{Failure, Step};
use super::overflow::{Overflow, QUEUE_FULL};
use super::pipeline::{Intake, excerpt};
use super::topology::Topology;
use crate::event::{EventId, Mark, Position};

/// How messages are taken from the broker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) prefetch: u16,
    pub(super) ack_interval: Duration,
    /// For everything between the open connection and the first message.
    pub(super) setup_limit: Duration,
}

/// The ids of a source that has none of its own: offsets 1, 2, 3, …, and a mark that no other run of the program has.
#[derive(Debug)]
pub(super) struct Sequence {
    mark: Mark,
    offset: u64,
}

impl Default for Sequence {
    fn default() -> Self {
        Self { mark: own_mark(), offset: 0 }
    }
}

impl Sequence {
    /// The place before the first.
    pub(super) const fn start(&self) -> EventId {
        EventId { mark: self.mark, position: Position::before(0) }
    }

    pub(super) fn next(&mut self) -> EventId {
        self.offset += 1;
        EventId { mark: self.mark, position: Position::before(self.offset) }
    }
}

/// A mark for positions that mean nothing outside this process. Those of streams have 40 bits, this has the 48th set:
/// none is taken for one of the other kind, and collisions are a matter of millions of restarts.
pub(super) fn own_mark() -> Mark {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    Mark(1 << 47 | high >> 17)
}

/// A connection from which messages come.
pub(super) struct Session {
    wire: Wire,
    channel: Channel,
    queue: ShortString,
    consumer: Consumer,
    /// Delivers what the queue has dropped.
    notices: Consumer,
    overflow: Overflow,
    flow: Flow,
    /// The highest delivery tag that was dealt with and is not acknowledged, and how many are.
    unacknowledged: (u64, u16),
    /// The highest delivery tag that is acknowledged, and with it all before it.
    acknowledged: u64,
}

impl Session {
    /// Connects, makes the queue exist and starts to consume it. Dropping the future cuts the connection.
    pub(super) async fn open(
        dialer: &Dialer,
        address: &Address,
        topology: &Topology,
        flow: Flow,
    ) -> Result<Self, Failure> {
        let wire = dialer.dial(address).await?;
        let consuming = timeout(flow.setup_limit, consume(&wire, topology, flow.prefetch)).await;
        match consuming.unwrap_or(Err(Failure::Timeout)) {
            Ok(Consuming { channel, queue, consumer, notices }) => Ok(Self {
                wire,
                channel,
                queue,
                consumer,
                notices,
                overflow: Overflow::default(),
                flow,
                unacknowledged: (0, 0),
                acknowledged: 0,
            }),
            Err(failure) => {
                wire.close().await;
                Err(failure)
            }
        }
    }

    /// Feeds `intake` until `stop` resolves (`Ok`) or no more messages come.
    pub(super) async fn run<I: Intake, S: Future<Output = ()>>(
        &mut self,
        intake: &mut I,
        sequence: &mut Sequence,
        topology: &Topology,
        mut stop: Pin<&mut S>,
    ) -> Result<(), Failure> {
        let mut events = std::pin::pin!(self.wire.connection.events_listener());
        let mut flush = acknowledgement_timer(self.flow.ack_interval);
        let mut keys_changed = std::pin::pin!(topology.keys_changed());
        let batch = (self.flow.prefetch / 2).max(1);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                event = next_event(events.as_mut()) => note(&event),
                notice = self.notices.next() => {
                    let Some(notice) = notice else { return Err(self.why_ended()) };
                    let notice = notice.map_err(|error| Failure::of(error, Step::Consume))?;
                    self.overflow.noticed(notice.delivery_tag);
                }
                () = until(self.overflow.not_before()), if self.overflow.is_reached() => {
                    self.announce_overflow(intake, sequence);
                }
                () = &mut keys_changed => {
                    topology.bind(&self.channel, &self.queue, Step::Bind).await?;
                    keys_changed.set(topology.keys_changed());
                }
                _ = flush.tick(), if self.unacknowledged.1 > 0 => self.acknowledge().await,
                delivery = next_delivery(intake, &mut self.consumer) => {
                    let Some(delivery) = delivery else { return Err(self.why_ended()) };
                    let delivery = delivery.map_err(|error| Failure::of(error, Step::Consume))?;
                    let (received, tag) = (Instant::now(), delivery.delivery_tag);
                    intake.accept(sequence.next(), received, &decode::message(delivery));
                    self.overflow.message_taken(tag);
                    self.unacknowledged = (tag, self.unacknowledged.1 + 1);
                    if self.unacknowledged.1 >= batch {
                        self.acknowledge().await;
                    }
                    // A consumer with messages waiting never yields to the runtime by itself.
                    tokio::task::coop::consume_budget().await;
                }
            }
        }
    }

    /// Whatever the reason of a dead letter (too many messages, too many bytes, or too old by its own `expiration`):
    /// it did not come, since it had to wait.
    fn announce_overflow<I: Intake>(&mut self, intake: &mut I, sequence: &mut Sequence) {
        let Some(tag) = self.overflow.announced(Instant::now()) else { return };
        intake.interrupted(sequence.next(), QUEUE_FULL);
        // To acknowledge a tag a second time would be an error that closes the channel.
        if tag > self.acknowledged {
            self.unacknowledged = (self.unacknowledged.0.max(tag), self.unacknowledged.1 + 1);
        }
    }

    async fn acknowledge(&mut self) {
        let (tag, _) = std::mem::take(&mut self.unacknowledged);
        self.acknowledged = tag;
        // It fails only when the channel is gone; the consumer then says why, after the messages it still holds.
        let _ = self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await;
    }

    /// The consumer ended without an error.
    fn why_ended(&self) -> Failure {
        if self.wire.connection.status().connected() {
            Failure::ConsumerCancelled
        } else {
            Failure::Lost(std::io::ErrorKind::ConnectionAborted.into())
        }
    }

    /// Acknowledges what was dealt with and closes, all within a time limit.
    pub(super) async fn close(mut self) {
        let goodbye = async {
            // Should the channel be gone already, both are refused at once.
            let _ = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await;
            if self.unacknowledged.1 > 0 {
                self.acknowledge().await;
            }
        };
        if timeout(super::dial::CLOSE_LIMIT, goodbye).await.is_ok() {
            self.wire.close().await;
        }
    }
}

/// An AMQP channel with its two consumers.
struct Consuming {
    channel: Channel,
    queue: ShortString,
    consumer: Consumer,
    notices: Consumer,
}

async fn consume(wire: &Wire, topology: &Topology, prefetch: u16) -> Result<Consuming, Failure> {
    let failure = |error| Failure::of(error, Step::Consume);
    let channel = wire.connection.create_channel().await.map_err(failure)?;
    let queues = topology.establish(&channel).await?;
    // The prefetch is that of the consumers to come (RabbitMQ's reading of `basic.qos`).
    let consume = async |queue, prefetch| {
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        channel.basic_consume(queue, ShortString::default(), options, arguments).await
    };
    // One AMQP channel for both, so that their tags tell which message came before a notice.
    let notices = consume(queues.dropped, 1).await.map_err(failure)?;
    let consumer = consume(queues.messages.clone(), prefetch).await.map_err(failure)?;
    Ok(Consuming { channel, queue: queues.messages, consumer, notices })
}

async fn until(time: Option<Instant>) {
    if let Some(time) = time {
        tokio::time::sleep_until(time.into()).await;
    }
}

/// The next message, not before `intake` is ready for it. Cancel-safe; not to be called again after `None`,
/// since the consumer would then wait for ever.
async fn next_delivery<I: Intake>(intake: &I, consumer: &mut Consumer) -> Option<lapin::Result<Delivery>> {
    intake.ready().await;
    consumer.next().await
}

pub(super) async fn next_event(mut events: Pin<&mut impl Stream<Item = Event>>) -> Event {
    match events.next().await {
        Some(event) => event,
        // The consumer ends as well, and says why.
        None => std::future::pending().await,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "lapin keeps its list of events open")]
pub(super) fn note(event: &Event) {
    match event {
        Event::ConnectionBlocked(reason) => {
            let reason = excerpt(reason, 200);
            tracing::warn!(reason, "the broker blocks publishers; no new messages come until it has recovered");
        }
        Event::ConnectionUnblocked => tracing::info!("the broker takes messages from publishers again"),
        _ => {}
    }
}

pub(super) fn acknowledgement_timer(every: Duration) -> Interval {
    let mut timer = interval(every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

//! Keeps one consumer at RabbitMQ alive: session after session until it is told to stop, and what is said about it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytesize::ByteSize;

use super::BrokerConfig;
use super::address::{Address, Endpoints};
use super::backoff::Backoff;
use super::bindings::Bindings;
use super::dial::Dialer;
use super::failure::Failure;
use super::outage::Outage;
use super::pipeline::{Intake, Sieve};
use super::replay::{Replay, ReplayTask};
use super::session::{Flow, Sequence, Session};
use super::status::{LinkStatus, LinkStatusWriter};
use super::stream::{StreamQueue, StreamSession, Tail};
use super::topology::Topology;
use crate::control::ControlConfig;
use crate::hub::{HistoryConfig, HistoryKind};
use crate::routing::Mappings;
use crate::setting::Fault;
use crate::telemetry::Throttle;
use crate::telemetry::amqp;

/// The reason given for a gap that an outage may have left.
const RECONNECTED: &str = "broker_reconnected";
/// The reason given to streams that were opened before messages came for the first time.
const CONNECTED: &str = "broker_connected";
/// Between the starts of two sessions that messages ended which cannot be read.
const POISON_INTERVAL: Duration = Duration::from_millis(300);
/// Time between two log lines about such messages.
const POISON_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The link to the exchange of `[broker]`.
pub struct Link {
    dialer: Arc<Dialer>,
    endpoints: Endpoints,
    topology: Topology,
    flow: Flow,
    backoff: Backoff,
    status: LinkStatusWriter,
    bindings: Option<Bindings>,
    origin: Origin,
    history: HistoryConfig,
    max_message_bytes: ByteSize,
    carries: amqp::Link,
    outage: Option<Outage>,
    /// When the link last began to try again because of a message that cannot be read.
    poisoned: Option<Instant>,
    poison_log: Throttle,
}

/// A session of either kind.
enum Opened {
    Queue(Box<Session>),
    Stream(Box<StreamSession>),
}

/// What is consumed.
enum Origin {
    /// A queue that dies with its connection, so that messages of an outage are lost: each one that ends is told to the intake.
    Queue(Sequence),
    /// The stream, which keeps what an outage would have lost.
    Stream(Box<Tail>),
}

impl Link {
    /// Checks the whole section; nothing is connected before `run`.
    pub fn new(config: &BrokerConfig, history: &HistoryConfig, binding_keys: Vec<String>) -> Result<Self, Vec<Fault>> {
        let mut faults = flow_faults(config);
        let mut sound = |found: Vec<Fault>| faults.extend(found);
        let endpoints = Endpoints::from_config(config).map_err(&mut sound).ok();
        let any_tls = endpoints.as_ref().is_some_and(Endpoints::any_tls);
        let dialer = Dialer::new(config, any_tls).map_err(&mut sound).ok();
        let status = LinkStatusWriter::new(false);
        let topology = Topology::new(config, binding_keys, status.status()).map_err(&mut sound).ok();
        let origin = match history.kind {
            HistoryKind::Memory => Some(Origin::Queue(Sequence::default())),
            HistoryKind::Stream => {
                let queue = StreamQueue::new(history).map_err(&mut sound).ok();
                queue.map(|queue| Origin::Stream(Box::new(Tail::new(queue, history))))
            }
        };
        let (Some(endpoints), Some(dialer), Some((topology, bindings)), Some(origin), true) =
            (endpoints, dialer, topology, origin, faults.is_empty())
        else {
            return Err(faults);
        };
        Ok(Self {
            dialer: Arc::new(dialer),
            endpoints,
            topology,
            flow: Flow {
                prefetch: config.prefetch,
                ack_interval: config.ack_interval.0,
                setup_limit: config.connect_timeout.0,
            },
            backoff: Backoff::new(config.reconnect_min.0, config.reconnect_max.0),
            status,
            bindings: Some(bindings),
            origin,
            history: history.clone(),
            max_message_bytes: config.max_message_bytes,
            carries: amqp::Link::Events,
            outage: None,
            poisoned: None,
            poison_log: Throttle::new(POISON_LOG_INTERVAL),
        })
    }

    /// The link that brings the application's orders, with a stream of their own; none where orders are off.
    pub fn for_orders(
        broker: &BrokerConfig,
        history: &HistoryConfig,
        control: &ControlConfig,
    ) -> Result<Option<Self>, Vec<Fault>> {
        if control.disconnect.is_empty() {
            return Ok(None);
        }
        let history = HistoryConfig {
            stream: control.stream.clone(),
            max_age: control.remember,
            max_bytes: control.max_bytes,
            segment_bytes: ByteSize::b((control.max_bytes.as_u64() / 4).max(1 << 20)),
            warm_age: control.remember,
            warm_events: u32::try_from(control.max_revoked).unwrap_or(u32::MAX),
            ..history.clone()
        };
        let link = Self::new(broker, &history, vec![control.disconnect.clone()])?;
        Ok(Some(Self { carries: amqp::Link::Orders, ..link }))
    }

    /// What reads the stream's past, if there is one, and the task that it takes. No event is made of messages whose
    /// routing key is `withheld`.
    #[must_use]
    pub fn replay(&self, table: &Mappings, withheld: &str) -> Option<(Replay, ReplayTask)> {
        match self.origin {
            Origin::Queue(_) => None,
            Origin::Stream(_) => {
                let (dialer, endpoints) = (Arc::clone(&self.dialer), self.endpoints.clone());
                let sieve = Sieve::new(table.clone(), self.max_message_bytes, self.history.dedupe_message_ids)
                    .withholding(withheld);
                Some(Replay::new(dialer, endpoints, &self.history, sieve, self.flow.setup_limit))
            }
        }
    }

    /// The way to change the binding keys while it runs; none the second time.
    pub fn bindings(&mut self) -> Option<Bindings> {
        self.bindings.take()
    }

    #[must_use]
    pub fn status(&self) -> LinkStatus {
        self.status.status()
    }

    /// Consumes into `intake` until `stop` resolves; then the consumer is cancelled and what was taken is acknowledged.
    pub async fn run<I: Intake>(mut self, mut intake: I, stop: impl Future<Output = ()> + Send) {
        amqp::connected(self.carries, false);
        let mut stop = pin!(stop);
        if let Origin::Queue(sequence) = &self.origin {
            intake.starts_after(sequence.start());
            intake.current();
        }
        loop {
            let address = self.endpoints.rotate();
            let Err(failure) = self.attempt(&address, &mut intake, stop.as_mut()).await else { break };
            if let Origin::Stream(tail) = &mut self.origin {
                tail.failed(&failure);
                intake.away();
            }
            self.away(&address, &failure);
            let wait = self.wait(Instant::now(), &failure);
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.status.down(None);
        amqp::connected(self.carries, false);
    }

    /// One session, from its first packet to its last; `Ok` when it ended because of `stop`.
    async fn attempt<I: Intake, S: Future<Output = ()>>(
        &mut self,
        address: &Address,
        intake: &mut I,
        mut stop: Pin<&mut S>,
    ) -> Result<(), Failure> {
        let Self { dialer, topology, flow, origin, .. } = self;
        let opening = async {
            match origin {
                Origin::Queue(_) => {
                    let session = Session::open(dialer, address, topology, *flow).await?;
                    Ok(Opened::Queue(Box::new(session)))
                }
                Origin::Stream(tail) => {
                    let session = tail.open(dialer, address, topology, *flow, intake).await?;
                    Ok(Opened::Stream(Box::new(session)))
                }
            }
        };
        let mut session = tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            session = opening => session?,
        };
        let start = Instant::now();
        self.established(start, address, intake);
        let topology = &self.topology;
        let outcome = match (&mut session, &mut self.origin) {
            (Opened::Queue(session), Origin::Queue(sequence)) => session.run(intake, sequence, topology, stop).await,
            (Opened::Stream(session), Origin::Stream(tail)) => {
                let queue = tail.queue_name();
                let take = |intake: &mut I, received, delivery| tail.take(intake, received, delivery);
                session.run(intake, take, (topology, &queue), stop).await
            }
            (Opened::Queue(_), Origin::Stream(_)) | (Opened::Stream(_), Origin::Queue(_)) => Ok(()),
        };
        match session {
            Opened::Queue(session) => session.close().await,
            Opened::Stream(session) => session.close().await,
        }
        if start.elapsed() >= self.backoff.steady() {
            self.backoff.reset();
        }
        outcome
    }

    fn established<I: Intake>(&mut self, now: Instant, address: &Address, intake: &mut I) {
        let outage = self.outage.take();
        if let Origin::Queue(sequence) = &mut self.origin {
            // It takes an offset, so that whoever joined after it stands behind it and is not told of it later. The first
            // time as well: a stream may have been opened, and an event published, before there was a queue for it.
            intake.interrupted(sequence.next(), if outage.is_some() { RECONNECTED } else { CONNECTED });
        }
        if let Some(outage) = outage {
            amqp::reconnected(self.carries);
            // The end is logged of what was logged.
            if outage.was_logged() {
                let away = humantime::format_duration(Duration::from_secs(outage.lasted(now).as_secs()));
                tracing::info!(broker = %address, %away, "{} are consumed again", self.carried());
            }
        } else {
            tracing::info!(broker = %address, "{} are consumed", self.carried());
        }
        amqp::connected(self.carries, true);
        self.status.up();
    }

    /// What comes, for a log line.
    const fn carried(&self) -> &'static str {
        match self.carries {
            amqp::Link::Events => "messages",
            amqp::Link::Orders => "orders",
        }
    }

    fn away(&mut self, address: &Address, failure: &Failure) {
        let now = Instant::now();
        let sentence = failure.to_string();
        amqp::connected(self.carries, false);
        self.status.down(Some(&sentence));
        let outage = self.outage.get_or_insert_with(|| Outage::begin(now));
        let logged = if matches!(failure, Failure::Poison) {
            if let Origin::Queue(_) = self.origin {
                amqp::unmapped("unreadable");
            }
            self.poison_log.admit(now)
        } else {
            outage.failed(now, format!("{address} {sentence}"))
        };
        if let Some(suppressed) = logged {
            outage.logged();
            tracing::warn!(broker = %address, suppressed, "no {} come, trying again: {sentence}", self.carried());
        }
    }

    /// How long to wait before the next attempt. A message that cannot be read says nothing against the broker, and
    /// everybody waits: then it is none, or so much that there are only a few attempts a second.
    fn wait(&mut self, now: Instant, failure: &Failure) -> Duration {
        if !matches!(failure, Failure::Poison) {
            return self.backoff.wait();
        }
        let next = self.poisoned.map_or(now, |last| now.max(last + POISON_INTERVAL));
        self.poisoned = Some(next);
        next - now
    }
}

fn flow_faults(config: &BrokerConfig) -> Vec<Fault> {
    let mut faults = Vec::new();
    if config.prefetch == 0 {
        // AMQP's word for no limit at all.
        faults.push(Fault::new("broker.prefetch", "must be more than 0"));
    }
    if config.ack_interval.0.is_zero() {
        faults.push(Fault::new("broker.ack_interval", "must be longer than 0"));
    }
    if config.reconnect_min.0.is_zero() {
        faults.push(Fault::new("broker.reconnect_min", "must be longer than 0"));
    }
    if config.reconnect_max < config.reconnect_min {
        faults.push(Fault::new("broker.reconnect_max", "must not be shorter than broker.reconnect_min"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::{Secret, Span};

    #[test]
    fn every_fault_of_the_section_comes_at_once() {
        let config = BrokerConfig {
            urls: vec![Secret::new("http://mq")],
            exchange: String::new(),
            prefetch: 0,
            heartbeat: Span::from_millis(500),
            ack_interval: Span::from_secs(0),
            reconnect_min: Span::from_secs(20),
            ..BrokerConfig::default()
        };
        let faults = Link::new(&config, &HistoryConfig::default(), Vec::new()).err().unwrap_or_default();
        let mut keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        keys.sort_unstable();
        let expected = [
            "broker.ack_interval",
            "broker.exchange",
            "broker.heartbeat",
            "broker.prefetch",
            "broker.reconnect_max",
            "broker.urls.0",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_message_that_cannot_be_read_is_not_waited_for_but_many_are() {
        let mut link = Link::new(&BrokerConfig::default(), &HistoryConfig::default(), vec!["#".into()]).expect("sound");
        let now = Instant::now();
        assert_eq!(link.wait(now, &Failure::Poison), Duration::ZERO);
        assert_eq!(link.wait(now, &Failure::Poison), POISON_INTERVAL);
        let later = now + POISON_INTERVAL * 2;
        assert_eq!(link.wait(later, &Failure::Poison), Duration::ZERO);
        // The backoff is as it was before them.
        assert!(link.wait(later, &Failure::Silent) <= BrokerConfig::default().reconnect_min.0);
    }

    #[test]
    fn the_defaults_are_sound() {
        assert!(Link::new(&BrokerConfig::default(), &HistoryConfig::default(), vec!["#".into()]).is_ok());
    }
}

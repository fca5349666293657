//! Keeps a connection for presence messages and publishes what the ledger says, each message until the broker has confirmed it.

use std::pin::{Pin, pin};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::protocol::BasicProperties;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Confirmation, Event, ExchangeKind};
use tokio::time::{sleep, sleep_until, timeout};

use super::PresenceConfig;
use super::ledger::{Ledger, Statement};
use super::message::{Replica, Template, Why, body, state};
use crate::broker::BrokerConfig;
use crate::broker::address::{Address, Endpoints};
use crate::broker::backoff::Backoff;
use crate::broker::dial::{Dialer, Wire};
use crate::broker::failure::{Failure, Step};
use crate::broker::outage::Outage;
use crate::hub::Presence;
use crate::setting::Fault;
use crate::shutdown::DrainHandle;
use crate::telemetry::amqp;

/// Messages that are on their way to the broker at once.
const BATCH: usize = 256;
/// For what is to be said at the end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// AMQP 0-9-1, basic.delivery-mode: the message outlives the broker in a queue that does.
const PERSISTENT: u8 = 2;

/// Publishes to the exchange of `[presence]` who comes and who goes.
///
/// At least once: what the broker has not confirmed when the connection ends is published again, unless it is not true
/// any more by then.
pub struct PresencePublisher {
    dialer: Dialer,
    endpoints: Endpoints,
    limit: Duration,
    backoff: Backoff,
    exchange: ShortString,
    declare: bool,
    template: Template,
    replica: Replica,
    ledger: Ledger,
    /// Once it has begun, users leave since this process ends.
    drain: Option<DrainHandle>,
}

impl std::fmt::Debug for PresencePublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresencePublisher").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

impl PresencePublisher {
    /// Checks the section; `None` when no exchange is named.
    ///
    /// # Errors
    /// Every fault of `[presence]`; those of `[broker]`, whose addresses it shares, are the link's to report.
    pub fn new(config: &PresenceConfig, broker: &BrokerConfig) -> Result<Option<Self>, Vec<Fault>> {
        if config.exchange.is_empty() {
            return Ok(None);
        }
        let mut faults = Vec::new();
        let template = Template::parse(&config.routing_key)
            .map_err(|problem| faults.push(Fault::new("presence.routing_key", problem)))
            .ok();
        let exchange = ShortString::try_new(config.exchange.as_str())
            .map_err(|_| faults.push(Fault::new("presence.exchange", "is longer than 255 bytes")))
            .ok();
        let endpoints = Endpoints::from_config(broker).ok();
        let dialer = endpoints.as_ref().and_then(|endpoints| Dialer::new(broker, endpoints.any_tls()).ok());
        if !faults.is_empty() {
            return Err(faults);
        }
        let (Some(template), Some(exchange), Some(endpoints), Some(dialer)) = (template, exchange, endpoints, dialer)
        else {
            return Ok(None);
        };
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = if config.replica.is_empty() { host() } else { config.replica.clone() };
        Ok(Some(Self {
            dialer,
            endpoints,
            limit: broker.connect_timeout.0,
            backoff: Backoff::new(broker.reconnect_min.0, broker.reconnect_max.0),
            exchange,
            declare: config.declare,
            template,
            replica: Replica { name, started: SystemTime::now() },
            ledger: Ledger::new(config.linger.0),
            drain: None,
        }))
    }

    /// Publishes until `stop` resolves; then it says of everybody that they are gone, if the broker is there.
    pub async fn run(mut self, presence: Presence, drain: DrainHandle, stop: impl Future<Output = ()> + Send) {
        self.drain = Some(drain);
        amqp::presence_connected(false);
        let mut stop = pin!(stop);
        let mut outage: Option<Outage> = None;
        loop {
            let address = self.endpoints.rotate();
            let Err(failure) = self.attempt(&address, &presence, &mut outage, stop.as_mut()).await else { break };
            amqp::presence_connected(false);
            let now = Instant::now();
            let outage = outage.get_or_insert_with(|| Outage::begin(now));
            if let Some(suppressed) = outage.failed(now, format!("{address} {failure}")) {
                tracing::warn!(broker = %address, suppressed, "presence is not published, trying again: {failure}");
            }
            tokio::select! {
                () = &mut stop => break,
                () = self.watch_for(&presence) => {}
            }
        }
        amqp::presence_connected(false);
    }

    /// Follows who comes and goes until the next attempt is due.
    async fn watch_for(&mut self, presence: &Presence) {
        let mut wait = pin!(sleep(self.backoff.wait()));
        loop {
            self.collect(presence);
            tokio::select! {
                () = &mut wait => return,
                () = presence.changed() => {}
            }
        }
    }

    /// One connection, from its opening to its end; `Ok` when that was because of `stop`.
    async fn attempt<S: Future<Output = ()>>(
        &mut self,
        address: &Address,
        presence: &Presence,
        outage: &mut Option<Outage>,
        mut stop: Pin<&mut S>,
    ) -> Result<(), Failure> {
        let (wire, channel) = tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            opened = self.open(address) => opened?,
        };
        amqp::presence_connected(true);
        let again = if outage.take().is_some() { " again" } else { "" };
        tracing::info!(broker = %address, "presence is published{again}");
        let start = Instant::now();
        let mut outcome = self.publish_until(&wire, &channel, presence, stop).await;
        if outcome.is_ok() {
            self.ledger.close(Instant::now());
            let last_words = timeout(LAST_WORDS, self.publish_due(&channel)).await;
            outcome = last_words.unwrap_or(Err(Failure::Timeout));
            if let Err(failure) = &outcome {
                tracing::warn!(broker = %address, "presence ends without its last words: {failure}");
            }
        }
        wire.close().await;
        if start.elapsed() >= self.backoff.steady() {
            self.backoff.reset();
        }
        outcome
    }

    async fn open(&self, address: &Address) -> Result<(Wire, Channel), Failure> {
        let wire = self.dialer.dial(address).await?;
        match timeout(self.limit, self.open_channel(&wire)).await.unwrap_or(Err(Failure::Timeout)) {
            Ok(channel) => Ok((wire, channel)),
            Err(failure) => {
                wire.close().await;
                Err(failure)
            }
        }
    }

    async fn open_channel(&self, wire: &Wire) -> Result<Channel, Failure> {
        let failure = |step| move |error| Failure::of(error, step);
        let channel = wire.connection.create_channel().await.map_err(failure(Step::Open))?;
        let (step, options) = if self.declare {
            (Step::DeclarePresence, ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() })
        } else {
            (Step::CheckPresence, ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() })
        };
        let exchange = self.exchange.clone();
        let declaring = channel.exchange_declare(exchange, ExchangeKind::Topic, options, FieldTable::default());
        declaring.await.map_err(failure(step))?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failure(Step::Presence))?;
        Ok(channel)
    }

    async fn publish_until<S: Future<Output = ()>>(
        &mut self,
        wire: &Wire,
        channel: &Channel,
        presence: &Presence,
        mut stop: Pin<&mut S>,
    ) -> Result<(), Failure> {
        let mut events = pin!(wire.connection.events_listener());
        loop {
            self.collect(presence);
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                published = self.publish_due(channel) => published?,
            }
            let next = self.ledger.next();
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                event = events.next() => ended(event)?,
                () = presence.changed() => {}
                () = until(next) => {}
            }
        }
    }

    /// Brings the ledger up to date.
    fn collect(&mut self, presence: &Presence) {
        loop {
            let changes = presence.collect();
            if changes.users.is_empty() && !changes.is_everybody {
                break;
            }
            self.ledger.note(changes, Instant::now());
        }
        amqp::presence_waiting(self.ledger.waiting());
    }

    /// Publishes everything that is due, and has each message confirmed.
    async fn publish_due(&mut self, channel: &Channel) -> Result<(), Failure> {
        loop {
            let due = self.ledger.due(BATCH, Instant::now());
            if due.is_empty() {
                return Ok(());
            }
            let sending = join_all(due.iter().map(|statement| self.publish(channel, statement)));
            let outcomes = timeout(self.limit, sending).await.map_err(|_elapsed| Failure::Timeout)?;
            let mut first_failure = Ok(());
            for (statement, outcome) in due.into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) => {
                        amqp::presence_published(state(&statement));
                        self.ledger.said(statement, Instant::now());
                    }
                    Err(failure) => first_failure = first_failure.and(Err(failure)),
                }
            }
            amqp::presence_waiting(self.ledger.waiting());
            first_failure?;
        }
    }

    async fn publish(&self, channel: &Channel, statement: &Statement) -> Result<(), Failure> {
        let failure = |error| Failure::of(error, Step::Presence);
        let draining = self.drain.as_ref().is_some_and(|drain| drain.begun().is_some());
        let why = if draining { Why::Drained } else { Why::Left };
        let now = SystemTime::now();
        let key =
            ShortString::try_new(self.template.routing_key(statement)).expect("a template leaves room for a user");
        let properties = BasicProperties::default()
            .with_content_type(ShortString::from("application/json"))
            .with_delivery_mode(PERSISTENT)
            .with_type(ShortString::from(state(statement)))
            .with_timestamp(now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
        let body = body(statement, &self.replica, why, now);
        let options = BasicPublishOptions::default();
        let confirm = channel.basic_publish(self.exchange.clone(), key, options, &body, properties).await;
        match confirm.map_err(failure)?.await.map_err(failure)? {
            Confirmation::Ack(_) => Ok(()),
            Confirmation::Nack(_) | Confirmation::NotRequested => Err(Failure::Unconfirmed),
        }
    }
}

/// The connection has ended when it says an error or nothing any more.
fn ended(event: Option<Event>) -> Result<(), Failure> {
    match event {
        Some(Event::Error(error)) => Err(Failure::of(error, Step::Presence)),
        None => Err(Failure::Lost(std::io::ErrorKind::NotConnected.into())),
        Some(_) => Ok(()),
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

//! The application's side: numbered messages at a steady pace, with publisher confirms, over whatever happens to its connection.
//!
//! A message whose confirm was lost is never sent again: a second copy would be the publisher's fault, not the program's.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind, PublisherConfirm};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::ledger::{Fate, Ledger, Topic};

pub const EXCHANGE: &str = "events";

const UNCONFIRMED_AT_MOST: usize = 64;
/// Longer than any broker here is frozen.
const CONFIRM_LIMIT: Duration = Duration::from_secs(12);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
/// Of a hundred messages that are not for everyone.
const OF_A_USER: u32 = 60;
/// Between two messages for everyone, once browsers are only to catch up.
const CLOSING_INTERVAL: Duration = Duration::from_millis(50);

/// What is published, and how fast.
#[derive(Clone, Debug)]
pub struct Flow {
    pub urls: Vec<String>,
    pub users: usize,
    pub channels: usize,
    pub per_second: u32,
    /// Of a hundred messages so many are for everyone; of the others most are for one user, some for a channel.
    pub for_everyone: u32,
    /// Bytes that follow each number.
    pub padding: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Steady,
    /// Only for everyone, and slowly: who gets one of these has got everything before it that he will ever get.
    Closing,
    Stopped,
}

/// A task that publishes until it is stopped.
#[derive(Debug)]
pub struct Publisher {
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

/// Declares the durable exchange at `url`.
pub async fn declare_exchange(url: &str) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("the broker is up");
    let channel = connection.create_channel().await.expect("a channel");
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let declared = channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, options, FieldTable::default());
    declared.await.expect("the exchange is new");
    connection.close(200, "done".into()).await.expect("the broker is up");
}

impl Publisher {
    pub fn start(flow: Flow, rng: fastrand::Rng, ledger: Arc<Ledger>) -> Self {
        let (mode, watched) = watch::channel(Mode::Steady);
        Self { mode, task: tokio::spawn(Run { flow, rng, ledger, mode: watched }.run()) }
    }

    /// From now on only a slow flow of messages for everyone.
    pub fn close(&self) {
        self.mode.send_replace(Mode::Closing);
    }

    /// Stops and waits for the last confirms.
    pub async fn stop(self) {
        self.mode.send_replace(Mode::Stopped);
        self.task.await.expect("the publisher does not panic");
    }
}

struct Run {
    flow: Flow,
    rng: fastrand::Rng,
    ledger: Arc<Ledger>,
    mode: watch::Receiver<Mode>,
}

impl Run {
    async fn run(mut self) {
        let urls = self.flow.urls.clone();
        for url in urls.iter().cycle() {
            if *self.mode.borrow() == Mode::Stopped {
                return;
            }
            match timeout(CONNECT_LIMIT, connect(url)).await {
                // The connection is kept until its channel is done with.
                Ok(Ok((_connection, channel))) => self.publish_on(&channel).await,
                Ok(Err(_)) | Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Publishes until told to stop or something breaks; every message it entered is settled then.
    async fn publish_on(&mut self, channel: &Channel) {
        let mut unconfirmed = FuturesUnordered::new();
        let mut pace = pace(Duration::from_secs(1) / self.flow.per_second);
        loop {
            tokio::select! {
                changed = self.mode.changed() => {
                    if changed.is_err() || *self.mode.borrow() == Mode::Stopped {
                        break;
                    }
                    pace = self::pace(CLOSING_INTERVAL);
                }
                Some((number, fate)) = unconfirmed.next() => {
                    self.ledger.settle(number, fate);
                    if fate == Fate::Unknown {
                        break;
                    }
                }
                _ = pace.tick(), if unconfirmed.len() < UNCONFIRMED_AT_MOST => {
                    let Some(confirm) = self.publish_next(channel).await else { break };
                    unconfirmed.push(confirm);
                }
            }
        }
        while let Some((number, fate)) = unconfirmed.next().await {
            self.ledger.settle(number, fate);
        }
    }

    async fn publish_next(&mut self, channel: &Channel) -> Option<impl Future<Output = (usize, Fate)> + use<>> {
        let topic = self.topic();
        let number = self.ledger.enter(topic);
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let key = topic.routing_key();
        let body = format!("{number}{}", ".".repeat(self.flow.padding));
        let properties = BasicProperties::default().with_delivery_mode(2);
        let sent = channel.basic_publish(EXCHANGE.into(), key.into(), options, body.as_bytes(), properties).await;
        let confirm = sent.ok()?;
        Some(async move { (number, fate(confirm).await) })
    }

    fn topic(&mut self) -> Topic {
        if *self.mode.borrow() == Mode::Closing {
            return Topic::Everyone;
        }
        if self.rng.u32(..100) < self.flow.for_everyone {
            Topic::Everyone
        } else if self.rng.u32(..100) < OF_A_USER {
            Topic::User(self.rng.usize(..self.flow.users))
        } else {
            Topic::Channel(self.rng.usize(..self.flow.channels))
        }
    }
}

async fn connect(url: &str) -> lapin::Result<(Connection, Channel)> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

async fn fate(confirm: PublisherConfirm) -> Fate {
    match timeout(CONFIRM_LIMIT, confirm).await {
        Ok(Ok(Confirmation::Ack(None))) => Fate::Kept,
        Ok(Ok(Confirmation::Ack(Some(_)))) => Fate::Unroutable,
        Ok(Ok(Confirmation::Nack(_) | Confirmation::NotRequested) | Err(_)) | Err(_) => Fate::Unknown,
    }
}

fn pace(every: Duration) -> tokio::time::Interval {
    let mut pace = interval(every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

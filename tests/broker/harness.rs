//! A link that feeds a recorder, and what tests do to the broker beside it.
#![allow(clippy::panic, reason = "test code outside the test functions")]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use cottontail::broker::{BrokerConfig, Intake, Link, LinkState, LinkStatus, publish_once};
use cottontail::event::{EventId, Message};
use cottontail::hub::{HistoryConfig, HistoryKind};
use cottontail::setting::{Secret, Span};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::sync::{Mutex, MutexGuard, OnceCell, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::rabbitmq::Node;

/// Generous, since the machine may be busy with several brokers.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A node that tests disturb, one at a time.
pub(crate) async fn disturbed() -> MutexGuard<'static, Node> {
    static DISTURBED: OnceCell<Mutex<Node>> = OnceCell::const_new();
    DISTURBED.get_or_init(async || Mutex::new(Node::private().await)).await.lock().await
}

/// A config for `url` that declares an exchange of its own and is quick to try again.
pub(crate) fn config(url: &str) -> BrokerConfig {
    BrokerConfig {
        urls: vec![Secret::new(url)],
        exchange: format!("events.{:08x}", fastrand::u32(..)),
        declare: true,
        heartbeat: Span::from_secs(2),
        connect_timeout: Span::from_secs(20),
        reconnect_min: Span::from_millis(20),
        reconnect_max: Span::from_millis(200),
        ..BrokerConfig::default()
    }
}

/// As `config`, but slow to try again, so that an outage can be looked at.
pub(crate) fn unhurried(url: &str) -> BrokerConfig {
    BrokerConfig { reconnect_min: Span::from_secs(1), reconnect_max: Span::from_secs(1), ..config(url) }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Message(u64, Message),
    Interrupted(u64, &'static str),
}

struct Recorder {
    seen: mpsc::Sender<Seen>,
    open: watch::Receiver<bool>,
}

impl Intake for Recorder {
    async fn ready(&self) {
        let _ = self.open.clone().wait_for(|open| *open).await;
    }

    fn starts_after(&mut self, _: EventId) {}

    fn current(&mut self) {}

    fn away(&mut self) {}

    fn knows(&self, _: EventId) -> bool {
        false
    }

    fn pass(&mut self, _: EventId, _: Instant) {}

    fn accept(&mut self, id: EventId, received: Instant, message: &Message) {
        assert!(received.elapsed() < LIMIT);
        self.seen
            .try_send(Seen::Message(id.position.offset, message.clone()))
            .expect("room for all that a test publishes");
    }

    fn interrupted(&mut self, id: EventId, reason: &'static str) {
        self.seen.try_send(Seen::Interrupted(id.position.offset, reason)).expect("room for all that a test publishes");
    }
}

/// The metrics of this whole test binary.
pub(crate) fn metrics() -> &'static PrometheusHandle {
    static METRICS: LazyLock<PrometheusHandle> =
        LazyLock::new(|| PrometheusBuilder::new().install_recorder().expect("the only recorder"));
    &METRICS
}

/// A running link.
pub(crate) struct Running {
    pub(crate) config: BrokerConfig,
    pub(crate) status: LinkStatus,
    pub(crate) open: watch::Sender<bool>,
    seen: mpsc::Receiver<Seen>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(config: BrokerConfig) -> Self {
        Self::start_with_intake(config, true)
    }

    /// A link that is up and whose intake is not ready yet.
    pub(crate) async fn up_but_shut(config: BrokerConfig) -> Self {
        Self::start_with_intake(config, false).first_connected().await
    }

    fn start_with_intake(config: BrokerConfig, open: bool) -> Self {
        metrics();
        let history = HistoryConfig { kind: HistoryKind::Memory, ..HistoryConfig::default() };
        let link = Link::new(&config, &history, vec!["user.#".into(), "poison.*".into()]).expect("a sound config");
        let (open, gate) = watch::channel(open);
        let (sender, seen) = mpsc::channel(100_000);
        let (stop, stopped) = oneshot::channel::<()>();
        let status = link.status();
        let recorder = Recorder { seen: sender, open: gate };
        let task = tokio::spawn(link.run(recorder, async {
            let _ = stopped.await;
        }));
        Self { config, status, open, seen, stop, task }
    }

    /// A link that is up.
    pub(crate) async fn up(config: BrokerConfig) -> Self {
        Self::start(config).first_connected().await
    }

    /// Waits until it is up and has said so at offset 1, to streams that were opened before.
    async fn first_connected(mut self) -> Self {
        self.until(|state| state.connected).await;
        assert_eq!(self.next().await, Seen::Interrupted(1, "broker_connected"));
        self
    }

    pub(crate) async fn until(&mut self, wanted: impl FnMut(&LinkState) -> bool) -> LinkState {
        let state = timeout(LIMIT, self.status.wait_for(wanted)).await;
        let now = self.status.get();
        state.unwrap_or_else(|_| panic!("not within {LIMIT:?}; now {now:?}")).expect("the link runs")
    }

    /// Waits for an outage and gives its sentence.
    pub(crate) async fn problem(&mut self) -> String {
        let state = self.until(|state| state.problem.is_some()).await;
        state.problem.expect("just seen").to_string()
    }

    pub(crate) async fn next(&mut self) -> Seen {
        timeout(LIMIT, self.seen.recv()).await.expect("in time").expect("the link runs")
    }

    /// The offset and routing key of the next message.
    pub(crate) async fn next_message(&mut self) -> (u64, String) {
        match self.next().await {
            Seen::Message(offset, message) => (offset, message.routing_key),
            Seen::Interrupted(offset, reason) => panic!("interrupted at {offset}: {reason}"),
        }
    }

    pub(crate) async fn next_interruption(&mut self) -> u64 {
        match self.next().await {
            Seen::Interrupted(offset, "broker_reconnected") => offset,
            other @ (Seen::Interrupted(..) | Seen::Message(..)) => panic!("{other:?}"),
        }
    }

    pub(crate) async fn publish(&self, routing_key: &str) {
        publish_once(&self.config, &message(routing_key)).await.expect("published");
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        timeout(LIMIT, self.task).await.expect("in time").expect("no panic");
    }
}

pub(crate) fn message(routing_key: &str) -> Message {
    Message { routing_key: routing_key.into(), body: "{}".into(), ..Message::default() }
}

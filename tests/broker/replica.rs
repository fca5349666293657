//! A replica without its server: link, archive and hub as the program wires them, and streams that tests read.
#![allow(clippy::panic, reason = "test code outside the test functions")]

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use cottontail::broker::{BrokerConfig, Link, LinkStatus, Pipeline};
use cottontail::hub::{
    self, Archive, Beginning, HistoryConfig, Overview, Shard, StreamConfig, Subscriber, Subscription,
};
use cottontail::routing::{MappingConfig, MappingTable, Mappings, OneOrMany};
use cottontail::setting::Span;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::harness::{LIMIT, metrics};

/// The default history on a stream.
pub(crate) fn history() -> HistoryConfig {
    HistoryConfig::default()
}

pub(crate) struct Replica {
    shard: Shard,
    overview: Overview,
    status: LinkStatus,
    stop: oneshot::Sender<()>,
    tasks: [JoinHandle<()>; 2],
}

/// What a browser would be given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) data: String,
}

/// A stream of user 1 after its opening block.
pub(crate) struct Reader {
    shard: Shard,
    subscriber: Subscriber,
    unread: String,
    pub(crate) resumed: bool,
    /// The id that the browser would come back with.
    pub(crate) id: String,
}

impl Replica {
    pub(crate) fn start(config: &BrokerConfig, history: &HistoryConfig) -> Self {
        metrics();
        let mapping = MappingConfig {
            routing_key: "user.{user}.{event}".into(),
            user: OneOrMany::from("{user}"),
            event: "{event}".into(),
            ..MappingConfig::default()
        };
        let table = MappingTable::compile(&[mapping], "app-").expect("a sound mapping");
        let keys = table.binding_keys();
        let table = Mappings::new(table);
        let link = Link::new(config, history, keys).expect("a sound config");
        let (replay, task) = link.replay(&table, "").expect("a stream has a past");
        // Tests read one stream after the other.
        let limits = StreamConfig {
            queue_events: 10_000,
            queue_bytes: ByteSize::mib(64),
            write_timeout: Span::from_secs(3600),
            ..StreamConfig::default()
        };
        let archive: Arc<dyn Archive> = Arc::new(replay);
        let (publisher, mut seeds, overview) = hub::open(history, &limits, Some(archive), 1);
        let pipeline = Pipeline::new(table, publisher, config.max_message_bytes, history.dedupe_message_ids);
        let (stop, stopped) = oneshot::channel::<()>();
        let status = link.status();
        let run = link.run(pipeline, async {
            let _ = stopped.await;
        });
        let tasks = [tokio::spawn(run), tokio::spawn(task.run())];
        Self { shard: seeds.remove(0).settle(Instant::now()), overview, status, stop, tasks }
    }

    pub(crate) async fn up(config: &BrokerConfig, history: &HistoryConfig) -> Self {
        let replica = Self::start(config, history);
        replica.until_connected(true).await;
        replica
    }

    pub(crate) async fn until_connected(&self, wanted: bool) {
        let mut status = self.status.clone();
        let waiting = timeout(LIMIT, status.wait_for(|state| state.connected == wanted));
        let last = self.status.get();
        waiting.await.unwrap_or_else(|_| panic!("not within {LIMIT:?}; {last:?}")).expect("the link runs");
    }

    pub(crate) async fn problem(&self) -> String {
        let mut status = self.status.clone();
        let state = timeout(LIMIT, status.wait_for(|state| state.problem.is_some())).await.expect("in time");
        state.and_then(|state| state.problem).expect("the link runs").to_string()
    }

    pub(crate) fn ring_events(&self) -> usize {
        self.overview.figures(0).ring_events
    }

    pub(crate) async fn open(&self, beginning: Beginning) -> Reader {
        let subscription = Subscription { user: Some("1".into()), ..Subscription::default() };
        let subscriber = self.shard.subscribe(&subscription, beginning, Instant::now()).expect("room");
        let (shard, unread) = (self.shard.clone(), String::new());
        let mut reader = Reader { shard, subscriber, unread, resumed: false, id: String::new() };
        let opening = reader.next().await;
        assert_eq!(opening.name, "connected");
        reader.resumed = opening.data.contains("\"resumed\":true");
        reader
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        let [link, replay] = self.tasks;
        timeout(LIMIT, link).await.expect("in time").expect("no panic");
        replay.abort();
    }
}

impl Reader {
    /// The next event. Heartbeats only move the id.
    pub(crate) async fn next(&mut self) -> Seen {
        timeout(LIMIT, self.find_next()).await.unwrap_or_else(|_| panic!("no event within {LIMIT:?}"))
    }

    async fn find_next(&mut self) -> Seen {
        loop {
            while let Some((block, rest)) = self.unread.split_once("\n\n") {
                let field = |name: &str| {
                    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
                };
                let (id, name, data) = (field("id"), field("event"), field("data"));
                let rest = rest.to_owned();
                self.unread = rest;
                self.id = id.unwrap_or_else(|| std::mem::take(&mut self.id));
                if let (Some(name), Some(data)) = (name, data) {
                    return Seen { name, id: self.id.clone(), data };
                }
            }
            let more = self.more().await;
            self.unread.push_str(&more);
        }
    }

    /// What comes next, while the shard has its turns.
    async fn more(&mut self) -> String {
        loop {
            let turn = self.shard.turn(Instant::now());
            let chunk = poll_fn(|cx| match self.subscriber.poll_chunk(cx) {
                Poll::Ready(chunk) => Poll::Ready(Some(chunk.expect("the stream goes on").expect("it keeps up"))),
                Poll::Pending => Poll::Ready(None),
            })
            .await;
            if let Some(chunk) = chunk {
                return String::from_utf8(chunk.bytes.to_vec()).expect("UTF-8");
            }
            if !turn.more {
                let next = turn.next.saturating_duration_since(Instant::now()).min(Duration::from_millis(20));
                let _ = timeout(next, self.shard.filled()).await;
            }
        }
    }
}

//! A browser with one `EventSource`: connects to either replica, comes back with its last event id, and writes down what it saw.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::ledger::Topic;
use crate::support::deadline::eventually;
use crate::support::eventsource_decoder::{EventSourceDecoder, Message, Observed};
use crate::support::http1::{Body, Piece, Request, send};

/// One thing that happened to a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// `connected` came, from the replica of this index, after the request had said `after`.
    Opened {
        replica: usize,
        after: String,
        resumed: bool,
    },
    Event {
        number: usize,
        id: String,
    },
    Gap {
        reason: String,
        from: String,
        to: String,
    },
    /// The stream ended or could not be reached.
    Interrupted,
    /// A status at which an `EventSource` gives up for ever.
    GivenUp(u16),
    /// What no server should say.
    Absurd(String),
}

/// What a browser may see.
#[derive(Clone, Debug)]
pub struct Wants {
    pub user: usize,
    pub channels: Vec<usize>,
}

impl Wants {
    pub fn want(&self, topic: Topic) -> bool {
        match topic {
            Topic::User(user) => user == self.user,
            Topic::Channel(channel) => self.channels.contains(&channel),
            Topic::Everyone => true,
        }
    }
}

#[derive(Debug, Default)]
struct Log {
    noted: Mutex<Vec<Noted>>,
    /// One more than the highest number that came.
    reached: AtomicUsize,
    /// When each request was sent.
    requests: Mutex<Vec<Instant>>,
}

/// A browser that runs until it is dropped.
#[derive(Debug)]
pub struct Browser {
    pub name: String,
    pub wants: Wants,
    log: Arc<Log>,
    task: JoinHandle<()>,
}

/// What a browser needs to begin.
#[derive(Clone, Debug)]
pub struct Page {
    pub name: String,
    pub wants: Wants,
    /// The replicas' addresses.
    pub replicas: Arc<[SocketAddr]>,
    pub request: Request,
    /// From an earlier page; empty for none.
    pub last_event_id: String,
    pub rng: fastrand::Rng,
}

impl Browser {
    pub fn open(page: Page) -> Self {
        let log = Arc::new(Log::default());
        let (name, wants) = (page.name.clone(), page.wants.clone());
        let retry = Duration::from_millis(page.rng.clone().u64(50..250));
        let running = Running { page, retry, log: Arc::clone(&log) };
        Self { name, wants, log, task: tokio::spawn(running.run()) }
    }

    /// Everything so far.
    pub fn log(&self) -> Vec<Noted> {
        self.log.noted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it was ever connected.
    pub fn is_open(&self) -> bool {
        let noted = self.log.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.iter().any(|noted| matches!(noted, Noted::Opened { .. }))
    }

    /// When it has sent its requests, the first one included.
    pub fn requests(&self) -> Vec<Instant> {
        self.log.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number and id of its last event, once it has one.
    pub async fn last_event(&self) -> (usize, String) {
        eventually("an event", async || {
            self.log()
                .into_iter()
                .rev()
                .find_map(|noted| if let Noted::Event { number, id } = noted { Some((number, id)) } else { None })
        })
        .await
    }

    /// Waits for a gap; gives what it says of where it begins.
    pub async fn hears_of_a_gap(&self) -> String {
        eventually("the browser to hear of a gap", async || {
            self.log().into_iter().find_map(|noted| if let Noted::Gap { from, .. } = noted { Some(from) } else { None })
        })
        .await
    }

    /// One more than the highest number that came; 0 before the first.
    pub fn reached(&self) -> usize {
        self.log.reached.load(Ordering::Acquire)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Running {
    page: Page,
    /// Until a stream sets another.
    retry: Duration,
    log: Arc<Log>,
}

impl Running {
    async fn run(mut self) {
        loop {
            let replica = self.page.rng.usize(..self.page.replicas.len());
            let request = match self.page.last_event_id.as_str() {
                "" => self.page.request.clone(),
                id => self.page.request.clone().header("Last-Event-ID", id),
            };
            self.log.requests.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
            if let Ok((head, body)) = send(self.page.replicas[replica], &request).await {
                if head.status != 200 {
                    return self.note(Noted::GivenUp(head.status));
                }
                self.read(replica, body).await;
            }
            self.note(Noted::Interrupted);
            sleep(self.retry).await;
        }
    }

    async fn read(&mut self, replica: usize, mut body: Body) {
        let after = self.page.last_event_id.clone();
        let mut decoder = EventSourceDecoder::new();
        loop {
            let data = match body.next().await {
                Ok(Piece::Data(data)) => data,
                Ok(Piece::End(_)) => return,
                Err(error) => return self.note(Noted::Absurd(error.to_string())),
            };
            for observed in decoder.feed(&data) {
                match observed {
                    Observed::Message(message) => {
                        self.page.last_event_id.clone_from(&message.last_event_id);
                        self.dispatch(replica, &after, &message);
                    }
                    Observed::Position(id) => self.page.last_event_id = id,
                    Observed::Retry(milliseconds) => self.retry = Duration::from_millis(milliseconds),
                    Observed::Comment(_) => {}
                }
            }
        }
    }

    fn dispatch(&mut self, replica: usize, after: &str, message: &Message) {
        let json = || serde_json::from_str::<serde_json::Value>(&message.data).ok();
        let noted = match message.name.as_str() {
            "connected" => json().and_then(|json| {
                Some(Noted::Opened { replica, after: after.to_owned(), resumed: json["resumed"].as_bool()? })
            }),
            "gap" => json().and_then(|json| {
                let text = |key: &str| Some(json[key].as_str()?.to_owned());
                Some(Noted::Gap { reason: text("reason")?, from: text("from")?, to: text("to")? })
            }),
            "count" => message.data.trim_end_matches('.').parse().ok().map(|number| {
                self.log.reached.fetch_max(number + 1, Ordering::AcqRel);
                Noted::Event { number, id: message.last_event_id.clone() }
            }),
            _ => None,
        };
        self.note(noted.unwrap_or_else(|| Noted::Absurd(format!("{message:?}"))));
    }

    fn note(&self, noted: Noted) {
        self.log.noted.lock().unwrap_or_else(PoisonError::into_inner).push(noted);
    }
}

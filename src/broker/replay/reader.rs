//! One reader: a consumer that starts at the oldest place asked for and serves everybody whose place it passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::{AMQPValue, ShortString};
use lapin::{Channel, Consumer};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::address::Address;
use super::super::decode;
use super::super::dial::{Dialer, Wire};
use super::super::failure::{Failure, Step};
use super::super::pipeline::Sieve;
use super::super::stream::{Probe, id_of, is_marker};
use super::request::{Request, STALL, Sent};
use crate::hub::{Archived, Past};

/// Deliveries of one piece, and bytes after which it is closed.
const PIECE_DELIVERIES: usize = 128;
const PIECE_BYTES: usize = 64 << 10;
const PREFETCH: u16 = 256;
/// A reader that has nothing to do looks this often whether it is still needed.
const IDLE: Duration = Duration::from_millis(500);
/// What is there is delivered within this time.
pub(super) const OWED_LIMIT: Duration = Duration::from_secs(1);
/// While nothing comes, the stream is given this long before its end is looked at.
const DOUBT: Duration = Duration::from_secs(3);

/// A reader's work, from its first delivery to the last request.
pub(super) struct Reader {
    pub(super) stream: ShortString,
    pub(super) sieve: Sieve,
    pub(super) requests: Vec<Request>,
    /// Requests that join while it reads.
    pub(super) joining: mpsc::Receiver<Request>,
    /// Those whose stream does not keep up go back here.
    pub(super) aside: mpsc::Sender<Request>,
    /// The offset that was read last.
    pub(super) position: Arc<AtomicU64>,
    pub(super) setup_limit: Duration,
}

/// A reader's connection. No other reads on it: who is to blame when something unreadable ends it is then beyond doubt.
pub(super) enum Line {
    Open(Wire),
    Dial(Arc<Dialer>, Address),
}

impl Line {
    async fn open(self) -> Result<Wire, Failure> {
        match self {
            Self::Open(wire) => Ok(wire),
            Self::Dial(dialer, address) => dialer.dial(&address).await,
        }
    }
}

/// How a reader ended: what it leaves to another one, and its connection or why that is of no use any more.
pub(super) struct Outcome {
    pub(super) left: Vec<Request>,
    pub(super) wire: Result<Wire, Failure>,
}

/// The deliveries of one piece so far.
#[derive(Default)]
struct Piece {
    past: Vec<Past>,
    bytes: usize,
    /// The delivery tag to acknowledge with it.
    tag: u64,
}

impl Reader {
    pub(super) async fn run(mut self, line: Line) -> Outcome {
        let wire = match line.open().await {
            Ok(wire) => self.read(&wire).await.map(|()| wire),
            Err(failure) => Err(failure),
        };
        // What is sent from now on comes back to the pool.
        self.joining.close();
        while let Ok(request) = self.joining.try_recv() {
            self.requests.push(request);
        }
        let position = self.position.load(Ordering::Acquire);
        let mut left = self.requests;
        for request in &mut left {
            request.rewind();
            if matches!(wire, Err(Failure::Poison)) {
                request.poisoned(position);
            }
        }
        Outcome { left, wire }
    }

    /// Reads until nobody needs it any more.
    async fn read(&mut self, wire: &Wire) -> Result<(), Failure> {
        let attached = timeout(self.setup_limit, self.attach(wire)).await.unwrap_or(Err(Failure::Timeout))?;
        let Some((channel, mut consumer)) = attached else { return Ok(()) };
        let (mut piece, mut quiet_since) = (Piece::default(), Instant::now());
        loop {
            let delivery = tokio::select! {
                biased;
                Some(request) = self.joining.recv() => {
                    self.join(request);
                    continue;
                }
                delivery = consumer.next() => delivery.map(Some),
                () = tokio::time::sleep(IDLE) => Some(None),
            };
            let Some(delivery) = delivery else { return Err(Failure::ConsumerCancelled) };
            match delivery {
                Some(delivery) => {
                    quiet_since = Instant::now();
                    let mut taken = self.take(&mut piece, delivery).await;
                    while taken.is_ok()
                        && piece.has_room()
                        && let Some(Some(delivery)) = consumer.next().now_or_never()
                    {
                        taken = self.take(&mut piece, delivery).await;
                    }
                    // Before what ends the connection came what counts as read.
                    self.hand_out(&mut piece).await;
                    taken?;
                    let tag = std::mem::take(&mut piece.tag);
                    // It fails only when the channel is gone; the consumer then says why.
                    let _ = channel.basic_ack(tag, BasicAckOptions { multiple: true }).await;
                }
                None if quiet_since.elapsed() > DOUBT => {
                    self.doubt(wire).await?;
                    quiet_since = Instant::now();
                }
                // Whoever still has something to take must not keep the reader from others.
                None => self.release(),
            }
            let now = Instant::now();
            self.requests.retain(|request| !request.is_gone(now));
            if self.requests.is_empty() && self.joining.is_empty() {
                // The channel's end is the consumer's.
                let _ = channel.close(200, "OK".into()).await;
                return Ok(());
            }
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Takes in a request, unless its place was passed while it was on its way.
    fn join(&mut self, request: Request) {
        if request.offset().is_some_and(|at| at > self.position.load(Ordering::Acquire)) {
            self.requests.push(request);
        } else {
            let _ = self.aside.try_send(request);
        }
    }

    /// A consumer for the requests; none when nobody is left who needs one.
    async fn attach(&mut self, wire: &Wire) -> Result<Option<(Channel, Consumer)>, Failure> {
        let start = match self.requests.iter().find_map(Request::since) {
            Some(time) => self.begin_since(wire, time).await?,
            None => self.requests.iter_mut().map(Request::attach).min(),
        };
        let Some(start) = start else { return Ok(None) };
        self.position.store(start, Ordering::Release);
        let probe = Probe { wire, stream: &self.stream };
        probe.attach(AMQPValue::LongLongInt(start.cast_signed()), PREFETCH).await.map(Some)
    }

    async fn take(&mut self, piece: &mut Piece, delivery: lapin::Result<Delivery>) -> Result<(), Failure> {
        let delivery = delivery.map_err(|error| Failure::of(error, Step::ConsumeStream))?;
        let (id, tag) = (id_of(&delivery)?, delivery.delivery_tag);
        self.position.store(id.position.offset, Ordering::Release);
        let mut told = Vec::new();
        for (index, request) in self.requests.iter_mut().enumerate() {
            told.extend(request.judge(id).map(|message| (index, message)));
        }
        if !told.is_empty() {
            // What came before belongs to those who were there already.
            let before = std::mem::take(&mut piece.tag);
            self.tell(piece, told).await;
            piece.tag = before;
        }
        let events = if is_marker(&delivery) { Vec::new() } else { self.sieve.events(&decode::message(delivery)) };
        let past = Past::new(id, events);
        piece.bytes += past.size();
        piece.past.push(past);
        piece.tag = tag;
        Ok(())
    }

    /// Hands out what there is, and then tells each of those requests, by its number, where it stands.
    async fn tell(&mut self, piece: &mut Piece, told: Vec<(usize, Archived)>) {
        let numbers: Vec<usize> = told.iter().map(|(index, _)| *index).collect();
        let mut telling: Vec<Request> = Vec::new();
        for index in numbers.into_iter().rev() {
            telling.insert(0, self.requests.remove(index));
        }
        // Those who are told of a gap have what came before it as well.
        let past: Arc<[Past]> = std::mem::take(piece).past.into();
        self.send_all(&past).await;
        let deadline = Instant::now() + STALL;
        for (mut request, (_, message)) in telling.into_iter().zip(told) {
            match request.send_past(&past, deadline).await {
                Sent::Yes => self.settle(message, request, deadline).await,
                Sent::Stalled => self.set_aside(request),
                Sent::Gone => {}
            }
        }
    }

    /// Tells `request` something and keeps it if it goes on.
    pub(super) async fn settle(&mut self, message: Archived, mut request: Request, deadline: Instant) {
        match request.tell(message, deadline).await {
            Sent::Yes => self.requests.push(request),
            Sent::Stalled => self.set_aside(request),
            Sent::Gone => {}
        }
    }

    async fn hand_out(&mut self, piece: &mut Piece) {
        let tag = piece.tag;
        let past: Arc<[Past]> = std::mem::take(piece).past.into();
        piece.tag = tag;
        self.send_all(&past).await;
    }

    async fn send_all(&mut self, past: &Arc<[Past]>) {
        let deadline = Instant::now() + STALL;
        for mut request in std::mem::take(&mut self.requests) {
            match request.send_past(past, deadline).await {
                Sent::Yes => self.requests.push(request),
                Sent::Stalled => self.set_aside(request),
                Sent::Gone => {}
            }
        }
    }

    /// At the end of what there is, gives back all but those that wait to be told where they stand.
    fn release(&mut self) {
        let (owed, done): (Vec<_>, Vec<_>) = self.requests.drain(..).partition(Request::is_owed);
        self.requests = owed;
        for request in done {
            self.set_aside(request);
        }
    }

    fn set_aside(&self, request: Request) {
        // Without room there its stream is told to come back.
        let _ = self.aside.try_send(request.put_aside(Instant::now()));
    }

    /// Nothing comes although somebody waits for a delivery that was there: the stream is another one, and shorter, or its
    /// replica here is behind.
    async fn doubt(&mut self, wire: &Wire) -> Result<(), Failure> {
        let probe = Probe { wire, stream: &self.stream };
        let Some(furthest) = self.requests.iter().filter(|request| request.is_owed()).filter_map(Request::offset).max()
        else {
            return Ok(());
        };
        let newest = timeout(self.setup_limit, probe.newest(furthest, OWED_LIMIT)).await;
        let newest = newest.unwrap_or(Err(Failure::Timeout))?;
        let deadline = Instant::now() + STALL;
        for request in std::mem::take(&mut self.requests) {
            let beyond = newest.is_none_or(|newest| request.offset().is_some_and(|at| at > newest.position.offset));
            if request.is_owed() && beyond {
                self.settle(Archived::Unknown, request, deadline).await;
            } else {
                self.requests.push(request);
            }
        }
        Ok(())
    }
}

impl Piece {
    fn has_room(&self) -> bool {
        self.past.len() < PIECE_DELIVERIES && self.bytes < PIECE_BYTES
    }
}

//! The connections to the application: opened when needed, kept while they are idle, limited in number. One pool a worker.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::UpstreamConfig;
use super::body::{Progress, RequestBody, Sending};
use super::error::ProxyError;
use super::origin::Origin;
use super::patience::Patience;
use super::socket::Socket;

/// Between two looks for connections that have been idle for too long.
const SWEEP: Duration = Duration::from_secs(1);

/// Bytes of a response that are read ahead of a slow browser, of which there may be as many as connections; its header has to fit.
const READ_AHEAD: usize = 128 << 10;

/// What all workers share: how much the application is asked for at once.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) requests: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// Workers' requests that wait for a connection, and the word to those who keep idle ones.
    waiting: AtomicUsize,
    wanted: Notify,
}

impl Limits {
    pub(super) fn new(config: &UpstreamConfig) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self {
            requests: semaphore(config.max_requests),
            connections: semaphore(config.max_connections),
            waiting: AtomicUsize::new(0),
            wanted: Notify::new(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Pool {
    origin: Origin,
    config: UpstreamConfig,
    limits: Arc<Limits>,
    idle: RefCell<VecDeque<Idle>>,
    /// Requests of this worker that wait; one that gave up has closed its end.
    waiters: RefCell<VecDeque<oneshot::Sender<Link>>>,
    /// The one connection of HTTP/2, which all requests share.
    shared: tokio::sync::Mutex<Option<http2::SendRequest<RequestBody>>>,
}

#[derive(Debug)]
struct Idle {
    link: Link,
    since: Instant,
}

/// A connection; dropping it closes it at once, whatever is under way.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) sender: http1::SendRequest<RequestBody>,
    /// Of the exchange that it carries.
    pub(super) patience: Patience,
    /// Whether an earlier request used it, so that it may have been closed unseen.
    pub(super) reused: bool,
    _open: oneshot::Sender<()>,
}

/// A connection, or a share of it, that carries one exchange.
#[derive(Debug)]
pub(super) struct Lease {
    pool: Weak<Pool>,
    carrier: Carrier,
    request: Rc<Progress>,
    /// One of `max_requests`.
    _slot: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(super) enum Carrier {
    Own(Link),
    /// Its drop resets the stream, which hyper sees to.
    Shared(Patience),
}

type Connection = http1::Connection<Socket, RequestBody>;
pub(super) type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// Makes a connection of HTTP/1.1 of a socket; the caller drives it.
pub(super) async fn handshake(socket: TcpStream) -> Result<(http1::SendRequest<RequestBody>, Connection), ProxyError> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(READ_AHEAD);
    // hyper takes out what whoever passes a response on must not let through (RFC 9112 §5.1, §5.2).
    builder.allow_spaces_after_header_name_in_responses(true).allow_obsolete_multiline_headers_in_responses(true);
    builder.handshake(Socket::new(socket)).await.map_err(ProxyError::Broken)
}

impl Link {
    /// Starts the task that carries a connection.
    pub(super) fn driven(
        sender: http1::SendRequest<RequestBody>,
        connection: Connection,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let (open, closed) = oneshot::channel();
        spawn_local(async move {
            tokio::select! {
                // What went wrong is told to the exchange that it concerns.
                _ended = connection => {}
                _ = closed => {}
            }
            drop(permit);
        });
        Self { sender, patience: Patience::default(), reused: false, _open: open }
    }

    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && self.sender.is_ready()
    }
}

impl Lease {
    pub(super) fn new(pool: &Rc<Pool>, carrier: Carrier, request: Rc<Progress>, slot: OwnedSemaphorePermit) -> Self {
        Self { pool: Rc::downgrade(pool), carrier, request, _slot: slot }
    }

    pub(super) fn patience(&mut self) -> &mut Patience {
        match &mut self.carrier {
            Carrier::Own(link) => &mut link.patience,
            Carrier::Shared(patience) => patience,
        }
    }

    /// The exchange is over: its connection may carry the next, unless the request was not taken to its end.
    pub(super) fn give_back(self) {
        if let (Carrier::Own(link), Some(pool), Sending::Done) =
            (self.carrier, self.pool.upgrade(), self.request.state())
        {
            if link.sender.is_ready() {
                pool.keep(link);
                return;
            }
            // hyper may let go of an exchange only after its end was seen; the wait is bounded by the connection's own end.
            spawn_local(async move {
                let mut link = link;
                if link.sender.ready().await.is_ok() {
                    pool.keep(link);
                }
            });
        }
    }
}

impl Pool {
    /// Must be called within a `LocalSet`, which carries the connections.
    pub(super) fn new(origin: Origin, config: UpstreamConfig, limits: Arc<Limits>) -> Rc<Self> {
        let pool = Rc::new(Self {
            origin,
            config,
            limits,
            idle: RefCell::default(),
            waiters: RefCell::default(),
            shared: tokio::sync::Mutex::default(),
        });
        spawn_local(sweep(Rc::downgrade(&pool), Arc::clone(&pool.limits)));
        pool
    }

    /// An idle connection, the newest first, or a new one; always a new one if `fresh`.
    pub(super) async fn link(&self, fresh: bool) -> Result<Link, ProxyError> {
        if !fresh && let Some(link) = self.idle_link() {
            return Ok(link);
        }
        match Arc::clone(&self.limits.connections).try_acquire_owned() {
            Ok(permit) => self.open(permit).await,
            Err(_full) => timeout(self.config.connect_timeout.0, self.wait()).await.map_err(|_| ProxyError::Busy)?,
        }
    }

    fn idle_link(&self) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { link, since }) = idle.pop_back() {
            if link.is_usable() && since.elapsed() < self.config.pool_idle_timeout.0 {
                return Some(link);
            }
        }
        None
    }

    /// Waits for a connection that a request of this worker is done with, or for leave to open another.
    async fn wait(&self) -> Result<Link, ProxyError> {
        let (hand_over, handed_over) = oneshot::channel();
        self.waiters.borrow_mut().push_back(hand_over);
        let _waiting = Waiting::new(&self.limits);
        tokio::select! {
            Ok(link) = handed_over => Ok(link),
            Ok(permit) = Arc::clone(&self.limits.connections).acquire_owned() => self.open(permit).await,
            else => Err(ProxyError::Busy),
        }
    }

    async fn open(&self, permit: OwnedSemaphorePermit) -> Result<Link, ProxyError> {
        let socket = self.origin.connect(self.config.connect_timeout.0).await?;
        let (sender, connection) = handshake(socket).await?;
        Ok(Link::driven(sender, connection, permit))
    }

    /// A connection by itself, for an upgrade: the caller drives it.
    pub(super) async fn apart(&self) -> Result<(TcpStream, OwnedSemaphorePermit), ProxyError> {
        let permit = {
            let _waiting = Waiting::new(&self.limits);
            let leave = Arc::clone(&self.limits.connections).acquire_owned();
            timeout(self.config.connect_timeout.0, leave).await
        };
        let permit = permit.ok().and_then(Result::ok).ok_or(ProxyError::Busy)?;
        Ok((self.origin.connect(self.config.connect_timeout.0).await?, permit))
    }

    /// A share of the HTTP/2 connection, which is opened when there is none.
    pub(super) async fn share(&self) -> Result<http2::SendRequest<RequestBody>, ProxyError> {
        // One opens it and the others wait, nobody longer than if it were alone.
        timeout(self.config.connect_timeout.0, self.share_or_open()).await.map_err(|_| ProxyError::ConnectTimeout)?
    }

    async fn share_or_open(&self) -> Result<http2::SendRequest<RequestBody>, ProxyError> {
        let mut shared = self.shared.lock().await;
        if let Some(sender) = shared.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let (socket, permit) = self.apart().await?;
        let mut builder = http2::Builder::new(Local);
        builder.timer(TokioTimer::new()).keep_alive_interval(self.config.first_byte_timeout.0);
        let (sender, connection) = builder.handshake(TokioIo::new(socket)).await.map_err(ProxyError::Broken)?;
        spawn_local(async move {
            // What went wrong is told to the exchanges that it concerns.
            let _ended = connection.await;
            drop(permit);
        });
        *shared = Some(sender.clone());
        Ok(sender)
    }

    /// Hands a connection to whoever waits for one, or keeps it for later.
    fn keep(&self, mut link: Link) {
        link.reused = true;
        while let Some(waiter) = self.waiters.borrow_mut().pop_front() {
            match waiter.send(link) {
                Ok(()) => return,
                Err(back) => link = back,
            }
        }
        let elsewhere = self.limits.waiting.load(Ordering::Acquire) > 0;
        let mut idle = self.idle.borrow_mut();
        if !elsewhere && idle.len() < self.config.max_idle_connections {
            idle.push_back(Idle { link, since: Instant::now() });
        }
    }

    /// Closes what has been idle for too long, or everything idle while another worker waits for a connection.
    fn sweep(&self) {
        let wanted = self.limits.waiting.load(Ordering::Acquire) > 0;
        let limit = self.config.pool_idle_timeout.0;
        self.idle.borrow_mut().retain(|idle| !wanted && idle.link.is_usable() && idle.since.elapsed() < limit);
        self.waiters.borrow_mut().retain(|waiter| !waiter.is_closed());
    }
}

/// Counts a request that waits for leave to open a connection, and asks all workers to close idle ones.
struct Waiting<'a>(&'a Limits);

impl<'a> Waiting<'a> {
    fn new(limits: &'a Limits) -> Self {
        limits.waiting.fetch_add(1, Ordering::AcqRel);
        limits.wanted.notify_waiters();
        Self(limits)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Sweeps until the pool is gone.
async fn sweep(pool: Weak<Pool>, limits: Arc<Limits>) {
    loop {
        tokio::select! {
            () = sleep(SWEEP) => {}
            () = limits.wanted.notified() => {}
        }
        let Some(pool) = pool.upgrade() else { return };
        pool.sweep();
    }
}

/// Runs the tasks of an HTTP/2 connection on the worker's own thread.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}

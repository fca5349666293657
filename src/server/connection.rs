//! One connection: HTTP/1.1 or HTTP/2 by its first bytes, served by hyper until either side ends it or a stream takes its socket over.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant as TokioInstant, Sleep, sleep, sleep_until, timeout};

use super::ServerConfig;
use super::body::{Body, Kind, StreamBody, StreamView};
use super::fallback::Responder;
use super::site::Site;
use super::socket::SocketOutlet;
use super::strict::Strict;
use super::traffic::{Traffic, Underway};
use super::wire::{Leaving, Version, Wire};
use super::worker::Counted;
use crate::hub::Shard;
use crate::proxy::{Peer, Tunnel};

/// Streams that one HTTP/2 connection may have open at once (RFC 9113 §5.1.2).
const MAX_HTTP2_STREAMS: u32 = 128;

/// Everything that serving a connection takes; one a worker.
pub(crate) struct Protocol {
    site: Arc<Site>,
    shard: Shard,
    fallback: Option<Rc<dyn Responder>>,
    http1: http1::Builder,
    http2: http2::Builder<LocalExecutor>,
    settings: ServerConfig,
    traffic: Traffic,
}

/// Runs a connection's tasks on the worker's own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// What a connection carries besides whole responses.
#[derive(Debug, Default)]
enum Carried {
    #[default]
    Nothing,
    /// A body under hyper carries it.
    Body(StreamView),
    /// It waits for the head to be written, to take the socket over.
    Parked(StreamBody),
    /// No stream, but another protocol, with the application's side of it.
    Switched(Tunnel, Underway),
}

/// A connection that has left HTTP.
#[derive(Debug)]
struct Left {
    socket: TcpStream,
    /// What hyper had read of the other protocol.
    first: Bytes,
    tunnel: Tunnel,
    underway: Underway,
    counted: Counted,
}

impl Left {
    /// Runs it to its end, which comes soon after the connections are to close.
    async fn run(self, mut closing: Closing, window: Duration) {
        let Self { socket, first, tunnel, underway, counted } = self;
        let cut = async {
            closing.begun().await;
            // Spread, so that those who come back do not come all at once.
            sleep(window.mul_f64(fastrand::f64() / 2.0)).await;
        };
        tokio::select! {
            () = tunnel.run(socket, first) => {}
            () = cut => {}
        }
        drop((underway, counted));
    }
}

impl Protocol {
    pub(crate) fn new(site: Arc<Site>, shard: Shard, settings: &ServerConfig) -> Self {
        let header_bytes = usize::try_from(settings.max_header_bytes.as_u64()).unwrap_or(usize::MAX).max(8 << 10);
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(settings.header_timeout.0)
            .max_headers(settings.max_headers)
            .max_buf_size(header_bytes);
        let mut http2 = http2::Builder::new(LocalExecutor);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_HTTP2_STREAMS)
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(settings.header_timeout.0)
            .keep_alive_timeout(settings.header_timeout.0);
        let fallback = site.settle();
        Self { site, shard, fallback, http1, http2, settings: settings.clone(), traffic: Traffic::default() }
    }

    /// Answers under way on all connections.
    pub(crate) fn underway(&self) -> usize {
        self.traffic.in_worker()
    }

    /// Serves `socket` until it ends or a stream takes it over; once `closing`, what is under way is finished and
    /// nothing new is taken.
    pub(crate) async fn serve(self: Rc<Self>, socket: TcpStream, counted: Counted, mut closing: Closing) {
        // A client that sends nothing in time, or is gone, is owed nothing.
        let Ok(address) = socket.peer_addr() else { return };
        let peer = Peer { address: address.ip(), secure: false };
        let first_bytes = timeout(self.settings.header_timeout.0, Wire::detect(socket));
        let detected = tokio::select! {
            detected = first_bytes => detected,
            () = closing.begun() => return,
        };
        let Ok(Ok((version, wire))) = detected else { return };
        // hyper's part is boxed, so that a connection that has not sent its request yet is small, and the large pieces
        // of thousands that open at once come and go one after the other in the same place.
        match version {
            Version::Http1 => Box::pin(self.serve_http1_and_after(wire, peer, counted, closing)).await,
            Version::Http2 => Box::pin(self.serve_http2(wire, peer, counted, closing)).await,
        }
    }

    async fn serve_http2(self: &Rc<Self>, wire: Wire<TcpStream>, peer: Peer, counted: Counted, closing: Closing) {
        let (protocol, traffic) = (Rc::clone(self), self.traffic.of_connection());
        let (leaving, watched) = (wire.leaving(), traffic.clone());
        let service = service_fn(move |request| {
            let (protocol, underway) = (Rc::clone(&protocol), traffic.begin());
            async move {
                let Self { site, shard, fallback, .. } = &*protocol;
                // A request of HTTP/2 is never left for another protocol.
                let (response, _no_tunnel) = site.answer(shard, fallback.as_deref(), request, peer).await;
                Ok::<_, Infallible>(response.map(|body| body.keep(underway)))
            }
        });
        let mut connection = pin!(self.http2.serve_connection(TokioIo::new(wire), service));
        let drive =
            Drive { closing, traffic: &watched, leaving: &leaving, idle_limit: Some(self.settings.header_timeout.0) };
        drive.run(connection.as_mut(), http2::Connection::graceful_shutdown, |_| Poll::Pending).await;
        drop(counted);
    }

    async fn serve_http1_and_after(&self, wire: Wire<TcpStream>, peer: Peer, counted: Counted, closing: Closing) {
        if let Some(left) = self.serve_http1(wire, peer, counted, closing.clone()).await {
            left.run(closing, self.settings.drain_window.0).await;
        }
    }

    /// What is left to do if the connection has left HTTP.
    async fn serve_http1(&self, wire: Wire<TcpStream>, peer: Peer, counted: Counted, closing: Closing) -> Option<Left> {
        let (carried, traffic) = (RefCell::new(Carried::default()), self.traffic.of_connection());
        let leaving = wire.leaving();
        let service = service_fn(|request| self.answer_http1(request, peer, &carried, &leaving, &traffic));
        let mut connection = self.http1.serve_connection(TokioIo::new(Strict::new(wire)), service);
        let drive = Drive { closing, traffic: &traffic, leaving: &leaving, idle_limit: None };
        let leave = |cx: &Context<'_>| match &*carried.borrow() {
            Carried::Parked(_) if leaving.has_head() => Poll::Ready(()),
            Carried::Body(view) => view.poll_cut_off(cx),
            Carried::Nothing | Carried::Parked(_) | Carried::Switched(..) => Poll::Pending,
        };
        let end = drive.run(Pin::new(&mut connection), http1::Connection::graceful_shutdown, leave).await;
        let carried = carried.take();
        let parts = connection.into_parts();
        let socket = parts.io.into_inner().into_inner().into_inner();
        match (end, carried) {
            (End::Left, Carried::Parked(stream)) => {
                // hyper's buffers go here; a pipelined request in them is never answered, as its stream never ends before it.
                let (subscriber, open) = stream.into_parts();
                let outlet = SocketOutlet::new(socket, open, counted);
                subscriber.hand_over(Box::new(outlet), leaving.take_head(), Instant::now());
                None
            }
            // hyper has left the socket open, as it does after 101 alone.
            (End::Over, Carried::Switched(tunnel, underway)) => {
                Some(Left { socket, first: parts.read_buf, tunnel, underway, counted })
            }
            (End::Over | End::Left, _) => None,
        }
    }

    async fn answer_http1(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        carried: &RefCell<Carried>,
        leaving: &Leaving,
        traffic: &Traffic,
    ) -> Result<Response<Body>, Infallible> {
        let underway = traffic.begin();
        // An HTTP/1.0 response has no chunks: it stays with hyper.
        let chunked = request.version() == http::Version::HTTP_11;
        let (response, tunnel) = self.site.answer(&self.shard, self.fallback.as_deref(), request, peer).await;
        if let Some(tunnel) = tunnel {
            carried.replace(Carried::Switched(tunnel, traffic.begin()));
        }
        let (head, body) = response.into_parts();
        let kind = match body.into_kind() {
            Kind::Stream(stream) if chunked && leaving.catch_head() => {
                carried.replace(Carried::Parked(stream));
                Kind::Elsewhere
            }
            Kind::Stream(stream) => {
                carried.replace(Carried::Body(stream.view()));
                Kind::Stream(stream)
            }
            kind @ (Kind::Full(_) | Kind::Elsewhere | Kind::Answer(_)) => kind,
        };
        Ok(Response::from_parts(head, Body::from(kind).keep(underway)))
    }
}

/// Says that connections are to finish what they have under way and take nothing new.
#[derive(Clone, Debug)]
pub(crate) struct Closing(pub(crate) watch::Receiver<bool>);

impl Closing {
    /// Resolves once it has begun. Cancel-safe.
    async fn begun(&mut self) {
        // An error means that the worker is gone, and every connection with it.
        let _begun = self.0.wait_for(|closing| *closing).await;
    }
}

/// How driving a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The connection is over.
    Over,
    /// `leave` was ready while the connection was not over.
    Left,
}

/// What decides how long a connection is driven.
struct Drive<'a> {
    closing: Closing,
    traffic: &'a Traffic,
    leaving: &'a Leaving,
    /// A connection that begins nothing for this long while nothing is under way is ended; hyper does it by itself for HTTP/1.
    idle_limit: Option<Duration>,
}

impl Drive<'_> {
    /// Polls a connection to its end, or until `leave` is ready. Once it is to close, or has idled too long, it is asked
    /// to `finish`, and dropped when nothing is under way.
    async fn run<C: Future<Output = hyper::Result<()>>>(
        mut self,
        mut connection: Pin<&mut C>,
        finish: impl Fn(Pin<&mut C>),
        leave: impl Fn(&Context<'_>) -> Poll<()>,
    ) -> End {
        let mut idle = self.idle_limit.map(|limit| Box::pin(Idle::new(limit)));
        let mut finishing = false;
        let mut closing = pin!(self.closing.begun());
        poll_fn(|cx: &mut Context<'_>| {
            let idled = idle.as_mut().is_some_and(|idle| idle.as_mut().poll_idle(cx, self.traffic));
            if !finishing && (idled || closing.as_mut().poll(cx).is_ready()) {
                finishing = true;
                finish(connection.as_mut());
            }
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Over);
            }
            // What is left is a client that has not finished its request, or will not say goodbye.
            if finishing && self.traffic.here() == 0 && !self.leaving.is_held_back() {
                return Poll::Ready(End::Over);
            }
            leave(cx).map(|()| End::Left)
        })
        .await
    }
}

/// Notices a connection that has begun nothing for a while.
struct Idle {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    begun: u64,
}

impl Idle {
    fn new(limit: Duration) -> Self {
        Self { limit, timer: Box::pin(sleep_until(TokioInstant::now() + limit)), begun: 0 }
    }

    /// Whether nothing is under way, and nothing was begun since the timer was set.
    fn poll_idle(mut self: Pin<&mut Self>, cx: &mut Context<'_>, traffic: &Traffic) -> bool {
        while self.timer.as_mut().poll(cx).is_ready() {
            if traffic.here() == 0 && traffic.begun() == self.begun {
                return true;
            }
            let next = TokioInstant::now() + self.limit;
            self.begun = traffic.begun();
            self.timer.as_mut().reset(next);
        }
        false
    }
}

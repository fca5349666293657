//! One connection: HTTP/1.1 or HTTP/2 by its first bytes, served by hyper until either side ends it or a stream takes its socket over.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant as TokioInstant, Sleep, sleep_until, timeout};

use super::ServerConfig;
use super::body::{Body, Kind, StreamBody, StreamView};
use super::site::Site;
use super::socket::SocketOutlet;
use super::traffic::Traffic;
use super::wire::{Leaving, Version, Wire};
use super::worker::Counted;
use crate::hub::Shard;

/// Streams that one HTTP/2 connection may have open at once (RFC 9113 §5.1.2).
const MAX_HTTP2_STREAMS: u32 = 128;

/// Everything that serving a connection takes; one a worker.
#[derive(Debug)]
pub(crate) struct Protocol {
    site: Arc<Site>,
    shard: Shard,
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

/// What a connection's stream is to its connection.
#[derive(Debug, Default)]
enum Carried {
    #[default]
    Nothing,
    /// A body under hyper carries it.
    Body(StreamView),
    /// It waits for the head to leave, to take the socket over.
    Parked(StreamBody),
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
        Self { site, shard, http1, http2, settings: settings.clone(), traffic: Traffic::default() }
    }

    /// Answers under way on all connections.
    pub(crate) fn underway(&self) -> usize {
        self.traffic.in_worker()
    }

    /// Serves `socket` until it ends or a stream takes it over; once `closing`, what is under way is finished and
    /// nothing new is taken.
    pub(crate) async fn serve(self: Rc<Self>, socket: TcpStream, counted: Counted, mut closing: Closing) {
        let first_bytes = timeout(self.settings.header_timeout.0, Wire::detect(socket));
        let detected = tokio::select! {
            detected = first_bytes => detected,
            () = closing.begun() => return,
        };
        // A client that sends nothing in time, or is gone, is owed nothing.
        let Ok(Ok((version, wire))) = detected else { return };
        // hyper's part is boxed, so that a connection that has not sent its request yet is small, and the large pieces
        // of thousands that open at once come and go one after the other in the same place.
        match version {
            Version::Http1 => Box::pin(self.serve_http1(wire, counted, closing)).await,
            Version::Http2 => Box::pin(self.serve_http2(wire, counted, closing)).await,
        }
    }

    async fn serve_http2(&self, wire: Wire<TcpStream>, counted: Counted, closing: Closing) {
        let (site, shard, traffic) = (Arc::clone(&self.site), self.shard.clone(), self.traffic.of_connection());
        let (leaving, watched) = (wire.leaving(), traffic.clone());
        let service = service_fn(move |request| {
            let (site, shard, underway) = (Arc::clone(&site), shard.clone(), traffic.begin());
            async move {
                let response = site.answer(&shard, request).await;
                Ok::<_, Infallible>(response.map(|body| body.keep(underway)))
            }
        });
        let mut connection = pin!(self.http2.serve_connection(TokioIo::new(wire), service));
        let drive =
            Drive { closing, traffic: &watched, leaving: &leaving, idle_limit: Some(self.settings.header_timeout.0) };
        drive.run(connection.as_mut(), http2::Connection::graceful_shutdown, |_| Poll::Pending).await;
        drop(counted);
    }

    async fn serve_http1(&self, wire: Wire<TcpStream>, counted: Counted, closing: Closing) {
        let (carried, traffic) = (RefCell::new(Carried::default()), self.traffic.of_connection());
        let leaving = wire.leaving();
        let service = service_fn(|request| self.answer_http1(request, &carried, &leaving, &traffic));
        let mut connection = self.http1.serve_connection(TokioIo::new(wire), service);
        let drive = Drive { closing, traffic: &traffic, leaving: &leaving, idle_limit: None };
        let leave = |cx: &Context<'_>| match &*carried.borrow() {
            Carried::Parked(_) if leaving.head_has_left() => Poll::Ready(()),
            Carried::Body(view) => view.poll_cut_off(cx),
            Carried::Nothing | Carried::Parked(_) => Poll::Pending,
        };
        let end = drive.run(Pin::new(&mut connection), http1::Connection::graceful_shutdown, leave).await;
        if end == End::Left
            && let Carried::Parked(stream) = carried.take()
        {
            // hyper's buffers go here; a pipelined request in them is never answered, as its stream never ends before it.
            let socket = connection.into_parts().io.into_inner().into_inner();
            let (subscriber, open) = stream.into_parts();
            subscriber.hand_over(Box::new(SocketOutlet::new(socket, open, counted)), Instant::now());
        }
    }

    async fn answer_http1(
        &self,
        request: Request<Incoming>,
        carried: &RefCell<Carried>,
        leaving: &Leaving,
        traffic: &Traffic,
    ) -> Result<Response<Body>, Infallible> {
        let underway = traffic.begin();
        // An HTTP/1.0 response has no chunks: it stays with hyper.
        let chunked = request.version() == http::Version::HTTP_11;
        let (head, body) = self.site.answer(&self.shard, request).await.into_parts();
        let kind = match body.into_kind() {
            Kind::Stream(stream) if chunked && leaving.expect_head() => {
                carried.replace(Carried::Parked(stream));
                Kind::Elsewhere
            }
            Kind::Stream(stream) => {
                carried.replace(Carried::Body(stream.view()));
                Kind::Stream(stream)
            }
            kind @ (Kind::Full(_) | Kind::Elsewhere) => kind,
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

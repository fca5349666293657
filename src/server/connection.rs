//! One connection: HTTP/1.1 or HTTP/2 by its first bytes or its TLS handshake, served by hyper until either side ends it or a stream takes its socket over.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, HeaderMap};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::{coop, spawn_local};
use tokio::time::timeout;

use super::ServerConfig;
use super::body::{Body, Kind, StreamBody, StreamView};
use super::courtesy::Courtesy;
use super::drive::{Closing, Drive, End};
use super::ending::end_with;
use super::fallback::Responder;
use super::problem::Problem;
use super::site::refuse;
use super::sites::Sites;
use super::socket::{SocketOutlet, Transport};
use super::strict::Strict;
use super::switched::Switched;
use super::tls::{self, Tls};
use super::traffic::{Traffic, Underway};
use super::wire::{Leaving, Version, Wire};
use super::worker::Counted;
use crate::hub::Shard;
use crate::proxy::{Peer, Tunnel};

/// Streams that one HTTP/2 connection may have open at once (RFC 9113 §5.1.2).
const MAX_HTTP2_STREAMS: u32 = 128;

/// Bytes of one HTTP/2 stream that wait for the socket; more are not asked for.
const UNSENT_BYTES: usize = 64 << 10;

/// Said before a connection is closed (RFC 9112 §9.6): a proxy in front would send the next request on it, and when the close
/// has crossed that request, may not send it again.
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Everything that serving a connection takes; one a worker.
pub(crate) struct Protocol {
    sites: Sites,
    shard: Shard,
    fallback: Option<Rc<dyn Responder>>,
    http1: http1::Builder,
    http2: http2::Builder<LocalExecutor>,
    settings: ServerConfig,
    tls: Option<Arc<Tls>>,
    traffic: Traffic,
    courtesy: Courtesy,
}

/// A connection that was taken, as far as its first bytes or its handshake.
struct Taken<Io> {
    wire: Wire<Io>,
    peer: Peer,
    counted: Counted,
    closing: Closing,
}

/// Runs a connection's tasks on the worker's own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        spawn_local(task);
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
    /// A response whose end is the connection's, as HTTP/1.0 has it without a length.
    Unframed,
    /// No stream, but another protocol, with the application's side of it.
    Switched(Tunnel, Underway),
}

/// Fields of a header of HTTP/2, for which hyper knows no limit; the pieces of a cookie are one (RFC 9113 §8.2.3).
fn fields(headers: &HeaderMap) -> usize {
    headers.len() - headers.get_all(COOKIE).iter().skip(1).count()
}

impl Protocol {
    pub(crate) fn new(sites: Sites, shard: Shard, settings: &ServerConfig, tls: Option<Arc<Tls>>) -> Self {
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
            .enable_connect_protocol()
            .max_concurrent_streams(MAX_HTTP2_STREAMS)
            .max_send_buf_size(UNSENT_BYTES)
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(settings.header_timeout.0)
            .keep_alive_timeout(settings.header_timeout.0);
        let fallback = sites.current().settle();
        let (traffic, courtesy) = (Traffic::default(), Courtesy::new(Instant::now()));
        Self { sites, shard, fallback, http1, http2, settings: settings.clone(), tls, traffic, courtesy }
    }

    pub(crate) const fn courtesy(&self) -> &Courtesy {
        &self.courtesy
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
        let peer = Peer { address: address.ip(), secure: self.tls.is_some() };
        let limit = self.settings.header_timeout.0;
        if let Some(tls) = &self.tls {
            // Boxed, as is hyper's part below, so that a connection that has not sent its request yet is small, and the
            // large pieces of thousands that open at once come and go one after the other in the same place.
            let handshake = Box::pin(tls::accept(tls, socket, limit));
            let accepted = tokio::select! {
                accepted = handshake => accepted,
                () = closing.begun() => return,
            };
            let Some((version, stream)) = accepted else { return };
            return self.serve_version(version, Taken { wire: Wire::new(stream), peer, counted, closing }).await;
        }
        let first_bytes = timeout(limit, Wire::detect(socket));
        let detected = tokio::select! {
            detected = first_bytes => detected,
            () = closing.begun() => return,
        };
        let Ok(Ok((version, wire))) = detected else { return };
        self.serve_version(version, Taken { wire, peer, counted, closing }).await;
    }

    fn serve_version<'a, Io: Transport>(
        self: &'a Rc<Self>,
        version: Version,
        taken: Taken<Io>,
    ) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
        match version {
            Version::Http1 => Box::pin(self.serve_http1_and_after(taken)),
            Version::Http2 => Box::pin(self.serve_http2(taken)),
        }
    }

    async fn serve_http2<Io: Transport>(self: &Rc<Self>, taken: Taken<Io>) {
        let Taken { wire, peer, counted, closing } = taken;
        let (protocol, traffic) = (Rc::clone(self), self.traffic.of_connection());
        let (leaving, watched, ending) = (wire.leaving(), traffic.clone(), closing.clone());
        let service = service_fn(move |request| {
            // Begun here and not in its task: until that runs, the connection would seem to have nothing to do.
            let (protocol, underway, closing) = (Rc::clone(&protocol), traffic.begin(), ending.clone());
            async move { Ok::<_, Infallible>(protocol.answer_http2(request, peer, underway, closing).await) }
        });
        let mut connection = pin!(self.http2.serve_connection(TokioIo::new(wire), service));
        let idle_limit = Some(self.settings.header_timeout.0);
        let retires = || self.shard.refuses();
        let drive = Drive { closing, traffic: &watched, leaving: &leaving, idle_limit, retires: &retires };
        drive.run(connection.as_mut(), http2::Connection::graceful_shutdown, |_| Poll::Pending).await;
        drop(counted);
    }

    async fn answer_http2(
        &self,
        mut request: Request<Incoming>,
        peer: Peer,
        underway: Underway,
        closing: Closing,
    ) -> Response<Body> {
        if fields(request.headers()) > self.settings.max_headers {
            return refuse(Problem::TOO_MANY_HEADERS).map(|body| body.keep(underway));
        }
        let upgrade = (request.method() == Method::CONNECT).then(|| hyper::upgrade::on(&mut request));
        let (response, tunnel) = self.answer(request, peer).await;
        let response = end_with(response, &closing, self.settings.drain_window.0);
        // Only a stream is left for another protocol, never the connection (RFC 8441).
        if let (Some(tunnel), Some(upgrade)) = (tunnel, upgrade) {
            let window = self.settings.drain_window.0;
            let switched = Switched { tunnel, underway: underway.another(), closing, window };
            spawn_local(switched.run_on_stream(upgrade));
        }
        response.map(|body| body.keep(underway))
    }

    /// The response, and what follows it where the application agreed to another protocol.
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> (Response<Body>, Option<Tunnel>) {
        if self.courtesy.show() {
            // So do events, whose turn otherwise comes after all tasks that are ready. It is bounded by itself and needs no
            // budget of the runtime's.
            coop::unconstrained(async { self.shard.turn_early(Instant::now()) }).await;
        }
        let site = self.sites.current();
        site.answer(&self.sites, &self.shard, self.fallback.as_deref(), request, peer).await
    }

    async fn serve_http1_and_after<Io: Transport>(&self, taken: Taken<Io>) {
        if let Some((switched, socket, first, counted)) = self.serve_http1(taken).await {
            switched.run(socket, first).await;
            drop(counted);
        }
    }

    /// What is left to do if the connection has left HTTP.
    async fn serve_http1<Io: Transport>(&self, taken: Taken<Io>) -> Option<(Switched, Io, Bytes, Counted)> {
        let Taken { wire, peer, counted, closing } = taken;
        let (carried, traffic) = (RefCell::new(Carried::default()), self.traffic.of_connection());
        let (leaving, watched) = (wire.leaving(), closing.clone());
        let service = service_fn(|request| self.answer_http1(request, peer, &carried, &leaving, &traffic, &watched));
        let mut connection = self.http1.serve_connection(TokioIo::new(Strict::new(wire)), service);
        let (closing_too, retires) = (closing.clone(), &|| false);
        let drive = Drive { closing: closing_too, traffic: &traffic, leaving: &leaving, idle_limit: None, retires };
        let leave = |cx: &Context<'_>| match &*carried.borrow() {
            Carried::Parked(_) if leaving.has_head() => Poll::Ready(()),
            Carried::Body(view) => view.poll_cut_off(cx),
            Carried::Nothing | Carried::Parked(_) | Carried::Unframed | Carried::Switched(..) => Poll::Pending,
        };
        let end = drive.run(Pin::new(&mut connection), http1::Connection::graceful_shutdown, leave).await;
        let carried = carried.take();
        let parts = connection.into_parts();
        let mut socket = parts.io.into_inner().into_inner().into_inner();
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
                let window = self.settings.drain_window.0;
                Some((Switched { tunnel, underway, closing, window }, socket, parts.read_buf, counted))
            }
            (End::Broken, Carried::Unframed) => {
                socket.break_off();
                None
            }
            (End::Over | End::Broken | End::Left, _) => None,
        }
    }

    async fn answer_http1(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        carried: &RefCell<Carried>,
        leaving: &Leaving,
        traffic: &Traffic,
        closing: &Closing,
    ) -> Result<Response<Body>, Infallible> {
        let underway = traffic.begin();
        // An HTTP/1.0 response has no chunks: it stays with hyper.
        let chunked = request.version() == http::Version::HTTP_11;
        let (response, tunnel) = self.answer(request, peer).await;
        if let Some(tunnel) = tunnel {
            carried.replace(Carried::Switched(tunnel, traffic.begin()));
        }
        let (mut head, body) = end_with(response, closing, self.settings.drain_window.0).into_parts();
        // An upgrade has a `Connection` of its own.
        if self.shard.refuses() && head.status != StatusCode::SWITCHING_PROTOCOLS {
            head.headers.insert(CONNECTION, CLOSE);
        }
        let kind = match body.into_kind() {
            Kind::Stream(stream) if chunked && leaving.catch_head() => {
                // A stream's end is its connection's.
                head.headers.insert(CONNECTION, CLOSE);
                carried.replace(Carried::Parked(stream));
                Kind::Elsewhere
            }
            Kind::Stream(stream) => {
                carried.replace(Carried::Body(stream.view()));
                Kind::Stream(stream)
            }
            Kind::Answer(answer) if !chunked && answer.size_hint().exact().is_none() => {
                carried.replace(Carried::Unframed);
                Kind::Answer(answer)
            }
            kind @ (Kind::Full(_) | Kind::Elsewhere | Kind::Answer(_)) => kind,
        };
        Ok(Response::from_parts(head, Body::from(kind).keep(underway)))
    }
}

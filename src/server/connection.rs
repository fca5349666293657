//! One connection: HTTP/1.1 or HTTP/2 by its first bytes, served by hyper until either side ends it or a stream takes its socket over.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::ServerConfig;
use super::body::{Body, StreamBody, StreamView};
use super::site::Site;
use super::socket::SocketOutlet;
use super::wire::{Leaving, Version, Wire};
use super::worker::Counted;
use crate::hub::Shard;
use crate::shutdown::DrainWatch;

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
        Self { site, shard, http1, http2, settings: settings.clone() }
    }

    /// Serves `socket` until it ends or a stream takes it over; when `drain` starts, what is under way is finished and
    /// nothing new is taken.
    pub(crate) async fn serve(self: Rc<Self>, socket: TcpStream, counted: Counted, drain: DrainWatch) {
        let first_bytes = tokio::time::timeout(self.settings.header_timeout.0, Wire::detect(socket)).await;
        // A client that sends nothing in time, or is gone, is owed nothing.
        let Ok(Ok((version, wire))) = first_bytes else { return };
        // hyper's part is boxed, so that a connection that has not sent its request yet is small, and the large pieces
        // of thousands that open at once come and go one after the other in the same place.
        match version {
            Version::Http1 => Box::pin(self.serve_http1(wire, counted, drain)).await,
            Version::Http2 => Box::pin(self.serve_http2(wire, counted, drain)).await,
        }
    }

    async fn serve_http2(&self, wire: Wire<TcpStream>, counted: Counted, drain: DrainWatch) {
        let (site, shard) = (Arc::clone(&self.site), self.shard.clone());
        let service = service_fn(move |request| {
            let (site, shard) = (Arc::clone(&site), shard.clone());
            async move { Ok::<_, Infallible>(site.answer(&shard, request).await) }
        });
        let mut connection = pin!(self.http2.serve_connection(TokioIo::new(wire), service));
        drive(connection.as_mut(), drain, http2::Connection::graceful_shutdown, |_| Poll::Pending).await;
        drop(counted);
    }

    async fn serve_http1(&self, wire: Wire<TcpStream>, counted: Counted, drain: DrainWatch) {
        let carried = RefCell::new(Carried::default());
        let leaving = wire.leaving();
        let service = service_fn(|request| self.answer_http1(request, &carried, &leaving));
        let mut connection = self.http1.serve_connection(TokioIo::new(wire), service);
        let end = drive(Pin::new(&mut connection), drain, http1::Connection::graceful_shutdown, |cx| {
            match &*carried.borrow() {
                Carried::Parked(_) if leaving.head_has_left() => Poll::Ready(()),
                Carried::Body(view) => view.poll_cut_off(cx),
                Carried::Nothing | Carried::Parked(_) => Poll::Pending,
            }
        })
        .await;
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
    ) -> Result<Response<Body>, Infallible> {
        // An HTTP/1.0 response has no chunks: it stays with hyper.
        let chunked = request.version() == http::Version::HTTP_11;
        let (head, body) = self.site.answer(&self.shard, request).await.into_parts();
        let body = match body {
            Body::Stream(stream) if chunked && leaving.expect_head() => {
                carried.replace(Carried::Parked(stream));
                Body::Elsewhere
            }
            Body::Stream(stream) => {
                carried.replace(Carried::Body(stream.view()));
                Body::Stream(stream)
            }
            body @ (Body::Full(_) | Body::Elsewhere) => body,
        };
        Ok(Response::from_parts(head, body))
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

/// Polls a connection to its end, or until `leave` is ready, and asks it to finish when the drain starts.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    mut drain: DrainWatch,
    finish: impl Fn(Pin<&mut C>),
    leave: impl Fn(&Context<'_>) -> Poll<()>,
) -> End {
    let mut draining = false;
    let mut started = pin!(drain.started());
    poll_fn(|cx: &mut Context<'_>| {
        if !draining && started.as_mut().poll(cx).is_ready() {
            draining = true;
            finish(connection.as_mut());
        }
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Over);
        }
        leave(cx).map(|()| End::Left)
    })
    .await
}

//! One connection: HTTP/1.1 or HTTP/2 by its first bytes, served until either side ends it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::ServerConfig;
use super::body::{Body, StreamView};
use super::rewind::{Rewind, Version};
use super::site::Site;
use crate::hub::Shard;
use crate::shutdown::DrainWatch;

/// Streams that one HTTP/2 connection may have open at once (RFC 9113 §5.1.2).
const MAX_HTTP2_STREAMS: u32 = 128;

/// Everything that serving a connection takes; one a worker.
#[derive(Debug)]
pub(crate) struct Protocol {
    pub(crate) site: Arc<Site>,
    pub(crate) shard: Shard,
    pub(crate) http1: http1::Builder,
    pub(crate) http2: http2::Builder<LocalExecutor>,
    pub(crate) settings: ServerConfig,
}

/// Runs a connection's tasks on the worker's own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
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
        Self { site, shard, http1, http2, settings: settings.clone() }
    }

    /// Serves `socket` until it ends; when `drain` starts, what is under way is finished and nothing new is taken.
    pub(crate) async fn serve(self: Rc<Self>, socket: TcpStream, drain: DrainWatch) {
        let first_bytes = tokio::time::timeout(self.settings.header_timeout.0, Rewind::detect(socket)).await;
        // A client that sends nothing in time, or is gone, is owed nothing.
        let Ok(Ok((version, io))) = first_bytes else { return };
        let io = TokioIo::new(io);
        match version {
            Version::Http1 => {
                let view = Rc::new(RefCell::new(StreamView::default()));
                let service = service_fn(|request| self.answer(request, Some(Rc::clone(&view))));
                let mut connection = pin!(self.http1.serve_connection(io, service));
                drive(connection.as_mut(), &view, drain, http1::Connection::graceful_shutdown).await;
            }
            Version::Http2 => {
                let protocol = Rc::clone(&self);
                let service = service_fn(move |request| {
                    let protocol = Rc::clone(&protocol);
                    async move { protocol.answer(request, None).await }
                });
                let view = RefCell::default();
                let mut connection = pin!(self.http2.serve_connection(io, service));
                drive(connection.as_mut(), &view, drain, http2::Connection::graceful_shutdown).await;
            }
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        view: Option<Rc<RefCell<StreamView>>>,
    ) -> Result<Response<Body>, Infallible> {
        let response = self.site.answer(&self.shard, request).await;
        if let (Some(view), Body::Stream(stream)) = (view, response.body()) {
            view.replace(stream.view());
        }
        Ok(response)
    }
}

/// Polls a connection to its end, drops it when its stream is cut off, and asks it to finish when the drain starts.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    view: &RefCell<StreamView>,
    mut drain: DrainWatch,
    finish: impl Fn(Pin<&mut C>),
) {
    let mut draining = false;
    let mut started = pin!(drain.started());
    poll_fn(|cx: &mut Context<'_>| {
        if !draining && started.as_mut().poll(cx).is_ready() {
            draining = true;
            finish(connection.as_mut());
        }
        if connection.as_mut().poll(cx).is_ready() || view.borrow().poll_cut_off(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

//! The HTTP client of the exporter: one POST of spans and its answer, bounded in time and size.

use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::super::Throttle;
use crate::trust::{self, Distrust};

/// Of the collector's answer, which says at most how many spans it refused.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// Between two log lines about a collector that does not take spans.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// Longer than the exporter's usual pause, so that its connection stays.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends from the exporter's own thread by way of a runtime.
pub(super) struct CollectorClient {
    pool: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
    limit: Duration,
    log: Mutex<Throttle>,
}

impl fmt::Debug for CollectorClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CollectorClient")
    }
}

impl CollectorClient {
    /// Trusts the authorities in `ca_file` alone, or those of the system. `limit` is for one exchange.
    pub(super) fn new(runtime: Handle, ca_file: Option<&str>, limit: Duration) -> Result<Self, Distrust> {
        let connector = trust::connector(ca_file, limit)?;
        let pool = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Self { pool, runtime, limit, log: Mutex::new(Throttle::new(LOG_INTERVAL)) })
    }

    fn complain(&self, error: &str) {
        let admitted = self.log.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        if let Some(suppressed) = admitted {
            tracing::warn!(
                error,
                suppressed,
                "the collector does not take spans; those that wait too long are dropped"
            );
        }
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (pool, limit) = (self.pool.clone(), self.limit);
        // The exporter's thread has no runtime of its own, which sockets and timers need.
        let exchange = self.runtime.spawn(async move { timeout(limit, exchange(&pool, request)).await });
        let answer = match exchange.await? {
            Ok(answer) => answer,
            Err(_elapsed) => Err(format!("no answer within {limit:?}").into()),
        };
        match &answer {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.complain(&format!("it answers {}", response.status())),
            Err(error) => self.complain(&cause(error.as_ref())),
        }
        answer
    }
}

async fn exchange(
    pool: &legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let (head, body) = pool.request(request.map(Full::new)).await?.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

/// An error with what it came from.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        text = format!("{text}: {deeper}");
        source = deeper.source();
    }
    text
}

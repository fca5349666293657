//! The keys of one issuer kept new: when they are fetched, once at a time whoever asks; who asks and what a token gets is decided elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};

use super::FetchError;
use super::address::{Address, keys_address};
use super::client::{Client, Limits};
use super::error::RefreshError;
use crate::auth::{AuthConfig, Authenticator};
use crate::telemetry::{self, Throttle};

/// An issuer that is away is asked again after this time …
const RETRY_MIN: Duration = Duration::from_secs(1);
/// … which doubles up to this one.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Between two log lines about one issuer that is away.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// An issuer whose keys are fetched.
pub(super) struct Refresh {
    authenticator: Arc<Authenticator>,
    /// Its number in the configuration.
    issuer: usize,
    address: Address,
    client: Client,
    limits: Limits,
    interval: Duration,
    cooldown: Duration,
    fetches: watch::Sender<Fetches>,
}

/// What has come of fetching so far. One task fetches; whoever wants newer keys says so here.
#[derive(Clone, Copy, Debug, Default)]
struct Fetches {
    wanted: bool,
    under_way: bool,
    finished: u64,
    /// When the last one ended, and whether it brought keys.
    last: Option<(Instant, bool)>,
}

impl Refresh {
    pub(super) fn new(
        authenticator: Arc<Authenticator>,
        issuer: usize,
        address: Address,
        client: Client,
        config: &AuthConfig,
    ) -> Self {
        let body_bytes = usize::try_from(config.keys_max_bytes.as_u64()).unwrap_or(usize::MAX);
        Self {
            authenticator,
            issuer,
            address,
            client,
            limits: Limits { time: config.keys_timeout.0, body_bytes },
            interval: config.keys_refresh.0,
            cooldown: config.keys_cooldown.0,
            fetches: watch::Sender::default(),
        }
    }

    /// Fetches at once, on schedule and when [`Refresh::renewed`] asks for it, for as long as it is polled.
    pub(super) async fn run(&self) {
        let mut failures = 0;
        let mut log = Throttle::new(LOG_INTERVAL);
        loop {
            self.fetches.send_modify(|fetches| (fetches.under_way, fetches.wanted) = (true, false));
            let outcome = self.fetch().await;
            let now = Instant::now();
            telemetry::auth::keys_refreshed(outcome.as_ref().map_or_else(RefreshError::outcome, |()| "ok"));
            let host = self.address.host();
            match &outcome {
                Ok(()) if failures > 0 => tracing::info!(host, "the issuer's keys are fetched again"),
                Ok(()) => tracing::debug!(host, "the issuer's keys are fetched"),
                Err(error) => {
                    if let Some(suppressed) = log.admit(now) {
                        tracing::warn!(host, %error, suppressed, "the issuer's keys could not be fetched; trying again");
                    }
                }
            }
            failures = if outcome.is_ok() { 0 } else { failures + 1 };
            self.fetches.send_modify(|fetches| {
                let finished = fetches.finished + 1;
                *fetches = Fetches { finished, last: Some((now, outcome.is_ok())), ..Fetches::default() };
            });
            tokio::select! {
                () = sleep_until((now + self.pause(failures)).into()) => {}
                () = self.wanted() => {}
            }
        }
    }

    /// Jittered, so that replicas that were started or left alone together do not come together.
    fn pause(&self, failures: u32) -> Duration {
        if failures == 0 {
            return self.interval.mul_f64(0.9 + fastrand::f64() / 5.0);
        }
        let step = RETRY_MIN.saturating_mul(1 << (failures - 1).min(10)).min(RETRY_MAX).min(self.interval);
        step.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Resolves when a request has asked for newer keys.
    async fn wanted(&self) {
        let mut watched = self.fetches.subscribe();
        // No error: the sender is here.
        let _wanted = watched.wait_for(|fetches| fetches.wanted).await;
    }

    /// Waits for keys that are as new as may be had: of the fetch that is under way, or of one that this call causes unless
    /// the last is too recent. Says whether the keys are new, so that what they do not hold is known not to be there.
    pub(super) async fn renewed(&self, patience: Duration) -> bool {
        let mut watched = self.fetches.subscribe();
        let (mut finished, mut recent) = (0, None);
        self.fetches.send_if_modified(|fetches| {
            finished = fetches.finished;
            if fetches.under_way || fetches.wanted {
                return false;
            }
            recent = fetches.last.filter(|(at, _)| at.elapsed() < self.cooldown);
            fetches.wanted = recent.is_none();
            fetches.wanted
        });
        if let Some((_, is_ok)) = recent {
            return is_ok;
        }
        let next = watched.wait_for(|fetches| fetches.finished > finished);
        let is_ok = |fetches: &Fetches| fetches.last.is_some_and(|(_, is_ok)| is_ok);
        // Nobody fetches any more at the end of the process.
        timeout(patience, next).await.is_ok_and(|next| next.is_ok_and(|fetches| is_ok(&fetches)))
    }

    async fn fetch(&self) -> Result<(), RefreshError> {
        let set = timeout(self.limits.time, self.set()).await.map_err(|_| FetchError::Timeout(self.limits.time))??;
        Ok(self.authenticator.replace_keys(self.issuer, &set)?)
    }

    /// The JWK set as it is published.
    async fn set(&self) -> Result<bytes::Bytes, RefreshError> {
        match &self.address {
            Address::Set(url) => self.get(url.clone()).await,
            Address::Discovery { document, issuer, allow_http } => {
                let document = self.get(document.clone()).await?;
                self.get(keys_address(&document, issuer, *allow_http)?).await
            }
        }
    }

    async fn get(&self, url: Uri) -> Result<bytes::Bytes, RefreshError> {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        let answer = self.client.get(url, headers, self.limits).await?;
        if answer.status() != StatusCode::OK {
            return Err(RefreshError::Status(answer.status()));
        }
        Ok(answer.into_body())
    }
}

//! Whose a session is, as the application says it; which requests have a session, and what a browser is answered, is the server's.
//!
//! The application is asked with the request's own cookie and `Authorization`, once however many requests of a session come
//! together. What it says is remembered for a short time; while it fails again and again it is left alone.

mod answer;
mod breaker;
mod cache;
mod recall;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Uri};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use answer::{Answer, Reading, Trouble};
use breaker::Breaker;
use cache::Cache;

use super::client::{self, Client, Limits};
use super::error::FetchError;
use crate::auth::{AuthError, Authenticator, ForwardConfig, Identity};
use crate::proxy::{Peer, Trusted};
use crate::setting::Fault;
use crate::telemetry::{self, Throttle};

pub use recall::Recalls;

/// An answer's body: a page that says 401 may be long, and is read to its end so that the connection can be used again.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// How often a session is asked about for one request, where somebody is thrown out while the application answers.
const ATTEMPTS: usize = 3;
/// Between two log lines about an application that does not answer.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// SHA-256 of what tells one session from another.
type Key = [u8; 32];

/// What a request brings along by which the application may know it. It never shows any of it.
#[derive(Clone)]
pub struct Session {
    /// All that the application is sent.
    headers: HeaderMap,
    key: Key,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(***)")
    }
}

impl Session {
    /// The session of a request; `None` if it has neither a cookie nor an `Authorization`. Nothing else of the request is
    /// kept but for whom it is made, as the proxy would say it, and `request_id`.
    #[must_use]
    pub fn of<B>(request: &Request<B>, peer: Peer, trusted: &Trusted, request_id: &HeaderValue) -> Option<Self> {
        let cookie = joined(request.headers(), &COOKIE, b"; ");
        let authorization = joined(request.headers(), &AUTHORIZATION, b", ");
        if cookie.is_none() && authorization.is_none() {
            return None;
        }
        let mut headers = trusted.fields(request, peer);
        headers.insert(REQUEST_ID, request_id.clone());
        for (name, value) in [(COOKIE, cookie), (AUTHORIZATION, authorization)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
        // One application may serve several hosts, each with sessions of its own.
        let parts = [COOKIE, AUTHORIZATION, FORWARDED_HOST].map(|name| headers.get(name).map(HeaderValue::as_bytes));
        Some(Self { key: hash(&parts.map(Option::unwrap_or_default)), headers })
    }
}

/// All values of a field as one (HTTP/2 splits cookies, RFC 9113 §8.2.3), marked so that nobody prints it.
fn joined(headers: &HeaderMap, name: &HeaderName, separator: &[u8]) -> Option<HeaderValue> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let mut value = HeaderValue::from_bytes(&values.join(separator)).ok().filter(|value| !value.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

/// No two lists of parts have one hash: the length of each part goes before it.
fn hash(parts: &[&[u8]]) -> Key {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// What has become of the session of an open stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, perhaps with other grants or even for another user.
    Known(Identity),
    /// The application has ended it.
    Over(AuthError),
    /// The application cannot be asked; what was known still counts.
    Undecided,
}

/// `[auth.forward]` made ready: where and how the application is asked.
pub struct Forward {
    url: Uri,
    client: Client,
    reading: Reading,
    config: ForwardConfig,
}

impl Forward {
    /// Compiles the settings; `None` without `auth.forward.url`. Asks nobody.
    ///
    /// # Errors
    /// Every fault of the section.
    pub fn new(config: &ForwardConfig) -> Result<Option<Self>, Vec<Fault>> {
        let Some(url) = &config.url else { return Ok(None) };
        let mut faults = Vec::new();
        let fault = |setting: &str, problem: String| Fault::new(format!("auth.forward.{setting}"), problem);
        let url = client::url(url).map_err(|problem| faults.push(fault("url", problem.into()))).ok();
        let client = Client::new(config.ca_file.as_deref());
        let client = client.map_err(|distrust| faults.push(fault("ca_file", distrust.to_string()))).ok();
        let reading = Reading::new(config, &mut faults);
        let (Some(url), Some(client), Some(reading)) = (url, client, reading) else { return Err(faults) };
        Ok(Some(Self { url, client, reading, config: config.clone() }))
    }
}

/// The application, as far as it is asked about sessions. Threads share one behind an `Arc`.
pub struct Sessions {
    forward: Forward,
    authenticator: Arc<Authenticator>,
    recalls: Arc<Recalls>,
    cache: Cache,
    breaker: Mutex<Breaker>,
    /// Questions that are open at once.
    places: Semaphore,
    log: Mutex<Throttle>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("config", &self.forward.config).finish_non_exhaustive()
    }
}

impl Sessions {
    /// Asks nobody yet; `authenticator` makes identities of what will be answered, which counts until `recalls` say
    /// otherwise.
    #[must_use]
    pub fn new(forward: Forward, authenticator: Arc<Authenticator>, recalls: Arc<Recalls>) -> Self {
        let config = &forward.config;
        Self {
            cache: Cache::new(config.max_cached, config.cache.0),
            breaker: Mutex::new(Breaker::new(config.breaker_failures, config.breaker_pause.0)),
            places: Semaphore::new(config.max_asking.min(Semaphore::MAX_PERMITS)),
            log: Mutex::new(Throttle::new(LOG_INTERVAL)),
            authenticator,
            recalls,
            forward,
        }
    }

    /// Who has this session, by the application's word of at most `auth.forward.cache` ago, and of later than its recall.
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`AuthError::SessionRefused`] and [`AuthError::SessionForbidden`] as the application says them,
    /// [`AuthError::SessionUnavailable`] when it says nothing.
    pub async fn identify(&self, session: &Session) -> Result<Identity, AuthError> {
        for _ in 0..ATTEMPTS {
            let (verdict, asked) = self.cache.get(session.key, self.ask(session)).await;
            let is_recalled = |identity: &Identity| self.recalls.cover(&session.key, identity, asked);
            if !verdict.as_ref().is_ok_and(is_recalled) {
                return verdict;
            }
            self.cache.forget(session.key, asked);
        }
        Err(AuthError::SessionUnavailable)
    }

    /// As [`Sessions::identify`], for a stream that is open, every [`Sessions::interval`].
    pub async fn recheck(&self, session: &Session) -> Verdict {
        match self.identify(session).await {
            Ok(identity) => Verdict::Known(identity),
            Err(error @ (AuthError::SessionRefused | AuthError::SessionForbidden)) => Verdict::Over(error),
            Err(_) => Verdict::Undecided,
        }
    }

    /// How often [`Sessions::recheck`] is to be called for each stream; `None` for never.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        Some(self.forward.config.recheck.0).filter(|interval| !interval.is_zero())
    }

    async fn ask(&self, session: &Session) -> Result<Identity, AuthError> {
        if !self.breaker().admit(Instant::now()) {
            telemetry::session::checked("breaker_open");
            return Err(AuthError::SessionUnavailable);
        }
        let began = Instant::now();
        let judged = self.exchange(session).await.and_then(|answer| self.judge(answer));
        match &judged {
            // The application was busy with others, and not away.
            Err(Trouble::Crowded) if self.breaker().has_succeeded_since(began) => {}
            Err(trouble) if trouble.is_outage() => self.note_outage(),
            _ => self.breaker().succeeded(Instant::now()),
        }
        let (outcome, verdict) = match judged {
            Ok(Ok(identity)) => ("known", Ok(identity)),
            Ok(Err(error)) => (error.reason(), Err(error)),
            Err(trouble) => {
                self.complain(&trouble);
                (trouble.outcome(), Err(AuthError::SessionUnavailable))
            }
        };
        telemetry::session::checked(outcome);
        verdict
    }

    async fn exchange(&self, session: &Session) -> Result<Answer, Trouble> {
        let Forward { url, client, reading, config } = &self.forward;
        let patience = config.timeout.0;
        let at_once = self.places.try_acquire().ok();
        let has_waited = at_once.is_none();
        let exchange = async {
            let _place = match at_once {
                Some(place) => place,
                None => self.places.acquire().await.expect("nobody closes it"),
            };
            let limits = Limits { time: patience, body_bytes: MAX_ANSWER_BYTES };
            client.get(url.clone(), session.headers.clone(), limits).await
        };
        // Over both, so that a request waits no longer for a place and an answer than for an answer alone.
        match timeout(patience, exchange).await.unwrap_or(Err(FetchError::Timeout(patience))) {
            Err(FetchError::Timeout(_)) if has_waited => Err(Trouble::Crowded),
            answer => reading.read(&answer?),
        }
    }

    /// The identity that an answer gives, or its refusal.
    fn judge(&self, answer: Answer) -> Result<Result<Identity, AuthError>, Trouble> {
        let (user, channels) = match answer {
            Answer::Known { user, channels } => (user, channels),
            Answer::Unauthorized => return Ok(Err(AuthError::SessionRefused)),
            Answer::Forbidden => return Ok(Err(AuthError::SessionForbidden)),
        };
        match self.authenticator.of_session(user, channels) {
            Err(AuthError::UserInvalid) => Err(Trouble::User),
            Err(AuthError::ChannelsInvalid | AuthError::ChannelsTooMany) => Err(Trouble::Channels),
            settled => Ok(settled),
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_outage(&self) {
        if self.breaker().failed(Instant::now()) {
            tracing::warn!(
                "the application fails to say whose sessions are, and is not asked for auth.forward.breaker_pause"
            );
        }
    }

    /// Says it at a limited rate: there may be thousands of requests a second.
    fn complain(&self, trouble: &Trouble) {
        let admitted = self.log.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        if let Some(kept_back) = admitted {
            tracing::warn!(error = %trouble, kept_back, "the application does not say whose a session is; browsers try again");
        }
    }
}

#[cfg(test)]
mod tests;

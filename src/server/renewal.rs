//! A new token for a stream that is open: `POST <endpoint>/token`, and what the stream may hear from then on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use super::body::Body;
use super::problem::Problem;
use super::regrant;
use super::site::{Denied, Site, refuse};
use crate::auth::{self, AuthError, Credentials, Identity, Source};
use crate::event::{ChannelName, UserId};
use crate::hub::{Verdict, View, Whom};

/// Bytes of a request's body besides the token.
const ENVELOPE_BYTES: usize = 1024;
/// Time for a request's body to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(10);
/// Time for the stream's own thread to answer.
const ORDER_LIMIT: Duration = Duration::from_secs(5);

/// What a page sends.
#[derive(Deserialize)]
struct Wish {
    #[serde(rename = "connectionId")]
    connection: Uuid,
    /// May come in the places that every request's token may come in as well.
    token: Option<String>,
}

/// Why a stream was not renewed.
pub(super) enum Refusal {
    Denied(Denied),
    Problem(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        Self::Denied(error.into())
    }
}

impl Refusal {
    pub(super) fn into_response(self, request_id: &HeaderValue) -> Response<Body> {
        match self {
            Self::Denied(denied) => denied.into_response(request_id),
            Self::Problem(problem) => refuse(problem),
        }
    }
}

/// What became of the stream.
enum Outcome {
    Unknown,
    OtherUser,
    Renewed(Vec<ChannelName>),
}

impl Site {
    /// Continues a stream of this process with the grants and the expiry of a new token of the same user.
    pub(super) async fn renew(&self, head: &Request<()>, body: Incoming) -> Result<Response<Body>, Refusal> {
        let at_most = usize::try_from(self.auth.max_token_bytes.as_u64()).unwrap_or(usize::MAX);
        let body = Limited::new(body, at_most.saturating_add(ENVELOPE_BYTES)).collect();
        let Ok(Ok(body)) = timeout(BODY_LIMIT, body).await else { return Err(Problem::RENEWAL_INVALID.into()) };
        let wish: Wish = serde_json::from_slice(&body.to_bytes()).map_err(|_| Problem::RENEWAL_INVALID)?;
        let in_request = auth::credentials(head.headers(), head.uri().query(), &self.auth)?;
        let in_body = wish.token.map(|token| Credentials::new(token, Source::Body));
        let credentials = match (in_body, in_request) {
            // A cookie goes with every request; the token that the page names is the one it means.
            (Some(named), Some(other)) if other.source() != Source::Cookie && !named.is_same_token(&other) => {
                return Err(AuthError::TokensDisagree.into());
            }
            (named, other) => named.or(other).ok_or(AuthError::Missing)?,
        };
        let identity = self.identify(Some(&credentials), head).await.map_err(Refusal::Denied)?;
        let now = SystemTime::now();
        let expires = identity.expires();
        let user = identity.user().cloned();
        match self.exchange(wish.connection, identity, now).await? {
            Outcome::Unknown => Err(Problem::CONNECTION_UNKNOWN.into()),
            Outcome::OtherUser => Err(Problem::RENEWAL_MISMATCH.into()),
            Outcome::Renewed(channels) => Ok(answer(&json!({
                "connectionId": wish.connection.to_string(),
                "user": user.as_ref().map(UserId::as_str),
                "channels": channels.iter().map(ChannelName::as_str).collect::<Vec<_>>(),
                "expires": expires.map(|at| humantime::format_rfc3339_millis(at).to_string()),
            }))),
        }
    }

    /// Has the stream go on as `identity`, if it is that user's.
    async fn exchange(&self, connection: Uuid, identity: Identity, now: SystemTime) -> Result<Outcome, Problem> {
        let outcome = Arc::new(Mutex::new(Outcome::Unknown));
        let (done, told) = oneshot::channel();
        let reached = Arc::clone(&outcome);
        let judge = move |view: &View<'_>| {
            let (outcome, verdict) = judged(view, &identity, now);
            *reached.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
            verdict
        };
        let finish = move |_streams| {
            // An error means that nobody waits any more.
            let _told = done.send(());
        };
        self.orders.give(Whom::Connection(connection), judge, finish).map_err(|_busy| Problem::RENEWAL_BUSY)?;
        match timeout(ORDER_LIMIT, told).await {
            Ok(Ok(())) => {
                Ok(std::mem::replace(&mut *outcome.lock().unwrap_or_else(PoisonError::into_inner), Outcome::Unknown))
            }
            Ok(Err(_)) | Err(_) => Err(Problem::RENEWAL_BUSY),
        }
    }
}

fn judged(view: &View<'_>, identity: &Identity, now: SystemTime) -> (Outcome, Verdict) {
    let Some(standing) = view.standing else { return (Outcome::Unknown, Verdict::Keep) };
    if standing.identity.user() != identity.user() {
        return (Outcome::OtherUser, Verdict::Keep);
    }
    let subscription = regrant::subscription(view, standing, identity, now);
    (Outcome::Renewed(subscription.channels.clone()), Verdict::Change(Box::new(subscription)))
}

fn answer(json: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::full(json.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

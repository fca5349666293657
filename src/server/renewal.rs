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

use super::bearer::Denied;
use super::body::Body;
use super::overload::Overload;
use super::problem::Problem;
use super::regrant;
use super::site::{Site, refuse};
use super::sites::Sites;
use crate::auth::{self, AuthError, Credentials, Identity, Source};
use crate::event::{ChannelName, UserId};
use crate::hub::{Verdict, View, Whom};
use crate::proxy::Peer;

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
    /// The new identity counts no more.
    Denied(AuthError),
    OtherUser,
    Renewed(Vec<ChannelName>),
}

impl Site {
    /// Continues a stream of this process with the grants and the expiry of a new token of the same user.
    pub(super) async fn renew(
        &self,
        sites: &Sites,
        head: &Request<()>,
        body: Incoming,
        peer: Peer,
    ) -> Result<Response<Body>, Refusal> {
        // It costs what opening a stream costs.
        let client = self.admission.client(peer.address, head.headers());
        self.admission.knock(client).map_err(Overload::problem)?;
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
        let expires = identity.expires();
        let user = identity.user().cloned();
        match self.exchange(sites.clone(), wish.connection, identity).await? {
            Outcome::Unknown => Err(Problem::CONNECTION_UNKNOWN.into()),
            Outcome::Denied(error) => Err(error.into()),
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
    async fn exchange(&self, sites: Sites, connection: Uuid, identity: Identity) -> Result<Outcome, Problem> {
        let outcome = Arc::new(Mutex::new(Outcome::Unknown));
        let (done, told) = oneshot::channel();
        let reached = Arc::clone(&outcome);
        let judge = move |view: &View<'_>| {
            let (outcome, verdict) = judged(view, &identity, &sites);
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

/// On the stream's own thread: what was revoked or reconfigured since the token was read has either been carried out there
/// already, and counts here, or comes after this and finds the new identity.
fn judged(view: &View<'_>, identity: &Identity, sites: &Sites) -> (Outcome, Verdict) {
    let Some(standing) = view.standing else { return (Outcome::Unknown, Verdict::Keep) };
    let identity = match sites.reconsider(identity) {
        Ok(identity) => identity,
        Err(error) => return (Outcome::Denied(error), Verdict::Keep),
    };
    if standing.identity.user() != identity.user() {
        return (Outcome::OtherUser, Verdict::Keep);
    }
    let subscription = regrant::subscription(view, standing, &identity, SystemTime::now());
    (Outcome::Renewed(subscription.channels.clone()), Verdict::Change(Box::new(subscription)))
}

fn answer(json: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::full(json.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthConfig, Authenticator, IssuerConfig, Revocable, Revocations};
    use crate::hub::{self, HistoryConfig, Standing, StreamConfig};
    use crate::provider::KeySources;
    use crate::proxy::Trusted;
    use crate::server::{CorsConfig, SiteSettings};
    use std::time::Instant;

    fn config(secret: &str) -> AuthConfig {
        let (algorithms, secret) = (vec!["HS256".into()], Some(crate::setting::Secret::new(secret)));
        AuthConfig {
            issuer: vec![IssuerConfig { algorithms, secret, ..IssuerConfig::default() }],
            ..AuthConfig::default()
        }
    }

    fn site(auth: &AuthConfig, revocations: &Arc<Revocations>) -> Site {
        let stream = StreamConfig::default();
        let (_, _, overview) = hub::open(&HistoryConfig::default(), &stream, None, 1);
        let authenticator = Authenticator::load(auth).expect("a sound section").revoking(Arc::clone(revocations));
        let keys = Arc::new(KeySources::new(auth).expect("a sound section").keep(authenticator));
        let settings = SiteSettings { endpoints: &[], cors: &CorsConfig::default(), auth, stream: &stream };
        Site::new(settings, keys, None, overview.orders(), Trusted::default(), None)
    }

    /// What becomes of Ada's stream when the order to renew it is carried out.
    fn outcome(sites: &Sites, identity: &Identity) -> Outcome {
        let (session, asked, address) = (None, None, None);
        let standing = Standing {
            identity: identity.clone(),
            session,
            asked,
            defaults: [].into(),
            address,
            opened: Instant::now(),
        };
        let view = View { connection: Uuid::nil(), audiences: &[], standing: Some(&standing), waiting: (0, 0) };
        let (outcome, verdict) = judged(&view, identity, sites);
        assert_eq!(matches!(outcome, Outcome::Renewed(_)), matches!(verdict, Verdict::Change(_)));
        outcome
    }

    #[test]
    fn a_token_that_counts_no_more_when_the_stream_is_reached_renews_nothing() {
        let revocations = Arc::new(Revocations::new(10));
        let secret = "a-secret-of-at-least-32-bytes-for-tests";
        let sites = Sites::new(site(&config(secret), &revocations));
        let supposed =
            sites.current().authenticator().suppose(r#"{"sub":"ada","jti":"1","exp":99999999999}"#, SystemTime::now());
        let identity = supposed.expect("sound claims");
        assert!(matches!(outcome(&sites, &identity), Outcome::Renewed(_)));
        sites.replace(site(&config("another-secret-of-at-least-32-bytes!"), &revocations));
        assert!(matches!(outcome(&sites, &identity), Outcome::Denied(AuthError::IssuerRefused)));
        sites.replace(site(&config(secret), &revocations));
        let now = SystemTime::now();
        revocations.revoke(revocations.id(Revocable::Token, "1"), now + BODY_LIMIT, now);
        assert!(matches!(outcome(&sites, &identity), Outcome::Denied(AuthError::Revoked)));
    }
}

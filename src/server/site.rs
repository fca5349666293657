//! What every worker answers from: endpoints, authentication, CORS, and the way from a request to its answer.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE, VIA,
};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use uuid::Uuid;

use super::admission::{Admission, Network};
use super::bearer::{Admitted, Denied};
use super::body::{Body, Kind, StreamBody, without_body};
use super::cors::Cors;
use super::endpoint::{Claimed, Endpoints, Wishes, channels};
use super::fallback::{Answer, Fallback, Responder};
use super::overload::{Overload, Patience};
use super::problem::Problem;
use super::regrant::remaining;
use super::sites::Sites;
use super::{CorsConfig, EndpointConfig};
use crate::auth::{AuthConfig, AuthError, Authenticator};
use crate::event::UserId;
use crate::hub::{Beginning, Orders, Shard, Standing, StreamConfig, Subscription};
use crate::provider::Keys;
use crate::provider::session::Sessions;
use crate::proxy::{Peer, Trusted, Tunnel};
use crate::telemetry::{self, HttpSpan};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const MAX_REQUEST_ID: usize = 128;

/// Shared by all workers; nothing in it changes but the issuers' keys. Other settings make another site.
pub struct Site {
    endpoints: Endpoints,
    pub(super) cors: Cors,
    pub(super) auth: AuthConfig,
    pub(super) keys: Arc<Keys>,
    pub(super) orders: Orders,
    stream: StreamConfig,
    /// None where nobody is asked about sessions.
    pub(super) sessions: Option<Arc<Sessions>>,
    pub(super) trusted: Trusted,
    pub(super) admission: Admission,
    patience: Patience,
    fallback: Option<Arc<dyn Fallback>>,
}

/// The sections that a site is made of.
#[derive(Clone, Copy, Debug)]
pub struct SiteSettings<'a> {
    pub endpoints: &'a [EndpointConfig],
    pub cors: &'a CorsConfig,
    pub auth: &'a AuthConfig,
    pub stream: &'a StreamConfig,
}

/// A response and what its connection becomes.
type Answered = (Response<Body>, Option<Tunnel>);

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl Site {
    #[must_use]
    pub fn new(
        settings: SiteSettings<'_>,
        keys: Arc<Keys>,
        sessions: Option<Arc<Sessions>>,
        orders: Orders,
        trusted: Trusted,
        fallback: Option<Arc<dyn Fallback>>,
    ) -> Self {
        let SiteSettings { endpoints, cors, auth, stream } = settings;
        Self {
            endpoints: Endpoints::new(endpoints),
            cors: Cors::new(cors),
            auth: auth.clone(),
            keys,
            orders,
            stream: stream.clone(),
            sessions,
            admission: Admission::new(stream, trusted.clone()),
            trusted,
            patience: Patience::new(stream),
            fallback,
        }
    }

    /// The same site with other settings. Streams that are open count on.
    #[must_use]
    pub fn changed_to(&self, settings: SiteSettings<'_>, keys: Arc<Keys>, sessions: Option<Arc<Sessions>>) -> Self {
        let (orders, trusted, fallback) = (self.orders.clone(), self.trusted.clone(), self.fallback.clone());
        let admission = self.admission.changed_to(settings.stream, trusted.clone());
        Self { admission, ..Self::new(settings, keys, sessions, orders, trusted, fallback) }
    }

    /// As [`Site::changed_to`], with those who know keys and sessions already.
    #[must_use]
    pub fn with_settings(&self, settings: SiteSettings<'_>) -> Self {
        self.changed_to(settings, Arc::clone(&self.keys), self.sessions.clone())
    }

    /// What verifies tokens here.
    #[must_use]
    pub fn authenticator(&self) -> Arc<Authenticator> {
        self.keys.authenticator()
    }

    pub(super) fn sessions(&self) -> Option<&Arc<Sessions>> {
        self.sessions.as_ref()
    }

    /// The calling worker's part of the fallback.
    pub(crate) fn settle(&self) -> Option<Rc<dyn Responder>> {
        self.fallback.as_ref().map(|fallback| fallback.settle())
    }

    /// The answer to a request; a stream joins `shard`.
    pub(crate) async fn answer(
        &self,
        sites: &Sites,
        shard: &Shard,
        fallback: Option<&dyn Responder>,
        mut request: Request<Incoming>,
        peer: Peer,
    ) -> Answered {
        let request_id = request_id(request.headers());
        let mut span = HttpSpan::server(&request, &request_id);
        let head_only = request.method() == Method::HEAD;
        let path = request.uri().path();
        let misaddressed = misaddressed(&request);
        // After an offer to upgrade bytes were not scanned, as they might have been of another protocol.
        let closes =
            request.version() < Version::HTTP_2 && (misaddressed.is_some() || request.headers().contains_key(UPGRADE));
        let (mut response, tunnel) = if let Some(problem) = misaddressed {
            (refuse(problem), None)
        } else if request.method() == Method::POST && self.endpoints.claim_renewal(path) {
            let (head, body) = request.into_parts();
            let head = Request::from_parts(head, ());
            let renewed = self.renew(sites, &head, body, peer).await;
            let mut response = renewed.unwrap_or_else(|refusal| refusal.into_response(&request_id));
            self.cors.apply(head.headers(), response.headers_mut());
            (response, None)
        } else if let Some(claimed) = self.endpoints.claim(path) {
            span.routed(request.method(), claimed.endpoint.path());
            let mut response = self.endpoint((sites, shard), &claimed, &request, peer, &request_id).await;
            if request.version() == Version::HTTP_10 {
                // So that whoever looks into what stands in front sees it (RFC 9110 §7.6.3).
                response.headers_mut().insert(VIA, HeaderValue::from_static("1.0 cottontail"));
            }
            self.cors.apply(request.headers(), response.headers_mut());
            (response, None)
        } else if let Some(fallback) = fallback.filter(|_| !self.endpoints.claim_otherwise_spelled(path)) {
            request.headers_mut().insert(REQUEST_ID, request_id.clone());
            let Answer { response, tunnel } = fallback.answer(request, peer, std::mem::take(&mut span)).await;
            (response.map(|body| Kind::Answer(body).into()), tunnel)
        } else {
            (Problem::NOT_FOUND.into_response(), None)
        };
        // A stream's span ends here, for it may be open for hours; that of a request for the application ends later.
        span.answered(response.status());
        response.headers_mut().insert(REQUEST_ID, request_id);
        if closes && tunnel.is_none() {
            response.headers_mut().append(CONNECTION, HeaderValue::from_static("close"));
        }
        (if head_only { without_body(response) } else { response }, tunnel)
    }

    async fn endpoint<B>(
        &self,
        (sites, shard): (&Sites, &Shard),
        claimed: &Claimed<'_>,
        request: &Request<B>,
        peer: Peer,
        request_id: &HeaderValue,
    ) -> Response<Body> {
        let head_only = match *request.method() {
            Method::GET => false,
            Method::HEAD => true,
            Method::OPTIONS => return self.cors.preflight(request.headers()),
            _ => return refuse(Problem::METHOD_NOT_ALLOWED),
        };
        if !accepts_event_stream(request.headers()) {
            return refuse(Problem::NOT_ACCEPTABLE);
        }
        let client = self.admission.client(peer.address, request.headers());
        if let Err(overload) = self.admission.knock(client) {
            return self.turn_away(overload, request.headers());
        }
        let admitted = match self.authenticate(sites, request, peer, request_id).await {
            // From here to the stream's place in the hub nothing is waited for, so that no order to open streams is missed.
            Ok(admitted) => admitted,
            Err(Denied::Auth(error @ (AuthError::KeysUnavailable | AuthError::SessionUnavailable))) => {
                telemetry::stream::auth_failed(error.reason());
                let why = if error == AuthError::KeysUnavailable { Overload::Keys } else { Overload::Session };
                return self.turn_away(why, request.headers());
            }
            Err(denied) => return denied.into_response(request_id),
        };
        let now = SystemTime::now();
        match self.subscription(claimed, request, peer, admitted, now) {
            Ok(_) if head_only => event_stream(Body::empty()),
            Ok((subscription, beginning)) => self
                .open(shard, &subscription, beginning, client, request_id)
                .unwrap_or_else(|overload| self.turn_away(overload, request.headers())),
            Err(problem) => {
                tracing::debug!(request = request_id.to_str().unwrap_or_default(), reason = problem.code, "refused");
                refuse(problem)
            }
        }
    }

    fn turn_away(&self, overload: Overload, request: &HeaderMap) -> Response<Body> {
        self.patience.turn_away(overload, request, Instant::now())
    }

    fn open(
        &self,
        shard: &Shard,
        subscription: &Subscription,
        beginning: Beginning,
        client: Network,
        request_id: &HeaderValue,
    ) -> Result<Response<Body>, Overload> {
        let now = Instant::now();
        let place = self.admission.admit(client)?;
        let subscriber = shard.subscribe(subscription, beginning, now)?;
        tracing::debug!(
            connection = %subscription.connection_id,
            request = request_id.to_str().unwrap_or_default(),
            "stream opened"
        );
        Ok(event_stream(Body::stream(StreamBody::new(subscriber, now, place))))
    }

    /// What the request asks for as far as its identity allows it, and where it resumes.
    fn subscription<B>(
        &self,
        claimed: &Claimed<'_>,
        request: &Request<B>,
        peer: Peer,
        Admitted { identity, session }: Admitted,
        now: SystemTime,
    ) -> Result<(Subscription, Beginning), Problem> {
        let wishes = Wishes::read(request.uri().query(), claimed.channel)?;
        let user = identity.user().map(UserId::as_str);
        if wishes.user.is_some() && wishes.user.as_deref() != user {
            return Err(Problem::USER_MISMATCH);
        }
        let asked = wishes.asked(self.stream.max_channels)?;
        let channels = channels(asked.as_deref(), claimed.endpoint.channels(), &identity)?;
        // The header wins: a browser sets it when it reconnects, with the query still as the page wrote it.
        let header = request.headers().get(LAST_EVENT_ID).map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        let expires = remaining(&identity, now, Instant::now());
        let user = identity.user().cloned();
        let standing = Standing {
            identity,
            session,
            asked,
            defaults: Arc::clone(claimed.endpoint.channels()),
            address: Some(self.trusted.client(peer.address, request.headers())),
            opened: Instant::now(),
        };
        let subscription =
            Subscription { connection_id: Uuid::new_v4(), user, channels, expires, standing: Some(Arc::new(standing)) };
        let last_event_id = header.filter(|id| !id.is_empty()).or_else(|| wishes.last_event_id.clone());
        Ok((subscription, beginning(last_event_id.as_deref(), &wishes, now)))
    }
}

/// Where the stream begins. An id wins: a browser that reconnects sends it beside the query of its first request.
fn beginning(last_event_id: Option<&str>, wishes: &Wishes, now: SystemTime) -> Beginning {
    match (Beginning::from(last_event_id), wishes.since, wishes.last) {
        (Beginning::Now, Some(time), _) => {
            let ago = now.duration_since(time).unwrap_or(Duration::ZERO);
            Beginning::Since { time, instant: Instant::now().checked_sub(ago) }
        }
        (Beginning::Now, None, Some(last)) => Beginning::Last(last),
        (beginning, _, _) => beginning,
    }
}

/// What is wrong with a request that does not say, or says twice, what host it is for (RFC 9112 §3.2).
fn misaddressed<B>(request: &Request<B>) -> Option<Problem> {
    match request.headers().get_all(HOST).iter().take(2).count() {
        0 if request.version() == Version::HTTP_11 => Some(Problem::HOST_MISSING),
        0 | 1 => None,
        _ => Some(Problem::AMBIGUOUS),
    }
}

pub(super) fn refuse(problem: Problem) -> Response<Body> {
    telemetry::stream::refused(problem.code);
    problem.into_response()
}

pub(super) fn event_stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// The request's own id if it is a short visible text, otherwise a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let own = headers
        .get(REQUEST_ID)
        .filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic));
    own.cloned().unwrap_or_else(|| {
        // It names a request and opens nothing, so that it need not be unpredictable, which costs a system call.
        let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
        let mut text = [0; uuid::fmt::Simple::LENGTH];
        let text: &str = id.simple().encode_lower(&mut text);
        HeaderValue::from_str(text).expect("hexadecimal digits are a header value")
    })
}

/// Whether `Accept` admits `text/event-stream` (RFC 9110 §12.5.1); a request without the header admits anything.
fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let mut ranges = headers.get_all(ACCEPT).iter().flat_map(|value| value.as_bytes().split(|b| *b == b',')).peekable();
    ranges.peek().is_none()
        || ranges.any(|range| {
            let mut parts = range.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let media = parts.next().unwrap_or_default();
            let refused = parts.any(|part| {
                matches!(part.split_first(), Some((b'q' | b'Q', [b'=', weight @ ..])) if weight.iter().all(|b| b"0.".contains(b)))
            });
            let admitted = [&b"text/event-stream"[..], b"text/*", b"*/*"].iter().any(|want| media.eq_ignore_ascii_case(want));
            admitted && !refused
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_read_as_http_has_it() {
        let accepts = |text: &'static str| {
            accepts_event_stream(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(text))]))
        };
        assert!(accepts_event_stream(&HeaderMap::new()));
        for text in ["text/event-stream", "*/*", "text/html, TEXT/*;q=0.1", "application/json,text/event-stream;q=0.5"]
        {
            assert!(accepts(text), "{text}");
        }
        for text in ["application/json", "text/html", "text/event-stream;q=0", "text/event-stream; q=0.000", ""] {
            assert!(!accepts(text), "{text}");
        }
    }

    #[test]
    fn a_request_id_is_taken_over_only_if_it_is_harmless() {
        let id_of = |text: &str| {
            let value = HeaderValue::from_bytes(text.as_bytes()).expect("a header value");
            request_id(&HeaderMap::from_iter([(REQUEST_ID, value)]))
        };
        assert_eq!(id_of("abc-123"), "abc-123");
        assert_ne!(id_of("a b"), "a b");
        assert_eq!(id_of(&"x".repeat(129)).len(), 32);
    }
}

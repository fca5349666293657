//! `dev`: the whole program with an exchange in memory and a page to try it; the page's own requests are answered here.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::token::mint;
use crate::app::{App, Plan, Source};
use crate::auth::IssuerConfig;
use crate::broker::{Exchange, ExchangeHandle};
use crate::config::Config;
use crate::event::Message;
use crate::hub::HistoryKind;
use crate::proxy::Peer;
use crate::routing::{MappingConfig, OneOrMany};
use crate::server::{Answer, AnswerBody, BoxError, Fallback, Responder};
use crate::setting::{Fault, Secret, Span};
use crate::telemetry::HttpSpan;

const PAGE: &str = include_str!("console.html");
const MAX_BODY: usize = 1 << 20;
const TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Messages that wait in the in-process exchange; more are refused.
const EXCHANGE_CAPACITY: usize = 1024;

/// A configuration that needs nothing else: a generated secret, mappings to try, loopback only.
#[must_use]
pub fn config(listen: SocketAddr) -> Config {
    let mapping = |routing_key: &str, user: &str, channel: &str, event: &str| MappingConfig {
        routing_key: routing_key.into(),
        user: OneOrMany::from(user),
        channel: OneOrMany::from(channel),
        everyone: user.is_empty() && channel.is_empty(),
        event: event.into(),
        ..MappingConfig::default()
    };
    let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let mut config = Config::default();
    config.server.listen = listen;
    config.server.drain_delay = Span::from_secs(0);
    config.admin.listen = SocketAddr::new(listen.ip(), 0);
    config.history.kind = HistoryKind::Memory;
    config.auth.issuer = vec![IssuerConfig {
        algorithms: vec!["HS256".into()],
        secret: Some(Secret::new(secret)),
        ..IssuerConfig::default()
    }];
    config.mapping = vec![
        mapping("user.{user}.{event}", "{user}", "", "{event}"),
        mapping("channel.{channel}.{event}", "", "{channel}", "{event}"),
        mapping("announce.{event}", "", "", "{event}"),
    ];
    config
}

/// Starts the program of `config` with an exchange in this process; must be called within a tokio runtime.
///
/// # Errors
/// Everything that is wrong, such as an address that is in use.
pub fn start(config: Config) -> Result<App, Vec<Fault>> {
    let issuer = config.auth.issuer.first().cloned().unwrap_or_default();
    let mappings = config.mapping.clone();
    let plan = Plan::new(config)?;
    let orders = plan.config().control.disconnect.clone();
    let binding_keys: Vec<_> = plan.binding_keys().into_iter().chain([orders]).filter(|key| !key.is_empty()).collect();
    let (publisher, exchange) = Exchange::new(&binding_keys, EXCHANGE_CAPACITY);
    let console = Console { issuer, mappings, publisher };
    App::start(plan, Source::Exchange(exchange), Some(Arc::new(console)))
        .map_err(|error| vec![Fault::new("--listen", error.to_string())])
}

/// Answers the page's requests.
#[derive(Clone, Debug)]
struct Console {
    issuer: IssuerConfig,
    mappings: Vec<MappingConfig>,
    publisher: ExchangeHandle,
}

/// What the page asks a token for.
#[derive(Debug, Deserialize)]
struct TokenWish {
    user: String,
    #[serde(default)]
    channels: Vec<String>,
}

/// What the page publishes.
#[derive(Debug, Deserialize)]
struct Publication {
    routing_key: String,
    body: String,
}

type Refusal = (StatusCode, &'static str);

impl Fallback for Console {
    fn settle(&self) -> Rc<dyn Responder> {
        Rc::new(self.clone())
    }
}

impl Responder for Console {
    fn answer(
        &self,
        request: Request<Incoming>,
        _peer: Peer,
        _span: HttpSpan,
    ) -> Pin<Box<dyn Future<Output = Answer> + '_>> {
        Box::pin(async move {
            let response = self.route(request).await.unwrap_or_else(|(status, error)| {
                answer(status, "application/json", json!({ "error": error }).to_string())
            });
            Answer::from(response.map(|body| Box::pin(Full::new(body).map_err(BoxError::from)) as AnswerBody))
        })
    }
}

impl Console {
    async fn route(&self, request: Request<Incoming>) -> Result<Response<Bytes>, Refusal> {
        if !is_local(&request) {
            return Err((StatusCode::FORBIDDEN, "only pages of this program may do that"));
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/") => Ok(page()),
            (&Method::GET, "/dev/mappings") => Ok(answer(StatusCode::OK, "text/plain; charset=utf-8", self.mappings())),
            (&Method::POST, "/dev/token") => {
                let wish: TokenWish = read(request).await?;
                let token = mint(&self.issuer, &wish.user, &wish.channels, TOKEN_LIFETIME, SystemTime::now())
                    .map_err(|_| (StatusCode::BAD_REQUEST, "no token can be made of that"))?;
                Ok(answer(StatusCode::OK, "application/json", json!({ "token": token }).to_string()))
            }
            (&Method::POST, "/dev/publish") => {
                let Publication { routing_key, body } = read(request).await?;
                let message = Message { routing_key, body: Bytes::from(body), ..Message::default() };
                let routed = self
                    .publisher
                    .publish(message)
                    .map_err(|_| (StatusCode::SERVICE_UNAVAILABLE, "the exchange is full; try again"))?;
                Ok(answer(StatusCode::OK, "application/json", json!({ "routed": routed }).to_string()))
            }
            _ => Err((StatusCode::NOT_FOUND, "there is nothing at this path")),
        }
    }

    fn mappings(&self) -> String {
        let to = |mapping: &MappingConfig| match (&mapping.user.0[..], &mapping.channel.0[..]) {
            ([user, ..], _) => format!("user {user}"),
            (_, [channel, ..]) => format!("channel {channel}"),
            _ => "everyone".to_owned(),
        };
        let line = |mapping: &MappingConfig| {
            format!("{}\n    → {}, event {}\n", mapping.routing_key, to(mapping), mapping.event)
        };
        self.mappings.iter().map(line).collect()
    }
}

/// Whether the request comes from a page of this program: it names a loopback address as its host, so that no other
/// page's host name can be pointed here, and its origin, if it has one, is that same host.
fn is_local<B>(request: &Request<B>) -> bool {
    let text = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let Some(host) = text(HOST).or_else(|| request.uri().authority().map(http::uri::Authority::as_str)) else {
        return false;
    };
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let loopback = name == "localhost" || address.is_ok_and(|address| address.is_loopback());
    loopback && text(ORIGIN).is_none_or(|origin| origin.strip_prefix("http://") == Some(host))
}

async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let body = Limited::new(request.into_body(), MAX_BODY)
        .collect()
        .await
        .map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large, or broke off"))?;
    serde_json::from_slice(&body.to_bytes())
        .map_err(|_| (StatusCode::BAD_REQUEST, "the body is not what this path reads"))
}

fn page() -> Response<Bytes> {
    let mut response = answer(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    response.headers_mut().insert(
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static(
            "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; \
             frame-ancestors 'none'",
        ),
    );
    response
}

fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_programs_own_pages_are_answered() {
        let local = |host: &'static str, origin: Option<&'static str>| {
            let mut request = Request::new(());
            request.headers_mut().insert(HOST, HeaderValue::from_static(host));
            request.headers_mut().extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            is_local(&request)
        };
        for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "localhost", "[::1]"] {
            assert!(local(host, None), "{host}");
        }
        assert!(local("localhost:8080", Some("http://localhost:8080")));
        assert!(!local("evil.example:8080", None), "a name that was pointed at loopback");
        assert!(!local("localhost:8080", Some("http://evil.example")));
        assert!(!local("localhost:8080", Some("http://localhost:9000")));
        assert!(!local("localhost:8080", Some("null")));
    }

    #[test]
    fn the_page_fetches_nothing_from_elsewhere() {
        assert!(!PAGE.contains("https://") && !PAGE.contains("http://") && !PAGE.contains("//cdn"));
    }
}

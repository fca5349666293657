//! The way of a request to the application and of its response back: connections, header hygiene, limits, tunnels.
//! Which requests come here, and what a failure looks like to a browser, is the server's.

mod body;
mod client;
mod config;
mod error;
mod exchange;
mod forwarded;
mod hygiene;
mod origin;
mod outgoing;
mod patience;
mod pool;
mod socket;
mod switch;
mod tunnel;
mod via;
mod websocket;

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;

pub use body::ResponseBody;
pub use config::{HostPolicy, UpstreamConfig};
pub use error::{Ambiguity, BodyError, ProxyError};
pub use forwarded::Trusted;
pub use tunnel::Tunnel;

use origin::Origin;
use outgoing::Outgoing;
use pool::{Limits, Pool};
use via::Pseudonym;

use crate::setting::Fault;

/// What each worker's [`Proxy`] is made of; one in the process.
#[derive(Debug)]
pub struct ProxySeed {
    origin: Origin,
    config: UpstreamConfig,
    trusted: Trusted,
    pseudonym: Pseudonym,
    limits: Arc<Limits>,
}

impl ProxySeed {
    /// Compiles the settings; `None` without `upstream.url`.
    ///
    /// # Errors
    /// Every fault of `upstream.url` and `server.trusted_proxies`.
    pub fn new(config: &UpstreamConfig, trusted_proxies: &[String]) -> Result<Option<Self>, Vec<Fault>> {
        let mut faults = Vec::new();
        let trusted = Trusted::parse(trusted_proxies).map_err(|found| faults.extend(found)).ok();
        let origin = config.url.as_deref().map(|url| Origin::parse(url).map_err(|fault| faults.push(fault)).ok());
        match (trusted, origin) {
            (Some(_), None) => Ok(None),
            (Some(trusted), Some(Some(origin))) => {
                let (pseudonym, limits) = (Pseudonym::new(), Arc::new(Limits::new(config)));
                Ok(Some(Self { origin, config: config.clone(), trusted, pseudonym, limits }))
            }
            _ => Err(faults),
        }
    }

    /// The proxy of the calling worker; must be called within its `LocalSet`.
    #[must_use]
    pub fn settle(&self) -> Proxy {
        Proxy {
            pool: Pool::new(self.origin.clone(), self.config.clone(), Arc::clone(&self.limits)),
            origin: self.origin.clone(),
            config: self.config.clone(),
            trusted: self.trusted.clone(),
            pseudonym: self.pseudonym.clone(),
            limits: Arc::clone(&self.limits),
        }
    }
}

/// Forwards requests over one worker's connections.
#[derive(Debug)]
pub struct Proxy {
    pool: Rc<Pool>,
    origin: Origin,
    config: UpstreamConfig,
    trusted: Trusted,
    pseudonym: Pseudonym,
    limits: Arc<Limits>,
}

/// From whom a request was taken.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// Whether it came over TLS.
    pub secure: bool,
}

/// What the application answered.
#[derive(Debug)]
pub enum Forwarded {
    Response(Response<ResponseBody>),
    /// 101, or 200 where only a stream of HTTP/2 is left (RFC 8441), and the application's side of what follows.
    Switched(Response<()>, Tunnel),
}

impl Proxy {
    /// The longest silence within a body.
    #[must_use]
    pub const fn idle_timeout(&self) -> Duration {
        self.config.idle_timeout.0
    }

    /// Forwards a request; resolves with the head of its response. Dropping the future ends the request at the
    /// application as well.
    ///
    /// # Errors
    /// When there is no response of the application that could be passed on.
    pub async fn forward(&self, request: Request<Incoming>, peer: Peer) -> Result<Forwarded, ProxyError> {
        if request.method() == Method::CONNECT && !websocket::is_asked_for(&request) {
            return Err(ProxyError::Connect);
        }
        if self.pseudonym.is_in(request.headers()) {
            return Err(ProxyError::Loop);
        }
        let slot = Arc::clone(&self.limits.requests).try_acquire_owned().map_err(|_| ProxyError::Busy)?;
        let outgoing = Outgoing::new(request, peer, self)?;
        if outgoing.wishes.upgrade.is_some() {
            return self.switch(outgoing, slot).await;
        }
        self.exchange(outgoing, slot).await.map(Forwarded::Response)
    }
}

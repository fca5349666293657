//! One request and the head of its response over a pooled connection: time limits, and the one case in which it is sent twice.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::body::{Progress, RequestBody, ResponseBody, Sending};
use super::error::ProxyError;
use super::hygiene;
use super::outgoing::Outgoing;
use super::patience::Patience;
use super::pool::{Carrier, Lease, Sent};
use super::{Proxy, UpstreamConfig, via};

impl Proxy {
    /// Sends a request over a pooled connection and waits for the head of its response.
    pub(super) async fn exchange(
        &self,
        outgoing: Outgoing,
        slot: OwnedSemaphorePermit,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let progress = outgoing.body.progress();
        let (response, carrier) = if self.config.http2 {
            (self.send_shared(outgoing).await?, Carrier::Shared(Patience::default()))
        } else {
            self.send(outgoing).await?
        };
        // RFC 9110 §15.2.2.
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(ProxyError::Unasked);
        }
        self.pass(response, Lease::new(&self.pool, carrier, progress, slot))
    }

    /// The response as the browser gets it.
    pub(super) fn pass(
        &self,
        response: Response<Incoming>,
        lease: Lease,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let (mut head, body) = response.into_parts();
        if hygiene::is_coded(&head.headers) {
            return Err(ProxyError::Unasked);
        }
        hygiene::clean_response(head.status, &mut head.headers);
        via::add_to_response(&mut head.headers, head.version);
        // The browser's connection says its own version.
        head.version = http::Version::default();
        Ok(Response::from_parts(head, ResponseBody::new(body, lease, self.config.idle_timeout.0)))
    }

    async fn send(&self, outgoing: Outgoing) -> Result<(Response<Incoming>, Carrier), ProxyError> {
        let mut spare = None;
        let progress = outgoing.body.progress();
        let mut link = self.pool.link(false).await?;
        if link.reused {
            spare = outgoing.again().map(Outgoing::into_http1);
        }
        let mut request = outgoing.into_http1();
        loop {
            let response = link.sender.try_send_request(request);
            let sent = answered(response, &mut link.patience, &progress, &self.config).await?;
            let error = match sent {
                Ok(response) => return Ok((response, Carrier::Own(link))),
                Err(error) => error,
            };
            request = unsent(error, link.reused, &mut spare, &progress)?;
            link = self.pool.link(true).await?;
        }
    }

    async fn send_shared(&self, outgoing: Outgoing) -> Result<Response<Incoming>, ProxyError> {
        let progress = outgoing.body.progress();
        let mut request = outgoing.into_http2();
        let mut patience = Patience::default();
        // A connection that ends takes no new request, but may say so late.
        for _ in 0..2 {
            let mut sender = self.pool.share().await?;
            match answered(sender.try_send_request(request), &mut patience, &progress, &self.config).await? {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(failure(error.into_error(), &progress)),
                },
            }
        }
        Err(ProxyError::Busy)
    }
}

/// The request to send once more: an idle connection may have been closed while the request set out. What was not
/// sent can be sent; what was sent only if it may be repeated.
fn unsent(
    mut error: hyper::client::conn::TrySendError<Request<RequestBody>>,
    reused: bool,
    spare: &mut Option<Request<RequestBody>>,
    progress: &Progress,
) -> Result<Request<RequestBody>, ProxyError> {
    let unsent = error.take_message();
    let error = error.into_error();
    let repeatable = if error.is_parse() { None } else { spare.take() };
    match unsent.or(repeatable) {
        Some(request) if reused => Ok(request),
        _ => Err(failure(error, progress)),
    }
}

/// What the application said, unless the request's body or the application stood still for too long.
pub(super) async fn answered(
    response: impl Future<Output = Sent>,
    patience: &mut Patience,
    progress: &Progress,
    config: &UpstreamConfig,
) -> Result<Sent, ProxyError> {
    let mut response = pin!(response);
    poll_fn(|cx| {
        if let Poll::Ready(response) = response.as_mut().poll(cx) {
            return Poll::Ready(Ok(response));
        }
        loop {
            let (limit, late): (Duration, _) = match progress.state() {
                Sending::FromClient => (config.idle_timeout.0, ProxyError::ClientTimeout),
                Sending::ToUpstream | Sending::Done | Sending::TooLarge | Sending::Broken => {
                    (config.first_byte_timeout.0, ProxyError::FirstByteTimeout)
                }
            };
            let (end, now) = (progress.moved() + limit, Instant::now());
            if end <= now {
                return Poll::Ready(Err(late));
            }
            // Meanwhile it may become the other side's turn, with the other limit.
            let look = end.min(now + config.idle_timeout.0.min(config.first_byte_timeout.0));
            if patience.poll(look, cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// What a failed exchange comes to, which may be the doing of the request's own body.
pub(super) fn failure(error: hyper::Error, progress: &Progress) -> ProxyError {
    match progress.state() {
        Sending::TooLarge => ProxyError::BodyTooLarge,
        Sending::Broken => ProxyError::BodyBroken,
        Sending::ToUpstream | Sending::FromClient | Sending::Done if error.is_parse() => ProxyError::Invalid(error),
        Sending::ToUpstream | Sending::FromClient | Sending::Done => ProxyError::Broken(error),
    }
}

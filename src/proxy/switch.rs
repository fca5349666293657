//! A request that offers to switch protocols (RFC 9110 §7.8), over a connection of its own that becomes a tunnel if the application agrees.

use std::future::poll_fn;
use std::pin::pin;

use http::{Response, StatusCode, Version};
use tokio::sync::OwnedSemaphorePermit;

use super::error::ProxyError;
use super::exchange::{answered, failure};
use super::hygiene;
use super::outgoing::Outgoing;
use super::patience::Patience;
use super::pool::{Carrier, Lease, Link, handshake};
use super::tunnel::Tunnel;
use super::websocket::Handshake;
use super::{Forwarded, Proxy, via};

impl Proxy {
    /// Sends the request and waits for the head of its response, whichever way the application decides.
    pub(super) async fn switch(
        &self,
        mut outgoing: Outgoing,
        slot: OwnedSemaphorePermit,
    ) -> Result<Forwarded, ProxyError> {
        let (progress, question) = (outgoing.body.progress(), outgoing.handshake.take());
        let (socket, permit) = self.pool.apart().await?;
        let (mut sender, mut connection) = handshake(socket).await?;
        let mut over = false;
        let sent = {
            let mut patience = Patience::default();
            let response = sender.try_send_request(outgoing.into_http1());
            let mut response = pin!(answered(response, &mut patience, &progress, &self.config));
            poll_fn(|cx| {
                // The connection is driven here: once it has ended, the response knows why.
                over = over || connection.poll_without_shutdown(cx).is_ready();
                response.as_mut().poll(cx)
            })
            .await?
        };
        let response = sent.map_err(|error| failure(error.into_error(), &progress))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // Over HTTP/2 the browser would take it for a WebSocket.
            if question.is_some() && response.status().is_success() {
                return Err(ProxyError::NoWebSocket);
            }
            let link = Link::driven(sender, connection, permit);
            let lease = Lease::new(&self.pool, Carrier::Own(link), progress, slot);
            return self.pass(response, lease).map(Forwarded::Response);
        }
        let parts = if over {
            connection.into_parts()
        } else {
            connection.without_shutdown().await.map_err(ProxyError::Broken)?
        };
        let (mut head, _no_body) = response.into_parts();
        hygiene::clean_response(head.status, &mut head.headers);
        via::add_to_response(&mut head.headers, head.version);
        if let Some(question) = question {
            if !question.is_answered(&head.headers) {
                return Err(ProxyError::NoWebSocket);
            }
            Handshake::strip(&mut head.headers);
            (head.status, head.version) = (StatusCode::OK, Version::default());
        }
        let tunnel = Tunnel {
            upstream: parts.io.into_inner(),
            first: parts.read_buf,
            idle: self.config.tunnel_idle_timeout.0,
            _permits: [permit, slot],
        };
        Ok(Forwarded::Switched(Response::from_parts(head, ()), tunnel))
    }
}

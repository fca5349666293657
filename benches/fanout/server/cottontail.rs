//! Cottontail as a server under test: the program's own wiring over its in-process exchange.

use std::net::SocketAddr;

use crate::failure::Failure;
use crate::payload::Topic;
use crate::server::publisher::Exchange;

/// A running Cottontail and the writing end of its in-process exchange.
pub struct Cottontail {
    address: SocketAddr,
}

/// Starts it on a free port of loopback, with `threads` workers, and returns when it accepts connections.
///
/// It must verify the tokens of [`crate::target::SECRET`] and map `channel.<name>` and `user.<id>.<event>` as
/// [`crate::target`] says.
pub fn start(threads: usize) -> Result<Cottontail, Failure> {
    Err(Failure::Server(format!("cottontail on {threads} threads is not wired yet")))
}

impl Cottontail {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Exchange for Cottontail {
    fn publish(&mut self, to: Topic, _body: String) -> Result<(), Failure> {
        Err(Failure::Server(format!("no exchange for {}", crate::target::routing_key(to))))
    }
}

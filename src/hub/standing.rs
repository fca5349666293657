//! On what ground a stream is there: what is kept of its request so that it can be judged again; the hub itself judges nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::auth::Identity;
use crate::event::ChannelName;
use crate::provider::session::Session;

/// What an order looks at, besides what the stream gets. Shared, since it changes only as a whole.
#[derive(Clone, Debug)]
pub struct Standing {
    pub identity: Identity,
    /// By which the application is asked again; none if it was not asked.
    pub session: Option<Arc<Session>>,
    /// The channels that the request asked for; none if it did not say.
    pub asked: Option<Box<[ChannelName]>>,
    /// Channels that come without being asked for, as far as they are granted.
    pub defaults: Arc<[ChannelName]>,
    /// Whom the stream goes to, as far as that is known.
    pub address: Option<IpAddr>,
    pub opened: Instant,
}

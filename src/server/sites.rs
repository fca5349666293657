//! The site in force, which may be replaced between two requests; what a site answers is not known here.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use super::site::Site;
use crate::auth::{AuthError, Identity};

/// A handle to the site in force. Whoever has a clone sees the same one.
#[derive(Clone, Debug)]
pub struct Sites(Arc<ArcSwap<Site>>);

impl Sites {
    #[must_use]
    pub fn new(site: Site) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(site)))
    }

    #[must_use]
    pub fn current(&self) -> Arc<Site> {
        self.0.load_full()
    }

    /// Has every request from now on answered by `site`.
    pub fn replace(&self, site: Site) {
        self.0.store(Arc::new(site));
    }

    /// Who `identity` is by the site in force at this moment, unless it was revoked.
    pub(super) fn reconsider(&self, identity: &Identity) -> Result<Identity, AuthError> {
        self.current().authenticator().reconsider(identity, SystemTime::now())
    }

    /// An identity that `site` has just made, for a stream that is opened before anything else happens on this thread.
    ///
    /// While somebody was asked about it another site may have come into force, whose order to open streams it will not meet.
    pub(super) fn confirm(&self, site: &Site, identity: Identity) -> Result<Identity, AuthError> {
        let is_newest = Arc::ptr_eq(&self.current().authenticator(), &site.authenticator());
        if is_newest { Ok(identity) } else { self.reconsider(&identity) }
    }
}

//! The site in force, which may be replaced between two requests; what a site answers is not known here.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::site::Site;

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
}

//! Who a request is, once that is proven: the user, the grants and the end; how it was proven is not kept.

use std::time::SystemTime;

use super::grants::Grants;
use crate::event::UserId;

/// A verified identity. Only this room makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(super) user: Option<UserId>,
    pub(super) grants: Grants,
    pub(super) expires: Option<SystemTime>,
}

impl Identity {
    /// `None` for an anonymous subscriber and for a token that only grants channels.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// When a stream of this identity ends; `None` for never.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}

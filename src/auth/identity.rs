//! Who a request is, once that is proven: the user, the grants and the end; how it was proven is not kept.

use std::time::SystemTime;

use super::grants::Grants;
use super::proof::Proof;
use super::revocation::RevocationId;
use crate::event::UserId;

/// A verified identity. Only this room makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(super) user: Option<UserId>,
    pub(super) grants: Grants,
    pub(super) expires: Option<SystemTime>,
    pub(super) proof: Proof,
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

    /// By what the token behind it can be revoked: its `jti` and its `sid`, as far as it has them.
    pub fn revocation_ids(&self) -> impl Iterator<Item = RevocationId> {
        self.proof.ids()
    }
}

//! What is kept of a verified token: whose it is, what it can be revoked by, and its claims; never the token itself.

use super::object::Object;
use super::revocation::{Revocable, RevocationId, Revocations};

/// The trace of a token that verified once. Its claims alone prove nothing to anybody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    token: Option<RevocationId>,
    session: Option<RevocationId>,
}

impl Proof {
    pub(super) fn new(claims: &Object, revocations: &Revocations) -> Self {
        let id = |what, name| claims.get(name).and_then(|id| id.as_str()).map(|id| revocations.id(what, id));
        Self { token: id(Revocable::Token, "jti"), session: id(Revocable::Session, "sid") }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = RevocationId> {
        self.token.into_iter().chain(self.session)
    }
}

//! On what an identity rests, kept so that it can be revoked, or judged again when the configuration changes; never the token or key itself.

use std::sync::Arc;

use super::object::Object;
use super::revocation::{Revocable, RevocationId, Revocations};

/// What an identity rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// On nothing: it came without credentials.
    Nothing,
    Token(Arc<TokenProof>),
    /// On the key with this SHA-256.
    ApiKey(Arc<[u8; 32]>),
    /// On the application's word about a session.
    Session(Arc<SessionWord>),
}

/// What the application has said of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionWord {
    pub(super) user: Option<String>,
    pub(super) channels: Vec<String>,
}

/// The trace of a token that verified once. Its claims prove nothing to anybody else.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TokenProof {
    /// The fingerprint of the issuer whose key verified it.
    pub(super) issuer: u64,
    /// The claims as JSON.
    pub(super) claims: Box<[u8]>,
    token: Option<RevocationId>,
    session: Option<RevocationId>,
}

impl std::fmt::Debug for TokenProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenProof").finish_non_exhaustive()
    }
}

impl TokenProof {
    /// `json` is what `claims` were read from.
    pub(super) fn new(issuer: u64, json: Vec<u8>, claims: &Object, revocations: &Revocations) -> Self {
        let id = |what, name| claims.get(name).and_then(|id| id.as_str()).map(|id| revocations.id(what, id));
        let (token, session) = (id(Revocable::Token, "jti"), id(Revocable::Session, "sid"));
        Self { issuer, claims: json.into(), token, session }
    }
}

impl Proof {
    /// By what the token can be revoked.
    pub(super) fn ids(&self) -> impl Iterator<Item = RevocationId> {
        let token = if let Self::Token(token) = self { Some(token) } else { None };
        token.into_iter().flat_map(|token| token.token.into_iter().chain(token.session))
    }
}

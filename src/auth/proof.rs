//! On what an identity rests, kept so that it can be revoked, or judged again when the configuration changes; never the token or key itself.

use std::sync::Arc;

use super::object::Object;
use super::revocation::{Revocable, RevocationId, Revocations};
use super::template::text_or_integer;

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
        // Text by RFC 7519 §4.1.7, and written as a number all the same: such a token must not be beyond revocation.
        let id = |what, name| claims.get(name).and_then(text_or_integer).map(|id| revocations.id(what, &id));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_revoked_by_an_id_of_digits_however_that_is_written() {
        let revocations = Revocations::new(9);
        for (json, id) in [
            (r#"{"jti":"7"}"#, revocations.id(Revocable::Token, "7")),
            (r#"{"jti":7}"#, revocations.id(Revocable::Token, "7")),
            (r#"{"sid":18446744073709551615}"#, revocations.id(Revocable::Session, "18446744073709551615")),
        ] {
            let claims = Object::parse(json.as_bytes()).expect("an object");
            let proof = Proof::Token(Arc::new(TokenProof::new(0, Vec::new(), &claims, &revocations)));
            assert_eq!(proof.ids().collect::<Vec<_>>(), [id], "{json}");
        }
    }
}

//! Who a request is and what it may hear: where a token sits, the keys, verification, identity and grants; knows no stream and no socket.
//!
//! A request's token takes one way: [`credentials`] finds it, `token` takes it apart, `issuer` picks keys that `keys` checks
//! the signature with, `claims` checks what it says, and an [`Identity`] with its [`Grants`] comes out. A key of a machine takes
//! a shorter one: `api_key` knows its hash.
//!
//! The signature check is aws-lc's. The JSON around it is read here, since every time is judged against the `now` that is
//! passed in, and duplicate names, foreign keys and extensions are to be refused and not skipped.

mod api_key;
mod authenticator;
mod claims;
mod config;
mod credentials;
mod error;
mod grants;
mod identity;
mod issuer;
mod jwk;
mod keys;
mod object;
mod pem;
mod proof;
mod revocation;
mod source;
mod template;
#[cfg(test)]
mod tests;
mod token;

pub use api_key::api_key_hash;
pub use authenticator::Authenticator;
pub use claims::MAX_USER_BYTES;
pub use config::{ApiKeyConfig, AuthConfig, ForwardConfig, IssuerConfig};
pub use credentials::{Credentials, Source, credentials};
pub use error::{AuthError, Challenge};
pub use grants::{Grant, Grants, MAX_GRANT_BYTES, MAX_GRANTS};
pub use identity::Identity;
pub use keys::Unusable;
pub use revocation::{Revocable, RevocationId, Revocations};
pub use source::read_key_file;

//! What can go wrong when another is asked; what becomes of the request that needed the answer is decided elsewhere.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;

use crate::auth::Unusable;

/// Why there is no answer. `Display` is a clause for a log line: it holds no address, no header and no byte of a body.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The name does not resolve, nothing listens there, or its certificate is not trusted.
    #[error("cannot connect: {}", innermost(.0))]
    Connect(#[source] hyper_util::client::legacy::Error),
    /// The connection ended early, or what came is not HTTP.
    #[error("the exchange broke off: {}", innermost(.0))]
    Exchange(#[source] hyper_util::client::legacy::Error),
    #[error("the answer's body broke off: {}", innermost(.0))]
    Body(#[source] hyper::Error),
    #[error("no whole answer within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// Following it would mean asking an address that nobody has configured.
    #[error("the answer is a redirect ({0}), which is not followed")]
    Redirect(StatusCode),
}

/// Why an issuer's keys are not newer than before. `Display` is a clause for a log line that names no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefreshError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the answer's status is {0}")]
    Status(StatusCode),
    #[error("the discovery document is not JSON with `issuer` and `jwks_uri`")]
    NotDiscovery,
    #[error("the discovery document is of another issuer than auth.issuer says")]
    OtherIssuer,
    #[error("the discovery document's `jwks_uri` {0}")]
    KeysAddress(&'static str),
    #[error("what holds the keys {0}")]
    Keys(#[from] Unusable),
}

impl RefreshError {
    /// A stable word for a metric's label.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Fetch(FetchError::Connect(_)) => "unreachable",
            Self::Fetch(FetchError::Exchange(_) | FetchError::Body(_)) => "broken_off",
            Self::Fetch(FetchError::Timeout(_)) => "timeout",
            Self::Fetch(FetchError::TooLarge(_)) => "too_large",
            Self::Fetch(FetchError::Redirect(_)) => "redirect",
            Self::Status(_) => "status",
            Self::NotDiscovery | Self::OtherIssuer | Self::KeysAddress(_) => "discovery_invalid",
            Self::Keys(_) => "keys_invalid",
        }
    }
}

/// The cause at the bottom: the layers above it only say that they failed.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

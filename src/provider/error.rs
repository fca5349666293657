//! What can go wrong when another is asked; what becomes of the request that needed the answer is decided elsewhere.

use std::error::Error;
use std::time::Duration;

use http::StatusCode;

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

/// The cause at the bottom: the layers above it only say that they failed.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

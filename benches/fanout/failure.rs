//! Everything that can end a run without a figure.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the server process: {0}")]
    Server(String),
    #[error("the control protocol: {0}")]
    Protocol(String),
    #[error("opening the streams: {0}")]
    Opening(String),
    #[error("a token could not be signed")]
    Signing,
    #[error("self-check: {0}")]
    SelfCheck(String),
}

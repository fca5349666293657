//! What others are asked about identities, over HTTP and at a time; what an identity is, and what a browser is answered, is not decided here.

mod client;
mod error;

pub use client::{Client, Limits, url};
pub use error::FetchError;

//! What others are asked about identities, over HTTP and at a time; what an identity is, and what a browser is answered, is not decided here.

mod address;
mod client;
mod error;
mod files;
mod keys;
mod refresh;
pub mod session;

pub use client::{Client, Limits, url};
pub use error::FetchError;
pub use keys::{KeySources, Keys};

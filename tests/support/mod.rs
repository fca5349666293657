//! What the test binaries share: processes to test against, clients that judge them, and deadlines; no test of the product.

pub mod application;
pub mod browser;
pub mod chunked;
pub mod deadline;
pub mod eventsource_decoder;
pub mod http1;
pub mod metrics;
pub mod output;
pub mod process;
pub mod rabbitmq;
pub mod secrecy;
pub mod sse;
pub mod tls;
pub mod tokens;
pub mod website;

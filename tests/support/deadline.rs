//! Waiting with a deadline and never without one; nothing here waits for a fixed time.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that should happen at once, on a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The future's value, or a failed test that says what did not happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// Asks again and again until there is an answer, or fails the test.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(POLL_INTERVAL).await;
    }
}

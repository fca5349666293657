//! A time limit for one wait after another, with one timer for all of them.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is kept: to put it off costs next to nothing, while a new one has to be entered among all others and taken
/// out again, which at two a request is a part of what a request costs.
#[derive(Debug, Default)]
pub(super) struct Patience(Option<Pin<Box<Sleep>>>);

impl Patience {
    /// Ready at `end`; until then the task is woken then, and perhaps once before.
    pub(super) fn poll(&mut self, end: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_own_end_whatever_was_waited_for_before() {
        let mut patience = Patience::default();
        for seconds in [5, 60, 1, 30] {
            let end = Instant::now() + Duration::from_secs(seconds);
            poll_fn(|cx| patience.poll(end, cx)).await;
            let late = Instant::now() - end;
            assert!(late < Duration::from_millis(5), "{late:?}");
            // Put off before it has come to its end.
            let end = Instant::now() + Duration::from_secs(seconds);
            assert!(poll_fn(|cx| Poll::Ready(patience.poll(end, cx))).await.is_pending());
        }
    }
}

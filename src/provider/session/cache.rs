//! What is known of sessions for a short time, each asked about once however many ask at the same moment; asks nobody itself.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use tokio::sync::OnceCell;

use super::Key;
use crate::auth::{AuthError, Identity};

type Verdict = Result<Identity, AuthError>;

/// A verdict and until when it holds.
type Entry = Arc<OnceCell<(Verdict, Instant)>>;

/// A bounded map from sessions to verdicts.
#[derive(Debug)]
pub(super) struct Cache {
    entries: Mutex<IndexMap<Key, Entry>>,
    capacity: usize,
    keep: Duration,
}

impl Cache {
    pub(super) fn new(capacity: usize, keep: Duration) -> Self {
        Self { entries: Mutex::default(), capacity, keep }
    }

    /// The verdict on a session: the one that is known, that of whoever is asking already, or that of `ask`. A refusal holds
    /// for those who are waiting for it and for nobody later, so that a login counts at once. Cancel-safe: when whoever asks
    /// is dropped, the next who waits asks.
    pub(super) async fn get(&self, key: Key, ask: impl Future<Output = Verdict>) -> Verdict {
        let entry = self.entry(key, Instant::now());
        let settle = async {
            let verdict = ask.await;
            let now = Instant::now();
            let until = if verdict.is_ok() { now + self.keep } else { now };
            (verdict, until)
        };
        entry.get_or_init(|| settle).await.0.clone()
    }

    fn entry(&self, key: Key, now: Instant) -> Entry {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(&key) {
            if entry.get().is_some_and(|(_, until)| *until <= now) {
                *entry = Entry::default();
            }
            return Arc::clone(entry);
        }
        if entries.len() >= self.capacity {
            // Any will do: whoever it was is asked about again. One that is waited for is kept by those who wait.
            let any = fastrand::usize(..entries.len());
            entries.swap_remove_index(any);
        }
        Arc::clone(entries.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{AuthConfig, Authenticator};
    use std::cell::Cell;
    use tokio::sync::Notify;
    use tokio_test::task;

    const HOUR: Duration = Duration::from_secs(3600);

    fn identity() -> Verdict {
        Authenticator::load(&AuthConfig::default()).unwrap().of_session(Some("ada".into()), Vec::new())
    }

    /// How often an asker was started, and askers that wait for `go` or answer at once.
    struct Asked<'a>(&'a Cell<u32>);

    impl Asked<'_> {
        fn at_once(&self, verdict: Verdict) -> impl Future<Output = Verdict> {
            futures_util::future::lazy(move |_cx| {
                self.0.set(self.0.get() + 1);
                verdict
            })
        }

        async fn after(&self, go: &Notify, verdict: Verdict) -> Verdict {
            self.0.set(self.0.get() + 1);
            go.notified().await;
            verdict
        }
    }

    #[tokio::test]
    async fn those_who_come_together_share_one_question_and_those_after_it_its_answer() {
        let (cache, count, go) = (Cache::new(10, HOUR), Cell::new(0), Notify::new());
        let asked = Asked(&count);
        let ask = || cache.get([1; 32], asked.after(&go, identity()));
        let (a, b, c, ()) = tokio::join!(ask(), ask(), ask(), async { go.notify_one() });
        assert!(a.is_ok() && a == b && b == c);
        assert_eq!(cache.get([1; 32], asked.at_once(Err(AuthError::SessionRefused))).await, a);
        assert_eq!(count.get(), 1);
        assert!(cache.get([2; 32], asked.at_once(Err(AuthError::SessionRefused))).await.is_err(), "another session");
        assert_eq!(count.get(), 2);
    }

    #[tokio::test]
    async fn a_refusal_is_shared_by_those_who_wait_for_it_and_forgotten_then() {
        let (cache, count, go) = (Cache::new(10, HOUR), Cell::new(0), Notify::new());
        let asked = Asked(&count);
        let ask = || cache.get([1; 32], asked.after(&go, Err(AuthError::SessionRefused)));
        let (a, b, ()) = tokio::join!(ask(), ask(), async { go.notify_one() });
        assert_eq!((a, b, count.get()), (Err(AuthError::SessionRefused), Err(AuthError::SessionRefused), 1));
        assert!(cache.get([1; 32], asked.at_once(identity())).await.is_ok(), "a login counts at once");
    }

    #[tokio::test]
    async fn what_is_kept_for_no_time_is_asked_about_each_time() {
        let (cache, count) = (Cache::new(10, Duration::ZERO), Cell::new(0));
        for expected in 1..4 {
            assert!(cache.get([1; 32], Asked(&count).at_once(identity())).await.is_ok());
            assert_eq!(count.get(), expected);
        }
    }

    #[tokio::test]
    async fn when_the_one_who_asks_leaves_the_next_one_asks() {
        let (cache, count, go) = (Cache::new(10, HOUR), Cell::new(0), Notify::new());
        let asked = Asked(&count);
        let mut first = task::spawn(cache.get([1; 32], asked.after(&go, identity())));
        assert!(first.poll().is_pending());
        let mut second = task::spawn(cache.get([1; 32], asked.at_once(identity())));
        assert!(second.poll().is_pending());
        drop(first);
        assert!(second.await.is_ok());
        assert_eq!(count.get(), 2);
    }

    #[tokio::test]
    async fn it_never_holds_more_than_it_may() {
        let (cache, count) = (Cache::new(3, HOUR), Cell::new(0));
        for key in 0..100 {
            assert!(cache.get([key; 32], Asked(&count).at_once(identity())).await.is_ok());
            assert!(cache.entries.lock().unwrap().len() <= 3);
        }
    }
}

//! What is known of sessions for a short time, each asked about once however many ask at the same moment; asks nobody itself.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use tokio::sync::OnceCell;

use super::Key;
use crate::auth::{AuthError, Identity};

type Verdict = Result<Identity, AuthError>;

/// What was said of a session.
#[derive(Debug)]
struct Word {
    verdict: Verdict,
    /// When it was asked for.
    asked: Instant,
    /// Until when it holds.
    until: Instant,
}

type Entry = Arc<OnceCell<Word>>;

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

    /// The verdict on a session, with the time at which it was asked for: the one that is known, that of whoever is asking
    /// already, or that of `ask`. A refusal holds for those who are waiting for it and for nobody later, so that a login
    /// counts at once. Cancel-safe: when whoever asks is dropped, the next who waits asks.
    pub(super) async fn get(&self, key: Key, ask: impl Future<Output = Verdict>) -> (Verdict, Instant) {
        let entry = self.entry(key, Instant::now());
        let settle = async {
            let asked = Instant::now();
            let verdict = ask.await;
            let now = Instant::now();
            let until = if verdict.is_ok() { now + self.keep } else { now };
            Word { verdict, asked, until }
        };
        let word = entry.get_or_init(|| settle).await;
        if word.verdict.is_err() {
            // Those who wait have it; strangers are not to fill the map.
            self.forget(key, word.asked);
        }
        (word.verdict.clone(), word.asked)
    }

    /// Has the session asked about anew by the next who comes, unless that was done since `asked`.
    pub(super) fn forget(&self, key: Key, asked: Instant) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.get(&key).and_then(|entry| entry.get()).is_some_and(|word| word.asked <= asked) {
            entries.swap_remove(&key);
        }
    }

    fn entry(&self, key: Key, now: Instant) -> Entry {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(&key) {
            if entry.get().is_some_and(|word| word.until <= now) {
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

    /// What the cache says of a session, whenever that was asked.
    async fn get(cache: &Cache, key: u8, ask: impl Future<Output = Verdict>) -> Verdict {
        cache.get([key; 32], ask).await.0
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
        let ask = || get(&cache, 1, asked.after(&go, identity()));
        let (a, b, c, ()) = tokio::join!(ask(), ask(), ask(), async { go.notify_one() });
        assert!(a.is_ok() && a == b && b == c);
        assert_eq!(get(&cache, 1, asked.at_once(Err(AuthError::SessionRefused))).await, a);
        assert_eq!(count.get(), 1);
        assert!(get(&cache, 2, asked.at_once(Err(AuthError::SessionRefused))).await.is_err(), "another session");
        assert_eq!(count.get(), 2);
    }

    #[tokio::test]
    async fn a_refusal_is_shared_by_those_who_wait_for_it_and_forgotten_then() {
        let (cache, count, go) = (Cache::new(10, HOUR), Cell::new(0), Notify::new());
        let asked = Asked(&count);
        let ask = || get(&cache, 1, asked.after(&go, Err(AuthError::SessionRefused)));
        let (a, b, ()) = tokio::join!(ask(), ask(), async { go.notify_one() });
        assert_eq!((a, b, count.get()), (Err(AuthError::SessionRefused), Err(AuthError::SessionRefused), 1));
        assert!(get(&cache, 1, asked.at_once(identity())).await.is_ok(), "a login counts at once");
    }

    #[tokio::test]
    async fn what_is_kept_for_no_time_is_asked_about_each_time() {
        let (cache, count) = (Cache::new(10, Duration::ZERO), Cell::new(0));
        for expected in 1..4 {
            assert!(get(&cache, 1, Asked(&count).at_once(identity())).await.is_ok());
            assert_eq!(count.get(), expected);
        }
    }

    #[tokio::test]
    async fn when_the_one_who_asks_leaves_the_next_one_asks() {
        let (cache, count, go) = (Cache::new(10, HOUR), Cell::new(0), Notify::new());
        let asked = Asked(&count);
        let mut first = task::spawn(get(&cache, 1, asked.after(&go, identity())));
        assert!(first.poll().is_pending());
        let mut second = task::spawn(get(&cache, 1, asked.at_once(identity())));
        assert!(second.poll().is_pending());
        drop(first);
        assert!(second.await.is_ok());
        assert_eq!(count.get(), 2);
    }

    #[tokio::test]
    async fn what_is_forgotten_is_asked_about_anew_once() {
        let (cache, count) = (Cache::new(10, HOUR), Cell::new(0));
        let asked = Asked(&count);
        let (_, first) = cache.get([1; 32], asked.at_once(identity())).await;
        cache.forget([2; 32], first);
        cache.forget([1; 32], first);
        let (_, second) = cache.get([1; 32], asked.at_once(identity())).await;
        assert!(second > first && count.get() == 2);
        cache.forget([1; 32], first);
        assert!(get(&cache, 1, asked.at_once(identity())).await.is_ok());
        assert_eq!(count.get(), 2, "whoever is late forgets nothing that is newer");
    }

    #[tokio::test]
    async fn who_is_refused_takes_no_place_from_who_is_known() {
        let (cache, count) = (Cache::new(2, HOUR), Cell::new(0));
        let asked = Asked(&count);
        assert!(get(&cache, 0, asked.at_once(identity())).await.is_ok());
        for stranger in 1..100 {
            let refusal = asked.at_once(Err(AuthError::SessionRefused));
            assert!(get(&cache, stranger, refusal).await.is_err());
        }
        assert!(get(&cache, 0, asked.at_once(identity())).await.is_ok());
        assert_eq!(count.get(), 100);
    }

    #[tokio::test]
    async fn it_never_holds_more_than_it_may() {
        let (cache, count) = (Cache::new(3, HOUR), Cell::new(0));
        for key in 0..100 {
            assert!(get(&cache, key, Asked(&count).at_once(identity())).await.is_ok());
            assert!(cache.entries.lock().unwrap().len() <= 3);
        }
    }
}

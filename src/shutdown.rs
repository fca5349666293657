//! The end of the process: the signals that ask for it, and `Drain`, which spreads the word and waits for those who still work.

use std::time::Instant;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// How far the end has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Since when streams are being ended.
    begun: Option<Instant>,
    /// Whether everything else is to end as well.
    closing: bool,
}

/// Tells its watchers to finish and waits until the last of them is gone.
#[derive(Debug)]
pub struct Drain {
    progress: watch::Sender<Progress>,
    /// Never carries a message; it closes when the last watcher is dropped.
    alive: (mpsc::Sender<()>, mpsc::Receiver<()>),
}

/// Begins a drain and sees it; unlike a watch it keeps nobody waiting.
#[derive(Clone, Debug)]
pub struct DrainHandle(watch::Sender<Progress>);

/// Held by whatever must finish before the process may end. Dropping it says "finished".
#[derive(Clone, Debug)]
pub struct DrainWatch {
    progress: watch::Receiver<Progress>,
    _alive: mpsc::Sender<()>,
}

impl Drain {
    #[must_use]
    pub fn new() -> Self {
        Self { progress: watch::Sender::new(Progress::default()), alive: mpsc::channel(1) }
    }

    #[must_use]
    pub fn watch(&self) -> DrainWatch {
        DrainWatch { progress: self.progress.subscribe(), _alive: self.alive.0.clone() }
    }

    #[must_use]
    pub fn handle(&self) -> DrainHandle {
        DrainHandle(self.progress.clone())
    }

    /// Begins the drain unless it has begun, has everything close, and resolves when every watcher is dropped.
    pub async fn close(self) {
        self.handle().begin();
        self.progress.send_modify(|progress| progress.closing = true);
        let (sender, mut receiver) = self.alive;
        drop(sender);
        // No message is ever sent: `None` is the last watcher's drop.
        let _closed = receiver.recv().await;
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl DrainHandle {
    /// Has streams ended, while all else goes on. Only the first call has an effect, and only it returns true.
    pub fn begin(&self) -> bool {
        self.0.send_if_modified(|progress| {
            let first = progress.begun.is_none();
            progress.begun.get_or_insert_with(Instant::now);
            first
        })
    }

    /// Since when streams are being ended, if they are.
    #[must_use]
    pub fn begun(&self) -> Option<Instant> {
        self.0.borrow().begun
    }
}

impl DrainWatch {
    /// Resolves when streams are to end, at once if they are already. Cancel-safe.
    pub async fn begun(&mut self) {
        // An error means that the `Drain` was dropped, which ends the process as well.
        let _begun = self.progress.wait_for(|progress| progress.begun.is_some()).await;
    }

    /// Resolves when everything is to end. Cancel-safe.
    pub async fn closing(&mut self) {
        // As above.
        let _closing = self.progress.wait_for(|progress| progress.closing).await;
    }
}

/// The signals that ask the process to end.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// # Errors
    /// When the process may not listen to signals.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next signal. Cancel-safe.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_ends_with_its_last_watcher() {
        let drain = Drain::new();
        let (mut first, second) = (drain.watch(), drain.watch());
        let handle = drain.handle();
        assert!(handle.begun().is_none());
        let ended = tokio::spawn(drain.close());
        first.closing().await;
        assert!(handle.begun().is_some());
        drop(first);
        assert!(!ended.is_finished());
        drop(second);
        ended.await.expect("the drain ends");
    }

    #[tokio::test]
    async fn streams_may_be_drained_long_before_the_rest_is_closed_and_only_once() {
        let drain = Drain::new();
        let (mut watch, handle) = (drain.watch(), drain.handle());
        assert!(handle.begin());
        let begun = handle.begun();
        watch.begun().await;
        assert!(!handle.begin());
        let ended = tokio::spawn(drain.close());
        watch.closing().await;
        assert_eq!(handle.begun(), begun);
        drop(watch);
        ended.await.expect("the drain ends");
    }
}

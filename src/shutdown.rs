//! The end of the process: the signal that asks for it, and `Drain`, which spreads the word and waits for those who still work.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// Tells its watchers to finish and waits until the last of them is gone.
#[derive(Debug)]
pub struct Drain {
    started: watch::Sender<bool>,
    /// Never carries a message; it closes when the last watcher is dropped.
    alive: (mpsc::Sender<()>, mpsc::Receiver<()>),
}

/// Held by whatever must finish before the process may end. Dropping it says "finished".
#[derive(Clone, Debug)]
pub struct DrainWatch {
    started: watch::Receiver<bool>,
    _alive: mpsc::Sender<()>,
}

impl Drain {
    #[must_use]
    pub fn new() -> Self {
        Self { started: watch::Sender::new(false), alive: mpsc::channel(1) }
    }

    #[must_use]
    pub fn watch(&self) -> DrainWatch {
        DrainWatch { started: self.started.subscribe(), _alive: self.alive.0.clone() }
    }

    /// Starts the drain and resolves when every watcher is dropped.
    pub async fn drain(self) {
        self.started.send_replace(true);
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

impl DrainWatch {
    #[must_use]
    pub fn has_started(&self) -> bool {
        *self.started.borrow()
    }

    /// Resolves when the drain has started, at once if it has already. Cancel-safe.
    pub async fn started(&mut self) {
        // An error means that the `Drain` was dropped, which ends the process as well.
        let _started = self.started.wait_for(|started| *started).await;
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
        assert!(!first.has_started());
        let ended = tokio::spawn(drain.drain());
        first.started().await;
        assert!(second.has_started());
        drop(first);
        assert!(!ended.is_finished());
        drop(second);
        ended.await.expect("the drain ends");
    }
}

//! A long-lived task that is told to stop and then ends by itself.

use std::pin::Pin;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Resolves when the task is to end, or nobody is left who could say so.
pub(super) type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Debug)]
pub(super) struct Stoppable {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Stoppable {
    /// Must be called within a tokio runtime.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(task: impl FnOnce(Stop) -> F) -> Self {
        let (stop, stopped) = oneshot::channel();
        let told = async {
            // An error means that the other end is gone, which is as good a reason to stop.
            let _stopped = stopped.await;
        };
        Self { stop, task: tokio::spawn(task(Box::pin(told))) }
    }

    /// Resolves when the task has ended.
    pub(super) async fn end(self) {
        // An error means that it has ended by itself.
        let _told = self.stop.send(());
        let _ended = self.task.await;
    }
}

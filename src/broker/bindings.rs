//! Binding keys that may change while messages come: who sets them, and who has them bound; the binding itself is the topology's.

use std::sync::Arc;
use std::time::Duration;

use lapin::types::ShortString;
use tokio::sync::watch;
use tokio::time::timeout;

use super::status::LinkStatus;

/// How long a change waits for the broker's answer; afterwards the keys are bound when the link comes back.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct Keys {
    generation: u64,
    keys: Arc<[ShortString]>,
}

/// The reading end, of the link.
#[derive(Debug)]
pub(super) struct BindingKeys {
    keys: watch::Receiver<Keys>,
    /// The newest generation that the queue is bound with.
    bound: watch::Sender<u64>,
}

impl BindingKeys {
    /// Keys, and the way to change them.
    pub(super) fn new(keys: Vec<ShortString>, status: LinkStatus) -> (Self, Bindings) {
        let (wanted, keys) = watch::channel(Keys { generation: 1, keys: keys.into() });
        let (bound, known) = watch::channel(0);
        (Self { keys, bound }, Bindings { wanted, bound: known, status })
    }

    /// The keys as they are now; `mark_bound` takes the number.
    pub(super) fn wanted(&self) -> (u64, Arc<[ShortString]>) {
        let keys = self.keys.borrow();
        (keys.generation, Arc::clone(&keys.keys))
    }

    pub(super) fn mark_bound(&self, generation: u64) {
        self.bound.send_replace(generation);
    }

    /// Resolves when there are other keys than those that are bound. Cancel-safe.
    pub(super) async fn changed(&self) {
        let bound = *self.bound.borrow();
        let mut keys = self.keys.clone();
        if keys.wait_for(|keys| keys.generation > bound).await.is_err() {
            // Nobody is left who could change them.
            std::future::pending::<()>().await;
        }
    }
}

/// Changes the binding keys of a running link.
#[derive(Debug)]
pub struct Bindings {
    wanted: watch::Sender<Keys>,
    bound: watch::Receiver<u64>,
    status: LinkStatus,
}

impl Bindings {
    /// Has the link's queue bound with these keys as well, and from its next session on with no others. Returns when
    /// that is done, or when it has to wait until the link is up.
    ///
    /// # Errors
    /// The first key that is longer than AMQP's 255 bytes.
    pub async fn replace(&mut self, keys: &[String]) -> Result<(), String> {
        let short = |key: &String| ShortString::try_new(key.as_str()).map_err(|_| key.clone());
        let keys: Arc<[ShortString]> = keys.iter().map(short).collect::<Result<_, _>>()?;
        if self.wanted.borrow().keys == keys {
            return Ok(());
        }
        let generation = self.wanted.borrow().generation + 1;
        self.wanted.send_replace(Keys { generation, keys });
        let mut status = self.status.clone();
        let done = async {
            tokio::select! {
                // An error means that the link has ended.
                _ = self.bound.wait_for(|bound| *bound >= generation) => {}
                _ = status.wait_for(|state| !state.connected) => {}
            }
        };
        let _in_time = timeout(LIMIT, done).await;
        Ok(())
    }
}

//! Whether messages come in, for whoever wants to know; a cheap handle without a lock.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

/// How the link to the broker is.
#[derive(Clone, Debug)]
pub struct LinkState {
    pub connected: bool,
    /// Since when it is, or is not.
    pub since: Instant,
    /// Why it is not, as one sentence.
    pub problem: Option<Arc<str>>,
}

/// A handle on the state of the link.
#[derive(Clone, Debug)]
pub struct LinkStatus(watch::Receiver<LinkState>);

impl LinkStatus {
    #[must_use]
    pub fn get(&self) -> LinkState {
        self.0.borrow().clone()
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.borrow().connected
    }

    /// Resolves with the first state, from now on, of which `wanted` is true; `None` when the link has ended before.
    pub async fn wait_for(&mut self, wanted: impl FnMut(&LinkState) -> bool) -> Option<LinkState> {
        self.0.wait_for(wanted).await.ok().map(|state| state.clone())
    }
}

/// The writing end.
#[derive(Debug)]
pub(super) struct LinkStatusWriter(watch::Sender<LinkState>);

impl LinkStatusWriter {
    pub(super) fn new(connected: bool) -> Self {
        Self(watch::Sender::new(LinkState { connected, since: Instant::now(), problem: None }))
    }

    pub(super) fn status(&self) -> LinkStatus {
        LinkStatus(self.0.subscribe())
    }

    pub(super) fn up(&self) {
        self.0.send_replace(LinkState { connected: true, since: Instant::now(), problem: None });
    }

    pub(super) fn down(&self, problem: Option<&str>) {
        self.0.send_modify(|state| {
            if state.connected {
                state.connected = false;
                state.since = Instant::now();
            }
            state.problem = problem.map(Arc::from);
        });
    }
}

//! What goes on on a connection: answers under way, so that an idle connection can be told from a working one.

use std::cell::Cell;
use std::rc::Rc;

/// Counts the answers under way on one connection, and on all connections of its worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    here: Rc<Cell<usize>>,
    worker: Rc<Cell<usize>>,
    begun: Rc<Cell<u64>>,
}

/// One answer, from its request's arrival to the end of its body.
#[derive(Debug)]
pub(crate) struct Underway(Traffic);

impl Traffic {
    /// The traffic of another connection of the same worker.
    pub(crate) fn of_connection(&self) -> Self {
        Self { worker: Rc::clone(&self.worker), ..Self::default() }
    }

    pub(crate) fn begin(&self) -> Underway {
        self.here.set(self.here.get() + 1);
        self.worker.set(self.worker.get() + 1);
        self.begun.set(self.begun.get() + 1);
        Underway(self.clone())
    }

    /// Answers under way on this connection.
    pub(crate) fn here(&self) -> usize {
        self.here.get()
    }

    /// Answers under way on all connections of the worker.
    pub(crate) fn in_worker(&self) -> usize {
        self.worker.get()
    }

    /// Answers that were ever begun on this connection.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.get()
    }
}

impl Underway {
    /// Something that the answer leaves behind, to be waited for as well.
    pub(crate) fn another(&self) -> Self {
        self.0.begin()
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.here.set(self.0.here.get() - 1);
        self.0.worker.set(self.0.worker.get() - 1);
    }
}

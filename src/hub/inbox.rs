//! What reaches one shard from outside: events of the publisher in a bounded queue, and calls of streams; one wake however much waits.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::order::Order;
use super::ring::Entry;

/// An inbox with more events or bytes than this makes the publisher wait.
const ROOM_EVENTS: usize = 1024;
const ROOM_BYTES: usize = 16 << 20;
/// Orders that wait for one shard.
const ROOM_ORDERS: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    /// Seats whose outlet can go on or is gone; at most one call a seat and direction is under way, so it stays small.
    calls: Mutex<VecDeque<usize>>,
    orders: Mutex<VecDeque<Arc<Order>>>,
    filled: Notify,
    emptied: Notify,
    /// An order was taken.
    obeyed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    pub(super) fn push(&self, entry: Arc<Entry>) {
        let mut waiting = lock(&self.waiting);
        let was_empty = waiting.entries.is_empty();
        waiting.bytes += entry.frame.size();
        waiting.entries.push_back(entry);
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Moves up to `at_most` entries to `taken`; true when more are waiting.
    pub(super) fn take(&self, at_most: usize, taken: &mut Vec<Arc<Entry>>) -> bool {
        let mut waiting = lock(&self.waiting);
        let count = at_most.min(waiting.entries.len());
        let before = taken.len();
        taken.extend(waiting.entries.drain(..count));
        waiting.bytes -= taken[before..].iter().map(|entry| entry.frame.size()).sum::<usize>();
        let more = !waiting.entries.is_empty();
        drop(waiting);
        if count > 0 {
            self.emptied.notify_one();
        }
        more
    }

    /// Asks the shard to look at seat `key`.
    pub(super) fn call(&self, key: usize) {
        let mut calls = lock(&self.calls);
        let was_empty = calls.is_empty();
        calls.push_back(key);
        drop(calls);
        if was_empty {
            self.filled.notify_one();
        }
    }

    pub(super) fn has_room_for_orders(&self) -> bool {
        lock(&self.orders).len() < ROOM_ORDERS
    }

    /// Leaves an order; those who give them look or have waited for room first.
    pub(super) fn order(&self, order: Arc<Order>) {
        lock(&self.orders).push_back(order);
        self.filled.notify_one();
    }

    pub(super) fn take_order(&self) -> Option<Arc<Order>> {
        let order = lock(&self.orders).pop_front()?;
        self.obeyed.notify_waiters();
        Some(order)
    }

    /// Resolves when there is room for another order.
    pub(super) async fn room_for_orders(&self) {
        loop {
            // Made before the look, from when on it misses nothing.
            let obeyed = self.obeyed.notified();
            if self.has_room_for_orders() {
                return;
            }
            obeyed.await;
        }
    }

    /// Has the shard take a turn.
    pub(super) fn nudge(&self) {
        self.filled.notify_one();
    }

    /// Swaps the calls so far into `calls`, which must be empty.
    pub(super) fn take_calls(&self, calls: &mut VecDeque<usize>) {
        std::mem::swap(&mut *lock(&self.calls), calls);
    }

    /// Resolves when something came in since the inbox was last empty. One waiter.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Resolves when there is room for another entry. One waiter.
    pub(super) async fn room(&self) {
        loop {
            {
                let waiting = lock(&self.waiting);
                if waiting.entries.len() < ROOM_EVENTS && waiting.bytes < ROOM_BYTES {
                    return;
                }
            }
            self.emptied.notified().await;
        }
    }
}

//! What a change of history does to the streams of one shard: positions of the old one mean nothing in the new one.

use std::sync::Arc;

use super::core::Core;
use super::fanout::Fanout;
use super::ring::Entry;
use super::seat::Stage;
use crate::event::EventId;

impl Fanout {
    /// A shard without seats hears of no event: before its next one it takes up the present.
    pub(super) fn take_up(&mut self, epoch: u32, head: EventId) {
        if self.seats.is_empty() {
            (self.epoch, self.reached) = (epoch, head);
        }
    }

    /// Takes all seats over into another history if `run` begins one. Its first event is the gap that says so.
    pub(super) fn begin_anew(&mut self, core: &Core, run: &[Arc<Entry>]) {
        let Some(first) = run.first().filter(|first| first.epoch > self.epoch) else { return };
        self.epoch = first.epoch;
        let epoch = first.epoch;
        let mut told = Vec::new();
        for (key, seat) in self.seats.iter_mut().filter(|(_, seat)| seat.epoch < epoch) {
            match seat.stage {
                Stage::Live => {
                    (seat.epoch, seat.seen) = (epoch, first.id);
                    seat.queue.push(first.frame.clone());
                }
                // Its own last id tells it what it misses.
                Stage::Replaying(_) | Stage::Fetching if !seat.is_waiting() => {
                    seat.give_up(core);
                }
                Stage::Replaying(_) | Stage::Fetching | Stage::Ended(_) => continue,
            }
            told.push(key);
        }
        for key in told {
            self.list_urgent(key);
        }
    }
}

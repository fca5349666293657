//! Where a reader begins that was given a time instead of a place.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lapin::types::AMQPValue;

use super::super::dial::Wire;
use super::super::failure::Failure;
use super::super::stream::{Probe, TOO_OLD};
use super::reader::{OWED_LIMIT, Reader};
use super::request::STALL;
use crate::hub::Archived;

impl Reader {
    /// Finds the offset for a time, tells every request where it stands and whether all since then is still there. None when
    /// the stream has nothing. A chunk of the stream is the unit: a little more than was asked for may come.
    pub(super) async fn begin_since(&mut self, wire: &Wire, time: SystemTime) -> Result<Option<u64>, Failure> {
        let probe = Probe { wire, stream: &self.stream };
        let deadline = || Instant::now() + STALL;
        let Some(found) = probe.since(seconds(time), OWED_LIMIT).await? else {
            for request in std::mem::take(&mut self.requests) {
                self.settle(Archived::Nothing, request, deadline()).await;
            }
            return Ok(None);
        };
        // Looked at later, so that what retention removes in between counts as missing.
        let first = probe.first(AMQPValue::LongString("first".into()), OWED_LIMIT).await?.ok_or(Failure::Timeout)?;
        let whole = first.position.offset == 0 || found.position.offset > first.position.offset;
        let missing = (!whole).then_some(TOO_OLD);
        for mut request in std::mem::take(&mut self.requests) {
            let told = request.begin_at(found, missing);
            self.settle(told, request, deadline()).await;
        }
        Ok(Some(found.position.offset))
    }
}

/// AMQP's timestamps are whole seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

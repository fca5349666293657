//! The history on a RabbitMQ stream queue: making it exist, following its end, and the ids that its deliveries have.

mod cursor;
mod marker;
mod opening;
mod place;
mod probe;
mod queue;
mod session;
mod tail;

pub(super) use cursor::{Cursor, TOO_OLD, Verdict};
pub(super) use place::{id_of, is_marker};
pub(super) use probe::Probe;
pub(super) use queue::StreamQueue;
pub(super) use session::StreamSession;
pub(super) use tail::Tail;

//! Where a new stream begins: now, somewhere in the past, or after a gap that must be told; and when that cannot be said yet.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::archive::ReadFrom;
use super::core::{Core, Shared, Tail};
use super::publisher::gap;
use super::seat::{Seat, Stage};
use super::subscriber::Subscription;
use crate::event::{Audience, ChannelName, EventId, UserId};
use crate::sse;

/// The longest last event id that is repeated back.
const MAX_ID_ECHO: usize = 128;
/// How long an id may be ahead of a source that is there: another replica was a little faster.
const AHEAD_LIMIT: Duration = Duration::from_secs(2);
/// Marks of a shared history have 40 bits; those that a process makes for itself have more.
const SHARED_MARKS: u64 = 1 << 40;

/// Where a stream is asked to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Beginning {
    #[default]
    Now,
    /// After this last event id, as the browser sent it.
    After(String),
    /// With the first event from this time on; `instant` is the same on the other clock, none if that does not reach back.
    Since { time: SystemTime, instant: Option<Instant> },
    /// With the last so many events of the stream's own.
    Last(usize),
}

impl From<Option<&str>> for Beginning {
    fn from(last_event_id: Option<&str>) -> Self {
        last_event_id.filter(|id| !id.is_empty()).map_or(Self::Now, |id| Self::After(id.to_owned()))
    }
}

impl Beginning {
    /// From where on something is missing when this beginning cannot be had.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Now | Self::Last(_) => String::new(),
            Self::After(id) => id.chars().filter(|c| !c.is_control()).take(MAX_ID_ECHO).collect(),
            Self::Since { time, .. } => humantime::format_rfc3339_millis(*time).to_string(),
        }
    }
}

/// What can be said of a beginning, under the lock that orders it among publications.
#[derive(Debug)]
pub(super) enum Decision {
    Start(Start),
    /// Not yet: the head is not known, or the id may be one that is about to come.
    Wait,
    Read(ReadFrom),
}

/// Where a stream begins, and what it is told of it.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) stage: Stage,
    /// The stream begins after this one.
    pub(super) after: EventId,
    /// What the opening block says. While a gap is still to be told it is the id that the browser came with,
    /// so that a connection that breaks in between tells the gap again.
    pub(super) opening_id: String,
    pub(super) resumed: bool,
    /// Reason, and the id from which on something may be missing.
    pub(super) gap: Option<(&'static str, String)>,
}

impl Decision {
    /// Decides for a stream of `audiences` that has waited since `since`.
    pub(super) fn make(
        shared: &Shared,
        archived: bool,
        beginning: &Beginning,
        audiences: &[Audience],
        (since, now): (Instant, Instant),
    ) -> Self {
        if shared.tail == Tail::NotBegun {
            return Self::Wait;
        }
        match beginning {
            Beginning::Now => Self::Start(Start::after(shared, shared.head)),
            Beginning::After(text) => match text.parse::<EventId>() {
                Ok(id) if shared.ring.holds(id) => Self::Start(Start { resumed: true, ..Start::after(shared, id) }),
                Ok(id) if archived => Self::beyond_ring(shared, id, beginning, (since, now)),
                // Older than everything here, so that nothing tells it from an id of this history.
                Ok(id) if id.position < shared.ring.floor().position && id.mark == shared.ring.floor().mark => {
                    Self::Start(Start::too_old(shared, beginning))
                }
                _ => Self::Start(Start::unknown(shared, beginning)),
            },
            Beginning::Since { time, instant } => {
                let covered = instant.filter(|at| shared.live_from.is_some_and(|live| live <= *at));
                match covered.and_then(|at| shared.ring.before(at)) {
                    Some(id) => Self::Start(Start::after(shared, id)),
                    None if archived => Self::Read(ReadFrom::Since(*time)),
                    None => Self::Start(Start::too_old(shared, beginning)),
                }
            }
            Beginning::Last(wanted) => {
                let everyone = [Audience::Everyone];
                let (id, found) = shared.ring.before_last(audiences.iter().chain(&everyone), *wanted);
                let start = Start::after(shared, id);
                let complete = found == *wanted;
                Self::Start(if complete { start } else { Start::too_old(shared, beginning) })
            }
        }
    }

    /// For an id that the ring does not hold, while there is an archive.
    fn beyond_ring(shared: &Shared, id: EventId, beginning: &Beginning, (since, now): (Instant, Instant)) -> Self {
        if id.mark.0 >= SHARED_MARKS {
            return Self::Start(Start::unknown(shared, beginning));
        }
        if id.position < shared.ring.floor().position {
            return Self::Read(ReadFrom::After(id));
        }
        let ahead = id.position.offset > shared.head.position.offset;
        let patient = match shared.tail {
            Tail::Current(from) => now.saturating_duration_since(since.max(from)) < AHEAD_LIMIT,
            // Nothing new comes to anybody, so that waiting keeps nothing back.
            Tail::Away | Tail::NotBegun => true,
        };
        if ahead && patient { Self::Wait } else { Self::Start(Start::unknown(shared, beginning)) }
    }
}

impl Start {
    fn after(shared: &Shared, id: EventId) -> Self {
        let stage = if id == shared.head { Stage::Live } else { Stage::Replaying(id) };
        Self { stage, after: id, opening_id: id.to_string(), resumed: false, gap: None }
    }

    /// Everything that there ever was; none unless the ring has seen the history begin.
    pub(super) fn at_beginning(shared: &Shared) -> Option<Self> {
        let floor = shared.ring.floor();
        let began_here = floor.mark.0 >= SHARED_MARKS && shared.ring.is_whole();
        began_here.then(|| Self::after(shared, floor))
    }

    /// Everything that is here, after a gap.
    fn too_old(shared: &Shared, beginning: &Beginning) -> Self {
        let start = Self::after(shared, shared.ring.floor());
        let opening_id = if let Beginning::After(id) = beginning { id.clone() } else { start.opening_id.clone() };
        Self { gap: Some(("too_old", beginning.text())), opening_id, ..start }
    }

    /// What comes from now on, after a gap.
    pub(super) fn unknown(shared: &Shared, beginning: &Beginning) -> Self {
        let start = Self::after(shared, shared.head);
        let from = beginning.text();
        let opening_id = match beginning {
            Beginning::After(id) if *id == from => from.clone(),
            Beginning::Now | Beginning::After(_) | Beginning::Since { .. } | Beginning::Last(_) => {
                start.opening_id.clone()
            }
        };
        Self { gap: Some(("unknown_id", from)), opening_id, ..start }
    }
}

impl Seat {
    /// Gives the seat its place, and tells it so.
    pub(super) fn start(&mut self, core: &Core, epoch: u32, subscription: &Subscription, start: &Start) {
        self.stage = start.stage;
        self.seen = start.after;
        self.epoch = epoch;
        self.open(core, subscription, &start.opening_id, start.resumed);
        if let Some((reason, from)) = &start.gap {
            self.queue.push(gap(from, start.after, reason));
        }
    }

    /// Queues the opening block.
    pub(super) fn open(&mut self, core: &Core, subscription: &Subscription, id: &str, resumed: bool) {
        let json = json!({
            "connectionId": subscription.connection_id.to_string(),
            "user": subscription.user.as_ref().map(UserId::as_str),
            "channels": subscription.channels.iter().map(ChannelName::as_str).collect::<Vec<_>>(),
            "resumed": resumed,
        });
        self.queue.push(sse::connected(core.jittered_retry(), id, &json.to_string()));
    }
}

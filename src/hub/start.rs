//! Where a new stream begins: now, after the id that its browser came with, or after a gap that must be told.

use super::core::Shared;
use super::seat::Stage;
use crate::event::EventId;

/// The longest last event id that is repeated back.
const MAX_ID_ECHO: usize = 128;

/// A decision made under the lock that orders it among publications.
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

impl Start {
    pub(super) fn decide(shared: &Shared, last_event_id: Option<&str>) -> Self {
        let head = shared.head;
        let Some(text) = last_event_id.filter(|text| !text.is_empty()) else {
            return Self::after(shared, head);
        };
        let floor = shared.ring.floor();
        match text.parse::<EventId>() {
            Ok(id) if shared.ring.holds(id) => Self { resumed: true, ..Self::after(shared, id) },
            // Older than everything here, so that nothing tells it from an id of this history.
            Ok(id) if id.position < floor.position && id.mark == floor.mark => Self {
                gap: Some(("too_old", text.to_owned())),
                opening_id: text.to_owned(),
                ..Self::after(shared, floor)
            },
            _ => {
                let from: String = text.chars().filter(|c| !c.is_control()).take(MAX_ID_ECHO).collect();
                let opening_id = if from == text { from.clone() } else { head.to_string() };
                Self { gap: Some(("unknown_id", from)), opening_id, ..Self::after(shared, head) }
            }
        }
    }

    fn after(shared: &Shared, id: EventId) -> Self {
        let stage = if id == shared.head { Stage::Live } else { Stage::Replaying(id.position) };
        Self { stage, after: id, opening_id: id.to_string(), resumed: false, gap: None }
    }
}

//! The id of a stream's delivery, made from what every replica sees of it and nothing else.

use aws_lc_rs::digest::{Context, SHA256};
use lapin::message::Delivery;
use lapin::types::AMQPValue;

use super::super::failure::Failure;
use crate::event::{EventId, Mark, Position};

/// The property `type` of the message that gives an empty stream its first id.
pub(super) const MARKER_TYPE: &str = "cottontail.history";

/// The place of a delivery from a stream: its offset, and 40 bits of a hash of its content as the mark.
///
/// The same offset of another stream of the same name has another mark, unless the very same message stands there.
pub(in super::super) fn id_of(delivery: &Delivery) -> Result<EventId, Failure> {
    let headers = delivery.properties.headers().as_ref();
    let offset = headers.and_then(|headers| match headers.inner().get("x-stream-offset") {
        Some(AMQPValue::LongLongInt(offset)) => u64::try_from(*offset).ok(),
        _ => None,
    });
    let offset = offset.ok_or(Failure::NotAStream)?;
    Ok(EventId { mark: mark_of(delivery), position: Position::before(offset) })
}

fn mark_of(delivery: &Delivery) -> Mark {
    let properties = &delivery.properties;
    let mut hash = Context::new(&SHA256);
    // Each part after its length, so that no two contents have the same bytes.
    let mut part = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(delivery.routing_key.as_str().as_bytes());
    for property in [properties.message_id(), properties.correlation_id(), properties.kind(), properties.app_id()] {
        part(property.as_ref().map(|text| text.as_str().as_bytes()).unwrap_or_default());
    }
    part(&properties.timestamp().unwrap_or_default().to_be_bytes());
    part(&delivery.data);
    let digest = hash.finish();
    Mark(digest.as_ref()[..5].iter().fold(0, |mark, byte| mark << 8 | u64::from(*byte)))
}

/// Whether it is a marker of ours: sent to the queue itself, past every exchange that an application publishes to.
pub(in super::super) fn is_marker(delivery: &Delivery) -> bool {
    delivery.exchange.as_str().is_empty()
        && delivery.properties.kind().as_ref().is_some_and(|kind| kind.as_str() == MARKER_TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::BasicProperties;
    use lapin::types::FieldTable;

    fn delivery(offset: i64, key: &str, message_id: &str, body: &[u8]) -> Delivery {
        let mut delivery = Delivery::mock(1, "events".into(), key.into(), false, body.to_vec());
        let mut headers = FieldTable::default();
        headers.insert("x-stream-offset".into(), AMQPValue::LongLongInt(offset));
        delivery.properties = BasicProperties::default().with_headers(headers).with_message_id(message_id.into());
        delivery
    }

    #[test]
    fn an_id_says_what_stands_at_the_offset_and_how_it_came_there_does_not_matter() {
        let id = |offset, key, message_id, body| id_of(&delivery(offset, key, message_id, body)).expect("a stream's");
        let first = id(7, "user.1", "m", b"{}");
        assert_eq!(first.position, Position::before(7));
        assert!(first.mark.0 < 1 << 40);
        let mut again = delivery(7, "user.1", "m", b"{}");
        again.exchange = "other".into();
        again.redelivered = true;
        assert_eq!(id_of(&again).expect("a stream's"), first);
        assert_eq!(id(8, "user.1", "m", b"{}").mark, first.mark);
        for other in [id(7, "user.2", "m", b"{}"), id(7, "user.1", "n", b"{}"), id(7, "user.1", "m", b"{} ")] {
            assert_ne!(other.mark, first.mark);
        }
        assert_ne!(id(7, "ab", "c", b"").mark, id(7, "a", "bc", b"").mark);
    }

    #[test]
    fn the_mark_of_a_content_never_changes() {
        // Browsers hold ids across upgrades of this program.
        let id = id_of(&delivery(1, "user.42.greeted", "", b"{\"text\":\"hi\"}")).expect("a stream's");
        assert_eq!(id.to_string(), "aa9a6ee100-1.0");
    }

    #[test]
    fn a_delivery_of_another_queue_has_no_id() {
        let plain = Delivery::mock(1, "events".into(), "k".into(), false, Vec::new());
        assert!(matches!(id_of(&plain), Err(Failure::NotAStream)));
        assert!(matches!(id_of(&delivery(-1, "k", "", b"")), Err(Failure::NotAStream)));
    }
}

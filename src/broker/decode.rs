//! From an AMQP delivery to the message that the mappings see; pure.

use bytes::Bytes;
use lapin::message::Delivery;
use lapin::protocol::BasicProperties;
use lapin::types::{AMQPValue, ShortString};

use crate::event::{Message, Scalar};

/// Takes the delivery apart. The body is moved, not copied.
pub(super) fn message(delivery: Delivery) -> Message {
    Message {
        routing_key: delivery.routing_key.into(),
        headers: headers(&delivery.properties),
        properties: properties(&delivery.properties),
        body: Bytes::from(delivery.data),
    }
}

fn headers(properties: &BasicProperties) -> Vec<(String, Scalar)> {
    let Some(table) = properties.headers() else { return Vec::new() };
    table.inner().iter().map(|(name, value)| (name.as_str().to_owned(), scalar(value))).collect()
}

/// The properties that are present (AMQP 0-9-1 §1.8.3), by their AMQP names.
fn properties(properties: &BasicProperties) -> Vec<(&'static str, Scalar)> {
    let text = |name, value: &Option<ShortString>| Some((name, Scalar::Text(value.as_ref()?.as_str().to_owned())));
    let small = |name, value: &Option<u8>| Some((name, Scalar::Integer((*value)?.into())));
    [
        text("type", properties.kind()),
        text("message_id", properties.message_id()),
        text("app_id", properties.app_id()),
        text("content_type", properties.content_type()),
        text("content_encoding", properties.content_encoding()),
        text("correlation_id", properties.correlation_id()),
        text("reply_to", properties.reply_to()),
        text("expiration", properties.expiration()),
        text("user_id", properties.user_id()),
        properties.timestamp().map(|seconds| ("timestamp", unsigned(seconds))),
        small("priority", properties.priority()),
        small("delivery_mode", properties.delivery_mode()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn scalar(value: &AMQPValue) -> Scalar {
    match value {
        AMQPValue::Boolean(value) => Scalar::Boolean(*value),
        AMQPValue::ShortShortInt(value) => Scalar::Integer((*value).into()),
        AMQPValue::ShortShortUInt(value) => Scalar::Integer((*value).into()),
        AMQPValue::ShortInt(value) => Scalar::Integer((*value).into()),
        AMQPValue::ShortUInt(value) => Scalar::Integer((*value).into()),
        AMQPValue::LongInt(value) => Scalar::Integer((*value).into()),
        AMQPValue::LongUInt(value) => Scalar::Integer((*value).into()),
        AMQPValue::LongLongInt(value) => Scalar::Integer(*value),
        AMQPValue::Timestamp(seconds) => unsigned(*seconds),
        AMQPValue::ShortString(text) => Scalar::Text(text.as_str().to_owned()),
        AMQPValue::LongString(bytes) => match std::str::from_utf8(bytes.as_bytes()) {
            Ok(text) => Scalar::Text(text.to_owned()),
            Err(_) => Scalar::Unusable,
        },
        AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::FieldArray(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => Scalar::Unusable,
    }
}

fn unsigned(value: u64) -> Scalar {
    i64::try_from(value).map_or(Scalar::Unusable, Scalar::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::FieldTable;

    fn delivery(properties: BasicProperties) -> Delivery {
        let mut delivery = Delivery::mock(1, "events".into(), "user.42.greeted".into(), false, b"{}".to_vec());
        delivery.properties = properties;
        delivery
    }

    #[test]
    fn a_bare_delivery_has_a_key_and_a_body() {
        let bare =
            Message { routing_key: "user.42.greeted".into(), body: Bytes::from_static(b"{}"), ..Message::default() };
        assert_eq!(message(delivery(BasicProperties::default())), bare);
    }

    #[test]
    fn the_body_is_not_copied() {
        let delivery = delivery(BasicProperties::default());
        let before = delivery.data.as_ptr();
        assert_eq!(message(delivery).body.as_ptr(), before);
    }

    #[test]
    fn each_header_type_is_usable_or_said_to_be_unusable() {
        let mut table = FieldTable::default();
        for (name, value) in [
            ("bool", AMQPValue::Boolean(true)),
            ("i8", AMQPValue::ShortShortInt(-1)),
            ("u32", AMQPValue::LongUInt(u32::MAX)),
            ("i64", AMQPValue::LongLongInt(i64::MIN)),
            ("text", AMQPValue::LongString("a b".into())),
            ("bytes", AMQPValue::LongString(vec![0xff].into())),
            ("float", AMQPValue::Double(1.0)),
            ("late", AMQPValue::Timestamp(u64::MAX)),
            ("table", AMQPValue::FieldTable(FieldTable::default())),
            ("void", AMQPValue::Void),
        ] {
            table.insert(name.into(), value);
        }
        let message = message(delivery(BasicProperties::default().with_headers(table)));
        let of = |name: &str| message.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        assert_eq!(of("bool"), Some(Scalar::Boolean(true)));
        assert_eq!(of("i8"), Some(Scalar::Integer(-1)));
        assert_eq!(of("u32"), Some(Scalar::Integer(4_294_967_295)));
        assert_eq!(of("i64"), Some(Scalar::Integer(i64::MIN)));
        assert_eq!(of("text"), Some(Scalar::Text("a b".into())));
        for name in ["bytes", "float", "late", "table", "void"] {
            assert_eq!(of(name), Some(Scalar::Unusable), "{name}");
        }
    }
}

//! The marker: a message that gives a stream its first id, so that a browser which saw it empty can say so later.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::BasicProperties;
use lapin::types::ShortString;

use super::super::dial::Wire;
use super::super::failure::{Failure, Step};
use super::place::MARKER_TYPE;

/// Publishes a marker to the queue itself, by the default exchange (AMQP 0-9-1 §3.1.3.1). Without the right to do so, ids
/// given out while the stream is empty hold at this process alone, which costs a browser a gap and nothing else.
pub(super) async fn publish(wire: &Wire, stream: &ShortString) {
    if let Err(failure) = try_publish(wire, stream).await {
        tracing::debug!(%failure, "the stream got no first marker");
    }
}

async fn try_publish(wire: &Wire, stream: &ShortString) -> Result<(), Failure> {
    let failure = |error| Failure::of(error, Step::Mark);
    let channel = wire.connection.create_channel().await.map_err(failure)?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failure)?;
    let unique = uuid::Uuid::new_v4().to_string();
    let properties = BasicProperties::default()
        .with_type(MARKER_TYPE.into())
        .with_message_id(unique.as_str().into())
        .with_delivery_mode(2);
    let (exchange, options) = (ShortString::default(), BasicPublishOptions::default());
    let confirm = channel.basic_publish(exchange, stream.clone(), options, &[], properties).await.map_err(failure)?;
    confirm.await.map_err(failure)?;
    Ok(())
}

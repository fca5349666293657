//! The marker: a message of our own that gives an empty stream its first id, and an end that can be read to one that has none.

use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::BasicProperties;
use lapin::types::ShortString;
use tokio::time::timeout;

use super::super::dial::Wire;
use super::super::failure::{Failure, Step};
use super::place::MARKER_TYPE;

/// A broker that is short of memory or disk takes no messages and says nothing.
const LIMIT: Duration = Duration::from_secs(5);

/// Publishes a marker to the queue itself, by the default exchange (AMQP 0-9-1 §3.1.3.1). False without the right to do so:
/// ids given out while the stream is empty then hold at this process alone, which costs a browser a gap and nothing else.
pub(super) async fn publish(wire: &Wire, stream: &ShortString) -> Result<bool, Failure> {
    match timeout(LIMIT, try_publish(wire, stream)).await.unwrap_or(Err(Failure::Timeout)) {
        Ok(()) => Ok(true),
        Err(failure @ Failure::Permission { .. }) => {
            tracing::debug!(%failure, "the stream got no marker");
            Ok(false)
        }
        Err(failure) => Err(failure),
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

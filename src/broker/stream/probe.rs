//! Short looks at a stream, each by a consumer of its own: what stands at its end, or at a place in it.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Consumer};
use tokio::time::timeout;

use super::super::dial::Wire;
use super::super::failure::{Failure, Step};
use super::place::id_of;
use crate::event::EventId;

/// Deliveries that a look may cause.
const PREFETCH: u16 = 10;

/// A way to look at `stream` over one connection.
#[derive(Clone, Copy)]
pub(in super::super) struct Probe<'a> {
    pub(in super::super) wire: &'a Wire,
    pub(in super::super) stream: &'a ShortString,
}

impl Probe<'_> {
    /// A consumer at `offset`, any of the values of `x-stream-offset`, with its channel.
    pub(in super::super) async fn attach(
        &self,
        offset: AMQPValue,
        prefetch: u16,
    ) -> Result<(Channel, Consumer), Failure> {
        let failure = |error| Failure::of(error, Step::ConsumeStream);
        let channel = self.wire.connection.create_channel().await.map_err(failure)?;
        // A stream gives nothing without a limit, nor without acknowledgements.
        channel.basic_qos(prefetch, BasicQosOptions::default()).await.map_err(failure)?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-stream-offset".into(), offset);
        let (options, tag) = (BasicConsumeOptions::default(), ShortString::default());
        let consumer = channel.basic_consume(self.stream.clone(), tag, options, arguments).await.map_err(failure)?;
        Ok((channel, consumer))
    }

    /// The first delivery from `offset` on, if it comes within `limit`.
    pub(in super::super) async fn first(&self, offset: AMQPValue, limit: Duration) -> Result<Option<EventId>, Failure> {
        let (channel, mut consumer) = self.attach(offset, PREFETCH).await?;
        let found = next_id(&mut consumer, limit).await;
        leave(&channel).await;
        found
    }

    /// The newest delivery: the last before a pause of `pause` in what the last chunk has and what comes after it.
    pub(in super::super) async fn newest(&self, pause: Duration) -> Result<Option<EventId>, Failure> {
        // The last chunk may have thousands, and none of them is acknowledged here.
        let (channel, mut consumer) = self.attach(AMQPValue::LongString("last".into()), u16::MAX).await?;
        let mut newest = None;
        while let Some(id) = next_id(&mut consumer, pause).await? {
            newest = Some(id);
        }
        leave(&channel).await;
        Ok(newest)
    }
}

async fn next_id(consumer: &mut Consumer, limit: Duration) -> Result<Option<EventId>, Failure> {
    match timeout(limit, consumer.next()).await {
        Err(_elapsed) => Ok(None),
        Ok(None) => Err(Failure::ConsumerCancelled),
        Ok(Some(delivery)) => id_of(&delivery.map_err(|error| Failure::of(error, Step::ConsumeStream))?).map(Some),
    }
}

/// Its consumer and what it holds unacknowledged go with the channel.
async fn leave(channel: &Channel) {
    // It fails only with the connection, whose next use says so.
    let _ = channel.close(200, "OK".into()).await;
}

//! Short looks at a stream, each by a consumer of its own: what stands at its end, or at a place in it.

use std::time::{Duration, Instant};

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
/// What is there and was asked for comes within this time of what was asked for later.
const PAUSE: Duration = Duration::from_millis(300);
/// Time for the newest chunk to come.
const NEWEST_LIMIT: Duration = Duration::from_secs(3);

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
        let found = next_id(&mut consumer, limit).await?;
        leave(&channel, &mut consumer).await?;
        Ok(found)
    }

    /// What the newest chunk begins with, if it comes within `limit`.
    pub(in super::super) async fn last(&self, limit: Duration) -> Result<Option<EventId>, Failure> {
        self.first(AMQPValue::LongString("last".into()), limit).await
    }

    /// The first delivery of the chunk that holds the second `time` (since 1970) or comes after it; the newest chunk's when
    /// none is as new as that. None when nothing comes at all within `limit`.
    pub(in super::super) async fn since(&self, time: u64, limit: Duration) -> Result<Option<EventId>, Failure> {
        let (channel, mut consumer) = self.attach(AMQPValue::Timestamp(time), PREFETCH).await?;
        let mut found = next_id(&mut consumer, PAUSE).await?;
        if found.is_none() {
            // What is slow is slow for both: the one that asked first would have been given something first.
            let last = self.last(limit).await?;
            found = next_id(&mut consumer, PAUSE).await?.or(last);
        }
        leave(&channel, &mut consumer).await?;
        Ok(found)
    }

    /// The newest delivery, or one at or behind the offset `enough`: the last before a pause of `pause` in what the newest
    /// chunk has and what comes after it.
    pub(in super::super) async fn newest(&self, enough: u64, pause: Duration) -> Result<Option<EventId>, Failure> {
        // The last chunk may have thousands, and none of them is acknowledged here.
        let (channel, mut consumer) = self.attach(AMQPValue::LongString("last".into()), u16::MAX).await?;
        // Where messages come without a pause, this is far more than a chunk.
        let deadline = Instant::now() + NEWEST_LIMIT;
        let mut newest: Option<EventId> = None;
        while newest.is_none_or(|id| id.position.offset < enough)
            && Instant::now() < deadline
            && let Some(id) = next_id(&mut consumer, pause).await?
        {
            newest = Some(id);
        }
        leave(&channel, &mut consumer).await?;
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

/// Its consumer and what that holds unacknowledged go with the channel.
async fn leave(channel: &Channel, consumer: &mut Consumer) -> Result<(), Failure> {
    let failure = |error| Failure::of(error, Step::ConsumeStream);
    let Err(error) = channel.close(200, "OK".into()).await else { return Ok(()) };
    // The connection is gone. The consumer knows why, behind what it still holds.
    while let Some(delivery) = consumer.next().await {
        delivery.map_err(failure)?;
    }
    Err(failure(error))
}

//! The stream queue at the broker: looked for first, created where that is allowed, and bound.
//!
//! All of it on a connection of its own, since a broker without streams answers a declaration by ending the connection.

use std::collections::BTreeMap;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use tokio::time::timeout;

use super::super::address::{Address, SHORT_STRING_BYTES};
use super::super::dial::{Dialer, Wire};
use super::super::failure::{Failure, Step};
use super::super::topology::Topology;
use super::marker;
use crate::hub::HistoryConfig;
use crate::setting::Fault;

/// The stream, checked to be sayable in AMQP.
#[derive(Clone, Debug)]
pub(in super::super) struct StreamQueue {
    name: ShortString,
    declare: bool,
    arguments: FieldTable,
}

impl StreamQueue {
    pub(in super::super) fn new(history: &HistoryConfig) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, problem: &str| faults.push(Fault::new(key, problem));
        if history.stream.is_empty() || history.stream.starts_with("amq.") {
            fault("history.stream", "must not be empty or start with `amq.`, which the broker keeps for itself");
        }
        if history.stream.len() > SHORT_STRING_BYTES {
            fault("history.stream", "is longer than 255 bytes");
        }
        if history.max_age.0.as_secs() == 0 {
            fault("history.max_age", "must be at least 1s");
        }
        if history.max_bytes < history.segment_bytes {
            fault("history.max_bytes", "must not be smaller than history.segment_bytes, since whole segments are kept");
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let name = ShortString::try_new(history.stream.as_str()).expect("its length was checked");
        Ok(Self { name, declare: history.declare, arguments: arguments(history) })
    }

    pub(in super::super) fn name(&self) -> ShortString {
        self.name.clone()
    }

    /// Makes the stream exist and bound. Whether it was created now, and hence is empty but for a marker.
    pub(in super::super) async fn establish(
        &self,
        dialer: &Dialer,
        address: &Address,
        topology: &Topology,
        limit: std::time::Duration,
    ) -> Result<bool, Failure> {
        let wire = dialer.dial(address).await?;
        let outcome = timeout(limit, self.establish_on(&wire, topology)).await.unwrap_or(Err(Failure::Timeout));
        wire.close().await;
        outcome
    }

    async fn establish_on(&self, wire: &Wire, topology: &Topology) -> Result<bool, Failure> {
        let channel = open_channel(wire).await?;
        topology.check_exchange(&channel).await?;
        let created = match self.look(&channel).await {
            Ok(()) => false,
            Err(Failure::StreamMissing { .. }) if self.declare => {
                // The refusal has ended the channel on which it was said.
                self.create(&open_channel(wire).await?).await?;
                // Before anything is bound, so that it is the first.
                if let Err(failure) = marker::publish(wire, &self.name).await {
                    tracing::debug!(%failure, "the new stream got no marker yet");
                }
                true
            }
            Err(failure) => return Err(failure),
        };
        let channel = if created { open_channel(wire).await? } else { channel };
        topology.bind(&channel, &self.name, Step::BindStream).await?;
        Ok(created)
    }

    async fn look(&self, channel: &Channel) -> Result<(), Failure> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let looked = channel.queue_declare(self.name.clone(), options, FieldTable::default()).await;
        looked.map(drop).map_err(|error| Failure::of(error, Step::CheckStream))
    }

    async fn create(&self, channel: &Channel) -> Result<(), Failure> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let created = channel.queue_declare(self.name.clone(), options, self.arguments.clone()).await;
        created.map_err(|error| Failure::of(error, Step::DeclareStream))?;
        tracing::info!(stream = self.name.as_str(), "the stream was created");
        Ok(())
    }
}

async fn open_channel(wire: &Wire) -> Result<Channel, Failure> {
    wire.connection.create_channel().await.map_err(|error| Failure::of(error, Step::CheckStream))
}

fn arguments(history: &HistoryConfig) -> FieldTable {
    let bytes = |size: bytesize::ByteSize| AMQPValue::LongLongInt(i64::try_from(size.as_u64()).unwrap_or(i64::MAX));
    let max_age = format!("{}s", history.max_age.0.as_secs());
    FieldTable::from(BTreeMap::from([
        ("x-queue-type".into(), AMQPValue::LongString("stream".into())),
        ("x-max-age".into(), AMQPValue::LongString(max_age.into())),
        ("x-max-length-bytes".into(), bytes(history.max_bytes)),
        // Retention removes whole segments only, and the broker's own size of 500 MB would be kept beyond any limit.
        ("x-stream-max-segment-size-bytes".into(), bytes(history.segment_bytes)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::Span;
    use bytesize::ByteSize;

    #[test]
    fn what_no_stream_can_have_is_a_fault() {
        let history = HistoryConfig {
            stream: "amq.x".into(),
            max_age: Span::from_millis(999),
            max_bytes: ByteSize::mib(1),
            ..HistoryConfig::default()
        };
        let faults = StreamQueue::new(&history).expect_err("three faults");
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["history.stream", "history.max_age", "history.max_bytes"]);
        assert!(StreamQueue::new(&HistoryConfig::default()).is_ok());
    }
}

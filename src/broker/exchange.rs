//! The in-process exchange of `dev`: AMQP topic routing (0-9-1 §3.1.3.3) into one bounded queue, in place of RabbitMQ.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use super::pipeline::Intake;
use super::session::Sequence;
use super::status::{LinkStatus, LinkStatusWriter};
use crate::event::Message;
use crate::topic::TopicPattern;

/// The queue holds as many messages as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue of the in-process exchange is full")]
pub struct Full;

/// The consuming end.
#[derive(Debug)]
pub struct Exchange {
    queue: mpsc::Receiver<Message>,
    status: LinkStatusWriter,
}

/// The publishing end.
#[derive(Clone, Debug)]
pub struct ExchangeHandle {
    bindings: Arc<[TopicPattern]>,
    queue: mpsc::Sender<Message>,
}

impl Exchange {
    /// An exchange with one queue of at most `capacity` (at least 1) messages, bound with `binding_keys`.
    #[must_use]
    pub fn new(binding_keys: &[String], capacity: usize) -> (ExchangeHandle, Self) {
        let (sender, queue) = mpsc::channel(capacity.max(1));
        let bindings = binding_keys.iter().map(|key| TopicPattern::new(key)).collect();
        (ExchangeHandle { bindings, queue: sender }, Self { queue, status: LinkStatusWriter::new(true) })
    }

    #[must_use]
    pub fn status(&self) -> LinkStatus {
        self.status.status()
    }

    /// Feeds `intake` until `stop` resolves or the last handle is gone.
    pub async fn run<I: Intake>(mut self, mut intake: I, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut sequence = Sequence::default();
        intake.starts_after(sequence.start());
        intake.current();
        loop {
            let next = async {
                intake.ready().await;
                self.queue.recv().await
            };
            let message = tokio::select! {
                biased;
                () = &mut stop => break,
                message = next => message,
            };
            let Some(message) = message else { break };
            intake.accept(sequence.next(), Instant::now(), &message);
        }
        self.status.down(None);
    }
}

impl ExchangeHandle {
    /// Publishes `message`; `false` when no binding matches its routing key, and it is dropped as RabbitMQ would.
    pub fn publish(&self, message: Message) -> Result<bool, Full> {
        if !self.is_bound(&message.routing_key) {
            return Ok(false);
        }
        match self.queue.try_send(message) {
            Ok(()) => Ok(true),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Full),
            // The consumer has stopped, and its queue with it.
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(false),
        }
    }

    /// Publishes like `publish`, but waits while the queue is full. Cancel-safe: a cancelled message was not published.
    pub async fn publish_in_turn(&self, message: Message) -> bool {
        self.is_bound(&message.routing_key) && self.queue.send(message).await.is_ok()
    }

    fn is_bound(&self, routing_key: &str) -> bool {
        self.bindings.iter().any(|binding| binding.matches(routing_key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;

    #[derive(Default)]
    struct Recorder(Vec<(u64, String)>);

    impl Intake for &mut Recorder {
        async fn ready(&self) {}
        fn starts_after(&mut self, _: EventId) {}
        fn current(&mut self) {}
        fn away(&mut self) {}
        fn knows(&self, _: EventId) -> bool {
            false
        }
        fn accept(&mut self, id: EventId, _: Instant, message: &Message) {
            self.0.push((id.position.offset, message.routing_key.clone()));
        }
        fn pass(&mut self, _: EventId, _: Instant) {}
        fn interrupted(&mut self, _: EventId, _: &'static str) {}
    }

    fn message(routing_key: &str) -> Message {
        Message { routing_key: routing_key.into(), ..Message::default() }
    }

    #[tokio::test]
    async fn what_a_binding_matches_arrives_once_and_in_order() {
        let (handle, exchange) = Exchange::new(&["user.*.#".into(), "user.1.#".into()], 10);
        for (key, routed) in [("user.1.a", true), ("other", false), ("user.2", true), ("user", false)] {
            assert_eq!(handle.publish(message(key)), Ok(routed), "{key}");
        }
        drop(handle);
        let mut recorder = Recorder::default();
        exchange.run(&mut recorder, std::future::pending()).await;
        assert_eq!(recorder.0, [(1, "user.1.a".into()), (2, "user.2".into())]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_stopped_one_routes_nothing() {
        let (handle, exchange) = Exchange::new(&["#".into()], 2);
        let mut status = exchange.status();
        assert!(status.is_connected());
        assert_eq!([handle.publish(message("a")), handle.publish(message("b"))], [Ok(true), Ok(true)]);
        assert_eq!(handle.publish(message("c")), Err(Full));
        exchange.run(&mut Recorder::default(), std::future::ready(())).await;
        assert_eq!(handle.publish(message("d")), Ok(false));
        assert!(status.wait_for(|state| !state.connected).await.is_some());
    }
}

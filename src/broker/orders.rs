//! What brings the application's orders from a message to the control room, over a link of their own or out of the events of `dev`.

use std::time::{Duration, Instant, SystemTime};

use super::pipeline::Intake;
use crate::control::{Control, Disconnect};
use crate::event::{EventId, Message};
use crate::telemetry::Throttle;
use crate::telemetry::amqp;

/// Time between two log lines about orders that mean nothing.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Takes every message for an order.
#[derive(Debug)]
pub struct OrderIntake {
    control: Control,
    log: Throttle,
}

impl OrderIntake {
    #[must_use]
    pub fn new(control: Control) -> Self {
        Self { control, log: Throttle::new(LOG_INTERVAL) }
    }

    fn carry_out(&mut self, received: Instant, message: &Message) {
        let problem = match Disconnect::parse(&message.body) {
            Ok(order) => {
                self.control.disconnect_in_any_case(order, SystemTime::now());
                return amqp::ordered("carried_out");
            }
            Err(problem) => problem,
        };
        amqp::ordered("malformed");
        if let Some(suppressed) = self.log.admit(received) {
            tracing::warn!(%problem, suppressed, "an order was not carried out");
        }
    }
}

impl Intake for OrderIntake {
    /// Orders wait in the broker: nobody would give one again that was refused. The one that comes after the wait is carried
    /// out whatever others have ordered meanwhile.
    async fn ready(&self) {
        self.control.ready().await;
    }

    fn starts_after(&mut self, _: EventId) {}

    fn current(&mut self) {}

    fn away(&mut self) {}

    fn knows(&self, _: EventId) -> bool {
        false
    }

    fn accept(&mut self, _: EventId, received: Instant, message: &Message) {
        self.carry_out(received, message);
    }

    fn pass(&mut self, _: EventId, _: Instant) {}

    fn interrupted(&mut self, _: EventId, _: &'static str) {}
}

/// Takes the orders out of what else goes to another intake.
#[derive(Debug)]
pub struct WithOrders<I> {
    pub events: I,
    /// The routing key of orders, and who takes them; none for no orders.
    pub orders: Option<(String, OrderIntake)>,
}

impl<I: Intake + Sync> Intake for WithOrders<I> {
    fn starts_after(&mut self, id: EventId) {
        self.events.starts_after(id);
    }

    fn current(&mut self) {
        self.events.current();
    }

    fn away(&mut self) {
        self.events.away();
    }

    fn knows(&self, id: EventId) -> bool {
        self.events.knows(id)
    }

    async fn ready(&self) {
        self.events.ready().await;
        if let Some((_, orders)) = &self.orders {
            orders.ready().await;
        }
    }

    fn accept(&mut self, id: EventId, received: Instant, message: &Message) {
        match &mut self.orders {
            Some((key, orders)) if *key == message.routing_key => {
                orders.carry_out(received, message);
                self.events.pass(id, received);
            }
            _ => self.events.accept(id, received, message),
        }
    }

    fn pass(&mut self, id: EventId, received: Instant) {
        self.events.pass(id, received);
    }

    fn interrupted(&mut self, id: EventId, reason: &'static str) {
        self.events.interrupted(id, reason);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::auth::Revocations;
    use crate::control::ControlConfig;
    use crate::hub::{self, HistoryConfig, StreamConfig, Subscription, Verdict, Whom};

    #[test]
    fn an_order_that_was_waited_for_is_carried_out_however_many_others_come_before_it() {
        let (_publisher, mut seeds, overview) = hub::open(&HistoryConfig::default(), &StreamConfig::default(), None, 1);
        let shard = seeds.remove(0).settle(Instant::now());
        let ada = Subscription { user: Some("ada".into()), ..Subscription::default() };
        let mut stream = shard.subscribe(&ada, None, Instant::now()).expect("room");
        let revocations = Arc::new(Revocations::new(1));
        let control = Control::new(&ControlConfig::default(), overview.orders(), revocations, Arc::default());
        let mut intake = OrderIntake::new(control);
        assert!(tokio_test::task::spawn(intake.ready()).poll().is_ready());
        while overview.orders().give(Whom::All, |_| Verdict::Keep, drop).is_ok() {}
        let message = Message { body: r#"{"user": "ada", "reason": "logout"}"#.into(), ..Message::default() };
        intake.accept(EventId::default(), Instant::now(), &message);
        while shard.turn(Instant::now()).more {}
        let mut said = String::new();
        while let Poll::Ready(Some(chunk)) = stream.poll_chunk(&Context::from_waker(Waker::noop())) {
            said.push_str(std::str::from_utf8(&chunk.expect("nobody lags").bytes).expect("text"));
        }
        assert!(said.contains("event: disconnected\ndata: {\"reason\":\"logout\"}"), "{said}");
    }
}

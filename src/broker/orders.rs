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
            Ok(order) => match self.control.disconnect(order, SystemTime::now(), drop) {
                Ok(()) => return amqp::ordered("carried_out"),
                Err(busy) => {
                    amqp::ordered("busy");
                    busy.to_string()
                }
            },
            Err(malformed) => {
                amqp::ordered("malformed");
                malformed.to_string()
            }
        };
        if let Some(suppressed) = self.log.admit(received) {
            tracing::warn!(problem, suppressed, "an order was not carried out");
        }
    }
}

impl Intake for OrderIntake {
    /// An order waits in the broker rather than being refused: nobody would give it again.
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

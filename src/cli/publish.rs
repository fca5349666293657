//! `publish`: one message from the command line to the configured exchange.

use std::io::{self, Read, Write};

use bytes::Bytes;

use super::args::PublishArgs;
use super::check;
use crate::app::Plan;
use crate::broker::publish_once;
use crate::event::{Message, PROPERTIES, Scalar};

/// Publishes and waits for the broker's confirmation. Returns the exit code.
pub async fn publish(args: PublishArgs, problems: &mut impl Write) -> io::Result<u8> {
    let plan = match Plan::load(&args.config.sources()) {
        Ok(plan) => plan,
        Err(faults) => {
            check::list(&faults, problems)?;
            return Ok(check::FAULTY);
        }
    };
    let message = match message(args)? {
        Ok(message) => message,
        Err(unknown) => {
            writeln!(problems, "error: AMQP has no property `{unknown}`; it has {}", PROPERTIES.join(", "))?;
            return Ok(check::FAULTY);
        }
    };
    match publish_once(&plan.config().broker, &message).await {
        Ok(()) => Ok(0),
        Err(failure) => {
            writeln!(problems, "error: {failure}")?;
            Ok(1)
        }
    }
}

/// The message that the arguments describe, or the name of a property that AMQP does not have.
fn message(args: PublishArgs) -> io::Result<Result<Message, String>> {
    let body = if args.body == "-" {
        let mut read = Vec::new();
        io::stdin().lock().read_to_end(&mut read)?;
        Bytes::from(read)
    } else {
        Bytes::from(args.body)
    };
    let mut properties = Vec::new();
    for (name, value) in args.properties {
        let Some(known) = PROPERTIES.into_iter().find(|known| *known == name) else { return Ok(Err(name)) };
        let numeric = ["timestamp", "priority", "delivery_mode"].contains(&known);
        let value = match value.parse() {
            Ok(number) if numeric => Scalar::Integer(number),
            _ => Scalar::Text(value),
        };
        properties.push((known, value));
    }
    let headers = args.headers.into_iter().map(|(name, value)| (name, Scalar::Text(value))).collect();
    Ok(Ok(Message { routing_key: args.key, headers, properties, body }))
}

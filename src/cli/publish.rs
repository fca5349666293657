//! `publish` and `disconnect`: one message from the command line to the configured exchange.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::json;

use super::args::{DisconnectArgs, PublishArgs, TargetArgs};
use super::{check, message};
use crate::app::Plan;
use crate::broker::publish_once;
use crate::control::Disconnect;
use crate::event::Message;

/// Publishes and waits for the broker's confirmation. Returns the exit code.
pub async fn publish(args: PublishArgs, problems: &mut impl Write) -> io::Result<u8> {
    let plan = match Plan::load(&args.config.sources()) {
        Ok(plan) => plan,
        Err(faults) => {
            check::list(&faults, problems)?;
            return Ok(check::FAULTY);
        }
    };
    let Some(message) = message::read(args.message, args.body, problems)? else { return Ok(check::FAULTY) };
    confirmed(&plan, &message, problems).await
}

/// Publishes the order that ends streams, and waits for the broker's confirmation. Returns the exit code.
pub async fn disconnect(args: DisconnectArgs, problems: &mut impl Write) -> io::Result<u8> {
    let plan = match Plan::load(&args.config.sources()) {
        Ok(plan) => plan,
        Err(faults) => {
            check::list(&faults, problems)?;
            return Ok(check::FAULTY);
        }
    };
    let routing_key = plan.config().control.disconnect.clone();
    if routing_key.is_empty() {
        writeln!(problems, "error: orders are off: control.disconnect names no routing key")?;
        return Ok(check::FAULTY);
    }
    let body = order(args, SystemTime::now());
    if let Err(malformed) = Disconnect::parse(body.as_bytes()) {
        writeln!(problems, "error: {malformed}")?;
        return Ok(check::FAULTY);
    }
    let message = Message { routing_key, body: Bytes::from(body), ..Message::default() };
    confirmed(&plan, &message, problems).await
}

async fn confirmed(plan: &Plan, message: &Message, problems: &mut impl Write) -> io::Result<u8> {
    match publish_once(&plan.config().broker, message).await {
        Ok(()) => Ok(0),
        Err(failure) => {
            writeln!(problems, "error: {failure}")?;
            Ok(1)
        }
    }
}

fn order(args: DisconnectArgs, now: SystemTime) -> String {
    let DisconnectArgs { target: TargetArgs { user, channel, connection, jti, sid }, reason, revoke_for, .. } = args;
    let until = revoke_for.and_then(|time| now.checked_add(time));
    let exp = until.and_then(|until| until.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs());
    json!({
        "user": user, "channel": channel, "connection": connection, "jti": jti, "sid": sid, "reason": reason, "exp": exp,
    })
    .to_string()
}

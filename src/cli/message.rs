//! A message out of command-line arguments, as `publish` sends it and `explain` asks about it.

use std::io::{self, Read, Write};

use bytes::Bytes;

use super::args::MessageArgs;
use crate::event::{Message, PROPERTIES, Scalar};

/// The message; none, and a line to `problems`, when it has a property that AMQP does not have.
pub(super) fn read(args: MessageArgs, body: String, problems: &mut impl Write) -> io::Result<Option<Message>> {
    let body = if body == "-" {
        let mut read = Vec::new();
        io::stdin().lock().read_to_end(&mut read)?;
        Bytes::from(read)
    } else {
        Bytes::from(body)
    };
    let mut properties = Vec::new();
    for (name, value) in args.properties {
        let Some(known) = PROPERTIES.into_iter().find(|known| *known == name) else {
            writeln!(problems, "error: AMQP has no property `{name}`; it has {}", PROPERTIES.join(", "))?;
            return Ok(None);
        };
        let numeric = ["timestamp", "priority", "delivery_mode"].contains(&known);
        let value = match value.parse() {
            Ok(number) if numeric => Scalar::Integer(number),
            _ => Scalar::Text(value),
        };
        properties.push((known, value));
    }
    let headers = args.headers.into_iter().map(|(name, value)| (name, Scalar::Text(value))).collect();
    Ok(Some(Message { routing_key: args.key, headers, properties, body }))
}

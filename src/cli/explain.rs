//! `explain`: whether a subscriber would get a message, and why, in sentences; how that is found out is the explain room's.

use std::io::{self, Write};
use std::time::SystemTime;

use super::args::{ExplainArgs, WhoArgs};
use super::{check, message};
use crate::app::Plan;
use crate::explain::{Question, Who};
use crate::setting::Secret;

/// The exit code that says no.
const NOT_DELIVERED: u8 = 1;

/// Prints a sentence a step to `out`. Returns the exit code: 0 if the subscriber would get the message.
pub fn explain(args: ExplainArgs, out: &mut impl Write, problems: &mut impl Write) -> io::Result<u8> {
    let plan = match Plan::load(&args.config.sources()) {
        Ok(plan) => plan,
        Err(faults) => {
            check::list(&faults, problems)?;
            return Ok(check::FAULTY);
        }
    };
    if args.who.token.as_deref() == Some("-") && args.body == "-" {
        writeln!(problems, "error: standard input is either the token or the body")?;
        return Ok(check::FAULTY);
    }
    let who = who(args.who)?;
    let Some(message) = message::read(args.message, args.body, problems)? else { return Ok(check::FAULTY) };
    match plan.into_explainer().explain(&Question { who, message }, SystemTime::now()) {
        Ok(explanation) => {
            for sentence in &explanation.sentences {
                writeln!(out, "{sentence}")?;
            }
            Ok(if explanation.delivered { 0 } else { NOT_DELIVERED })
        }
        Err(error) => {
            writeln!(problems, "error: {error}")?;
            Ok(check::FAULTY)
        }
    }
}

fn who(args: WhoArgs) -> io::Result<Who> {
    Ok(match (args.token, args.claims, args.api_key) {
        (Some(token), ..) if token == "-" => Who::Token(Secret::new(io::read_to_string(io::stdin())?.trim())),
        (Some(token), ..) => Who::Token(Secret::new(token)),
        (None, Some(claims), _) => Who::Claims(claims),
        (None, None, Some(name)) => Who::ApiKey(name),
        (None, None, None) => Who::Anonymous,
    })
}

//! Why the broker cannot be used, each reason one sentence that names what to change; never a credential.

use std::io;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

use super::pipeline::excerpt;
use crate::setting::Fault;

/// Bytes of the broker's own words in a sentence.
const QUOTED_BYTES: usize = 300;

/// What was being done when the broker objected; it decides which right or setting is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Open,
    CheckExchange,
    DeclareExchange,
    DeclareQueue,
    Bind,
    Consume,
    CheckStream,
    DeclareStream,
    BindStream,
    ConsumeStream,
    Mark,
    Publish,
    CheckPresence,
    DeclarePresence,
    Presence,
}

impl Step {
    /// The rights that the step needs, as `rabbitmqctl set_permissions` calls them.
    fn right(self) -> &'static str {
        match self {
            Self::Open | Self::CheckExchange => "any right on the exchange `broker.exchange`",
            Self::DeclareExchange => {
                "configure on the exchange `broker.exchange` (with `broker.declare = false` it is not needed)"
            }
            Self::DeclareQueue => "configure on queues and exchanges whose name starts with `broker.queue_prefix`",
            Self::Bind => {
                "write on queues whose name starts with `broker.queue_prefix` and read on the exchange `broker.exchange`"
            }
            Self::Consume => "read on queues whose name starts with `broker.queue_prefix`",
            Self::CheckStream => "any right on the queue `history.stream`",
            Self::DeclareStream => {
                "configure on the queue `history.stream` (with `history.declare = false` it is not needed)"
            }
            Self::BindStream => "write on the queue `history.stream` and read on the exchange `broker.exchange`",
            Self::ConsumeStream => "read on the queue `history.stream`",
            Self::Mark => "write on the default exchange (`amq.default`)",
            Self::Publish => "write on the exchange `broker.exchange`",
            Self::CheckPresence => "any right on the exchange `presence.exchange`",
            Self::DeclarePresence => {
                "configure on the exchange `presence.exchange` (with `presence.declare = false` it is not needed)"
            }
            Self::Presence => "write on the exchange `presence.exchange`",
        }
    }
}

/// A reason why messages cannot be consumed or published. `said` is the broker's own text.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the broker cannot be reached: {0}; check the host and port in `broker.urls`")]
    Unreachable(#[source] io::Error),
    #[error("the broker did not answer within `broker.connect_timeout`")]
    Timeout,
    #[error(
        "the connection was closed before AMQP was spoken; check the port in `broker.urls`, and `amqps://` if it expects TLS"
    )]
    NotAmqp,
    #[error("the answer is not AMQP; a port that expects TLS needs `amqps://` in `broker.urls`")]
    TlsExpected,
    #[error("the answer is not TLS; check the port in `broker.urls`, or write `amqp://` for a broker without TLS")]
    TlsMissing,
    #[error("the broker's certificate is not trusted: {0}; check `broker.ca_file` and the host in `broker.urls`")]
    Untrusted(#[source] io::Error),
    #[error(
        "the broker refused the user name or password in `broker.urls` (RabbitMQ lets `guest` in from its own machine only)"
    )]
    Login,
    #[error("the vhost in `broker.urls` is not usable: {said}")]
    Vhost { said: String },
    #[error(
        "the exchange does not exist: {said}; create it, correct `broker.exchange`, or set `broker.declare = true`"
    )]
    ExchangeMissing { said: String },
    #[error("the exchange exists with other properties: {said}; set `broker.declare = false` to use it as it is")]
    ExchangeDiffers { said: String },
    #[error(
        "the exchange for presence does not exist: {said}; create it, correct `presence.exchange`, or set `presence.declare = true`"
    )]
    PresenceExchangeMissing { said: String },
    #[error(
        "the exchange for presence exists with other properties: {said}; set `presence.declare = false` to use it as it is"
    )]
    PresenceExchangeDiffers { said: String },
    #[error("the user in `broker.urls` lacks a right: {said}; it needs {right}")]
    Permission { said: String, right: &'static str },
    #[error(
        "the broker has no streams: {said}; enable its feature flag `stream_queue`, or set `history.kind = \"memory\"`"
    )]
    NoStreams { said: String },
    #[error("the stream does not exist: {said}; create it, correct `history.stream`, or set `history.declare = true`")]
    StreamMissing { said: String },
    #[error("the queue `history.stream` is not a stream; name another, or delete it")]
    NotAStream,
    #[error("the stream cannot be read on this node for now: {said}")]
    StreamAway { said: String },
    #[error("the stream was deleted and created again; what it kept is gone")]
    HistoryChanged,
    #[error("the queue was deleted or its node went away")]
    ConsumerCancelled,
    #[error("the connection was closed at the broker: {said}")]
    Closed { said: String },
    #[error("the broker refused: {said}")]
    Refused { said: String },
    #[error("the broker fell silent for longer than `broker.heartbeat` allows")]
    Silent,
    #[error("the connection to the broker was lost: {0}")]
    Lost(#[source] io::Error),
    #[error(
        "a message could not be read (a text property or routing key that is not UTF-8), which ended the connection"
    )]
    Poison,
    #[error("the connection ended: {0}")]
    Ended(#[source] lapin::Error),
    #[error("no queue is bound for the routing key {key}; nobody received the message")]
    Unroutable { key: String },
    #[error("the broker could not take the message")]
    Unconfirmed,
    #[error("the message cannot be sent: {0}")]
    Unsendable(&'static str),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Settings(Vec<Fault>),
}

impl Failure {
    /// What `error` means when it comes during `step`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "lapin keeps its list of errors open")]
    pub(super) fn of(error: lapin::Error, step: Step) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(refusal) => {
                let said = excerpt(refusal.get_message().as_str(), QUOTED_BYTES);
                Self::of_refusal(refusal.kind(), said, step)
            }
            ErrorKind::IOError(cause) => {
                let cause = io::Error::new(cause.kind(), std::sync::Arc::clone(cause));
                // How a stranger hangs up depends on how much of the greeting it has read.
                let hung_up = matches!(
                    cause.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                );
                if step == Step::Open && hung_up { Self::NotAmqp } else { Self::Lost(cause) }
            }
            ErrorKind::ParsingError(_) if step == Step::Open => Self::TlsExpected,
            ErrorKind::ParsingError(_) => Self::Poison,
            ErrorKind::MissingHeartbeatError => Self::Silent,
            _ => Self::Ended(error),
        }
    }

    fn of_refusal(kind: &AMQPErrorKind, said: String, step: Step) -> Self {
        use AMQPErrorKind::{Hard, Soft};
        match (kind, step) {
            (Soft(AMQPSoftError::ACCESSREFUSED), Step::Open) => Self::Login,
            (Soft(AMQPSoftError::ACCESSREFUSED), _) => Self::Permission { said, right: step.right() },
            (Hard(AMQPHardError::NOTALLOWED), Step::Open) | (Hard(AMQPHardError::INVALIDPATH), _) => {
                Self::Vhost { said }
            }
            (Soft(AMQPSoftError::NOTFOUND), Step::CheckExchange | Step::Bind | Step::Publish) => {
                Self::ExchangeMissing { said }
            }
            (Soft(AMQPSoftError::PRECONDITIONFAILED), Step::DeclareExchange) => Self::ExchangeDiffers { said },
            (Soft(AMQPSoftError::NOTFOUND), Step::CheckPresence | Step::Presence) => {
                Self::PresenceExchangeMissing { said }
            }
            (Soft(AMQPSoftError::PRECONDITIONFAILED), Step::DeclarePresence) => Self::PresenceExchangeDiffers { said },
            (_, Step::CheckStream | Step::DeclareStream | Step::BindStream | Step::ConsumeStream) => {
                Self::of_stream_refusal(kind, said, step)
            }
            (Hard(AMQPHardError::CONNECTIONFORCED), _) => Self::Closed { said },
            _ => Self::Refused { said },
        }
    }

    /// What the broker refuses about the stream, rights apart.
    fn of_stream_refusal(kind: &AMQPErrorKind, said: String, step: Step) -> Self {
        use AMQPErrorKind::{Hard, Soft};
        match (kind, step) {
            (Hard(AMQPHardError::CONNECTIONFORCED), _) => Self::Closed { said },
            (Hard(AMQPHardError::NOTIMPLEMENTED), Step::DeclareStream) => Self::NoStreams { said },
            // 3.8 with the flag off, 3.9 and later with it off, and what knows no such type at all.
            (_, Step::DeclareStream) if said.contains("feature flag") || said.contains("x-queue-type") => {
                Self::NoStreams { said }
            }
            // A queue whose node is down is "not found" as well.
            (Soft(AMQPSoftError::NOTFOUND), Step::CheckStream) if !said.contains("inaccessible") => {
                Self::StreamMissing { said }
            }
            // Only a stream takes the argument.
            (Soft(AMQPSoftError::PRECONDITIONFAILED), Step::ConsumeStream) if said.contains("x-stream-offset") => {
                Self::NotAStream
            }
            (Soft(AMQPSoftError::NOTFOUND), Step::BindStream) if said.contains("no exchange") => {
                Self::ExchangeMissing { said }
            }
            // Elections and nodes without a replica: each of them passes, here or at the next address.
            (Soft(AMQPSoftError::NOTFOUND) | Hard(AMQPHardError::INTERNALERROR), _)
            | (Soft(AMQPSoftError::PRECONDITIONFAILED), Step::ConsumeStream) => Self::StreamAway { said },
            _ => Self::Refused { said },
        }
    }

    /// What an error of the TLS handshake means.
    pub(super) fn of_tls(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidMessage(_)) => Self::TlsMissing,
            Some(rustls::Error::InvalidCertificate(_)) => Self::Untrusted(error),
            // A plaintext broker that takes the TLS greeting for a bad AMQP one may close before its answer is read.
            None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                Self::TlsMissing
            }
            Some(_) | None => Self::Lost(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::AMQPError;

    fn refusal(code: u16, text: &str, step: Step) -> String {
        let error = AMQPError::from_id(code, text.into()).expect("a code of AMQP 0-9-1");
        Failure::of(ErrorKind::ProtocolError(error).into(), step).to_string()
    }

    #[test]
    fn a_refusal_names_the_setting_to_change() {
        let cases = [
            (403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.", Step::Open, "password"),
            (530, "NOT_ALLOWED - vhost nope not found", Step::Open, "vhost in `broker.urls`"),
            (404, "NOT_FOUND - no exchange 'events' in vhost '/'", Step::CheckExchange, "`broker.declare = true`"),
            (406, "PRECONDITION_FAILED - inequivalent arg 'type'", Step::DeclareExchange, "`broker.declare = false`"),
            (403, "ACCESS_REFUSED - access to queue 'q' refused", Step::DeclareQueue, "needs configure on queues"),
            (403, "ACCESS_REFUSED - access to exchange 'e' refused", Step::Bind, "read on the exchange"),
            (403, "ACCESS_REFUSED - access to exchange 'e' refused", Step::Publish, "write on the exchange"),
            (404, "NOT_FOUND - no exchange 'p' in vhost '/'", Step::CheckPresence, "`presence.declare = true`"),
            (404, "NOT_FOUND - no exchange 'p' in vhost '/'", Step::Presence, "`presence.exchange`"),
            (406, "PRECONDITION_FAILED - inequivalent arg 'type'", Step::DeclarePresence, "`presence.declare = false`"),
            (403, "ACCESS_REFUSED - access to exchange 'p' refused", Step::Presence, "write on the exchange `presence"),
            (320, "CONNECTION_FORCED - maintenance", Step::Consume, "maintenance"),
            (541, "INTERNAL_ERROR", Step::Consume, "INTERNAL_ERROR"),
            (541, "INTERNAL_ERROR - feature flag is disabled", Step::DeclareStream, "`history.kind = \"memory\"`"),
            (406, "PRECONDITION_FAILED - invalid arg 'x-queue-type'", Step::DeclareStream, "has no streams"),
            (404, "NOT_FOUND - no queue 's' in vhost '/'", Step::CheckStream, "`history.declare = true`"),
            (404, "NOT_FOUND - home node 'a' is down or inaccessible", Step::CheckStream, "for now"),
            (406, "PRECONDITION_FAILED - no replica on the local node", Step::ConsumeStream, "for now"),
            (541, "INTERNAL_ERROR", Step::ConsumeStream, "for now"),
            (406, "PRECONDITION_FAILED - invalid arg 'x-stream-offset'", Step::ConsumeStream, "is not a stream"),
            (403, "ACCESS_REFUSED - access to queue 's' refused", Step::ConsumeStream, "read on the queue"),
        ];
        for (code, text, step, expected) in cases {
            let sentence = refusal(code, text, step);
            assert!(sentence.contains(expected), "{code} at {step:?}: {sentence}");
        }
    }

    #[test]
    fn the_brokers_words_stay_on_one_bounded_line() {
        let sentence = refusal(541, &"a\nb".repeat(80), Step::Consume);
        assert!(!sentence.contains('\n') && sentence.len() < 400, "{sentence}");
    }

    #[test]
    fn what_is_not_a_refusal_is_told_apart() {
        let io = |kind: io::ErrorKind, step| Failure::of(io::Error::from(kind).into(), step);
        assert!(matches!(io(io::ErrorKind::ConnectionAborted, Step::Open), Failure::NotAmqp));
        assert!(matches!(io(io::ErrorKind::ConnectionReset, Step::Consume), Failure::Lost(_)));
        assert!(matches!(Failure::of(ErrorKind::MissingHeartbeatError.into(), Step::Consume), Failure::Silent));
        let tls = |error: rustls::Error| Failure::of_tls(io::Error::new(io::ErrorKind::InvalidData, error));
        assert!(matches!(tls(rustls::CertificateError::UnknownIssuer.into()), Failure::Untrusted(_)));
        assert!(matches!(tls(rustls::InvalidMessage::InvalidContentType.into()), Failure::TlsMissing));
    }
}

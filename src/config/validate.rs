//! What a value must be beyond its type, and sections among themselves. What the rooms compile (mappings, keys, addresses of brokers) they check themselves.

mod address;

use std::time::Duration;

use bytesize::ByteSize;

use super::Config;
use crate::broker::{BrokerConfig, PresenceConfig};
use crate::event::EventName;
use crate::hub::HistoryConfig;
use crate::proxy::UpstreamConfig;
use crate::setting::{Fault, Span};
use crate::telemetry;

/// Longer times are slips; far longer ones overflow the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Larger sizes are slips, and may not fit into memory's own counting.
const LARGEST: ByteSize = ByteSize::tib(1);
/// Heartbeats that come faster are nothing but load, on every stream.
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(50);
/// Below this hyper cannot read a request.
const SMALLEST_HEADER: ByteSize = ByteSize::kib(8);
/// Smaller segments only cost the broker files.
const SMALLEST_SEGMENT: ByteSize = ByteSize::kib(64);
/// AMQP 0-9-1 short strings, which names of exchanges and queues and our channels are.
const LONGEST_NAME: usize = 255;
/// What is put behind the queue prefix to make a queue's name needs room.
const LONGEST_PREFIX: usize = 128;
/// Readers of the stream's past at once: each attachment costs the broker some 20 ms.
const MOST_READERS: usize = 8;
/// Remembered message ids; each takes some 32 bytes.
const MOST_MESSAGE_IDS: usize = 10_000_000;
/// Query parameters of the stream endpoint, hence not for tokens.
const TAKEN_PARAMETERS: [&str; 6] = ["channels", "last", "lastEventId", "last_event_id", "since", "userId"];

impl Config {
    /// Every value that cannot work, each with its key; empty when all can.
    #[must_use]
    pub fn validate(&self) -> Vec<Fault> {
        let mut found = Found::default();
        found.server(self);
        found.broker(&self.broker);
        found.control(self);
        found.upstream(&self.upstream);
        found.history(&self.history);
        found.presence(&self.presence);
        found.stream(self);
        found.auth(self);
        found.times(self);
        found.sizes(self);
        address::endpoints(&self.endpoint, &mut found);
        address::origins(&self.cors, &mut found);
        found.must(!self.mapping.is_empty(), "mapping", "there is no mapping, so nothing would ever be sent");
        found.0
    }
}

#[derive(Default)]
struct Found(Vec<Fault>);

impl Found {
    fn must(&mut self, holds: bool, key: &str, problem: &str) {
        if !holds {
            self.0.push(Fault::new(key, problem));
        }
    }

    fn positive(&mut self, key: &str, number: usize) {
        self.must(number > 0, key, "must be at least 1");
    }

    /// A channel, literal or pattern, as it is written in a list.
    fn channels(&mut self, key: &str, names: &[String]) {
        for (index, name) in names.iter().enumerate() {
            let key = format!("{key}.{index}");
            self.must(!name.is_empty(), &key, "a channel's name must not be empty");
            self.must(name.len() <= LONGEST_NAME, &key, "a channel's name must be at most 255 bytes long");
        }
    }

    fn server(&mut self, config: &Config) {
        let (server, admin) = (&config.server, &config.admin);
        self.must(server.threads <= 1024, "server.threads", "must be at most 1024");
        self.positive("server.max_connections", server.max_connections);
        self.positive("server.max_headers", server.max_headers);
        let drain = server.drain_delay.0.saturating_add(server.drain_window.0);
        self.must(
            server.grace.0 > drain,
            "server.grace",
            "must be longer than server.drain_delay and server.drain_window together",
        );
        self.file("server.tls.certificate_file", server.tls.certificate_file.as_ref());
        self.file("server.tls.key_file", server.tls.key_file.as_ref());
        let (ours, theirs) = (server.listen, admin.listen);
        let same_address = ours.is_ipv4() == theirs.is_ipv4()
            && (ours.ip() == theirs.ip() || ours.ip().is_unspecified() || theirs.ip().is_unspecified());
        let clash = ours.port() != 0 && ours.port() == theirs.port() && same_address;
        self.must(!clash, "admin.listen", "must differ from server.listen");
        self.must(
            telemetry::filter(&config.log.level).is_some(),
            "log.level",
            "expected a level (error, warn, info, debug, trace) or filter directives",
        );
    }

    fn control(&mut self, config: &Config) {
        let control = &config.control;
        let key = &control.disconnect;
        let wild = key.split('.').any(|word| word == "*" || word == "#");
        self.must(
            !wild && key.len() <= LONGEST_NAME,
            "control.disconnect",
            "must be one routing key of at most 255 bytes",
        );
        let named = (1..=LONGEST_NAME).contains(&control.stream.len()) && !control.stream.starts_with("amq.");
        self.must(named, "control.stream", "must be a queue's name of 1 to 255 bytes that does not start with `amq.`");
        self.must(control.stream != config.history.stream, "control.stream", "must differ from history.stream");
        self.must(control.max_bytes.as_u64() > 0, "control.max_bytes", "must be more than 0");
        self.positive("control.max_revoked", control.max_revoked);
    }

    fn broker(&mut self, broker: &BrokerConfig) {
        let own_urls = broker.urls != BrokerConfig::default().urls;
        let both = own_urls && broker.urls_file.is_some();
        self.must(!both, "broker.urls_file", "must not be set beside broker.urls");
        let any = !broker.urls.is_empty() || broker.urls_file.is_some();
        self.must(any, "broker.urls", "there is no broker to connect to");
        self.file("broker.urls_file", broker.urls_file.as_ref());
        self.file("broker.ca_file", broker.ca_file.as_ref());
        let (exchange, prefix) = (&broker.exchange, &broker.queue_prefix);
        self.must(
            !exchange.is_empty(),
            "broker.exchange",
            "must be named: nothing can be bound to the default exchange",
        );
        self.must(exchange.len() <= LONGEST_NAME, "broker.exchange", "must be at most 255 bytes long");
        let reserved = "must not start with `amq.`: such names are the broker's own";
        self.must(!(broker.declare && exchange.starts_with("amq.")), "broker.exchange", reserved);
        self.must(!prefix.starts_with("amq."), "broker.queue_prefix", reserved);
        self.must(prefix.len() <= LONGEST_PREFIX, "broker.queue_prefix", "must be at most 128 bytes long");
        self.must(broker.queue_max_length > 0, "broker.queue_max_length", "must be at least 1");
        self.must(
            broker.prefetch >= 2,
            "broker.prefetch",
            "must be at least 2, since messages are acknowledged together",
        );
        let ordered = broker.reconnect_min <= broker.reconnect_max;
        self.must(ordered, "broker.reconnect_max", "must not be shorter than broker.reconnect_min");
    }

    fn upstream(&mut self, upstream: &UpstreamConfig) {
        let tick = Duration::from_millis(1);
        for (key, time) in [
            ("upstream.connect_timeout", upstream.connect_timeout),
            ("upstream.first_byte_timeout", upstream.first_byte_timeout),
            ("upstream.idle_timeout", upstream.idle_timeout),
            ("upstream.tunnel_idle_timeout", upstream.tunnel_idle_timeout),
        ] {
            self.time(key, time, tick);
        }
        self.time("upstream.pool_idle_timeout", upstream.pool_idle_timeout, Duration::ZERO);
        self.positive("upstream.max_connections", upstream.max_connections);
        self.positive("upstream.max_requests", upstream.max_requests);
    }

    fn history(&mut self, history: &HistoryConfig) {
        let readers = (1..=MOST_READERS).contains(&history.replay_readers);
        self.must(readers, "history.replay_readers", "must be between 1 and 8, since each costs the broker dearly");
        self.must(history.poison_retries > 0, "history.poison_retries", "must be at least 1");
        let remembered = history.dedupe_message_ids <= MOST_MESSAGE_IDS;
        self.must(remembered, "history.dedupe_message_ids", "must be at most 10000000");
    }

    fn presence(&mut self, presence: &PresenceConfig) {
        let reserved = presence.declare && presence.exchange.starts_with("amq.");
        self.must(!reserved, "presence.exchange", "must not start with `amq.`: such names are the broker's own");
        self.must(presence.replica.len() <= LONGEST_NAME, "presence.replica", "must be at most 255 bytes long");
    }

    fn stream(&mut self, config: &Config) {
        let stream = &config.stream;
        self.positive("stream.queue_events", stream.queue_events);
        self.positive("stream.max_streams", stream.max_streams);
        self.positive("stream.max_channels", stream.max_channels);
        let ordered = stream.retry <= stream.max_retry;
        self.must(ordered, "stream.max_retry", "must not be shorter than stream.retry");
        for (key, name) in
            [("stream.heartbeat_event", &stream.heartbeat_event), ("stream.reserved_prefix", &stream.reserved_prefix)]
        {
            self.must(!name.contains(['\r', '\n', '\0']), key, "must not hold a line break or NUL");
            self.must(name.len() <= LONGEST_NAME, key, "must be at most 255 bytes long");
        }
        let reserved = EventName::RESERVED.contains(&stream.heartbeat_event.as_str());
        self.must(
            !reserved,
            "stream.heartbeat_event",
            "is an event name that browsers or this program use for something else",
        );
        let prefixed = !stream.reserved_prefix.is_empty();
        self.must(prefixed, "stream.reserved_prefix", "must not be empty, or events would pass for this program's own");
    }

    fn auth(&mut self, config: &Config) {
        let auth = &config.auth;
        for (index, name) in auth.query.iter().enumerate() {
            let key = format!("auth.query.{index}");
            self.must(!name.is_empty(), &key, "a parameter's name must not be empty");
            self.must(
                !TAKEN_PARAMETERS.contains(&name.as_str()),
                &key,
                "is a parameter that the stream endpoint uses for something else",
            );
            self.must(!auth.query[..index].contains(name), &key, "is listed twice");
        }
        let cookie = auth.cookie.bytes().all(is_token_byte);
        self.must(cookie, "auth.cookie", "must be a cookie's name: letters, digits and !#$%&'*+-.^_`|~");
        self.positive("auth.forward.max_cached", auth.forward.max_cached);
        self.positive("auth.forward.max_asking", auth.forward.max_asking);
        self.must(auth.forward.breaker_failures > 0, "auth.forward.breaker_failures", "must be at least 1");
        self.channels("auth.public_channels", &auth.public_channels);
        let reachable =
            auth.anonymous || !auth.issuer.is_empty() || !auth.api_key.is_empty() || auth.forward.url.is_some();
        self.must(reachable, "auth.issuer", "there is no issuer and auth.anonymous is false, so nobody could listen");
    }

    fn file(&mut self, key: &str, path: Option<&String>) {
        self.must(path.is_none_or(|path| !path.is_empty()), key, "names no file; leave it out instead");
    }

    fn times(&mut self, config: &Config) {
        let (server, broker, stream) = (&config.server, &config.broker, &config.stream);
        let tick = Duration::from_millis(1);
        self.time("server.header_timeout", server.header_timeout, tick);
        self.time("server.tls.reload_interval", server.tls.reload_interval, tick);
        self.time("server.drain_window", server.drain_window, Duration::ZERO);
        self.time("server.grace", server.grace, tick);
        self.time("server.drain_delay", server.drain_delay, Duration::ZERO);
        self.time("broker.ack_interval", broker.ack_interval, tick);
        self.time("broker.connect_timeout", broker.connect_timeout, tick);
        self.time("broker.reconnect_min", broker.reconnect_min, tick);
        self.time("broker.reconnect_max", broker.reconnect_max, tick);
        // AMQP 0-9-1 §1.4.2.6: whole seconds in 16 bits.
        self.time("broker.heartbeat", broker.heartbeat, Duration::from_secs(1));
        let fits = u16::try_from(broker.heartbeat.0.as_secs()).is_ok();
        self.must(fits, "broker.heartbeat", "must be at most 65535s");
        self.time("history.max_age", config.history.max_age, Duration::from_secs(1));
        self.time("history.warm_age", config.history.warm_age, Duration::ZERO);
        self.time("presence.linger", config.presence.linger, Duration::ZERO);
        self.time("stream.heartbeat", stream.heartbeat, SHORTEST_HEARTBEAT);
        self.time("stream.retry", stream.retry, tick);
        self.time("stream.max_retry", stream.max_retry, tick);
        self.time("stream.max_connection_age", stream.max_connection_age, Duration::ZERO);
        self.time("stream.token_expiring", stream.token_expiring, Duration::ZERO);
        self.time("stream.write_timeout", stream.write_timeout, tick);
        self.time("stream.pace", stream.pace, Duration::ZERO);
        // As the greatest age of what a stream keeps it is in whole seconds.
        self.time("control.remember", config.control.remember, Duration::from_secs(1));
        self.time("admin.reload_interval", config.admin.reload_interval, Duration::ZERO);
        let auth = &config.auth;
        self.time("auth.forward.timeout", auth.forward.timeout, tick);
        self.time("auth.forward.cache", auth.forward.cache, Duration::ZERO);
        self.time("auth.forward.recheck", auth.forward.recheck, Duration::ZERO);
        self.time("auth.forward.breaker_pause", auth.forward.breaker_pause, tick);
        self.time("auth.keys_refresh", auth.keys_refresh, Duration::from_secs(1));
        self.time("auth.keys_cooldown", auth.keys_cooldown, tick);
        self.time("auth.keys_wait", auth.keys_wait, Duration::ZERO);
        self.time("auth.keys_timeout", auth.keys_timeout, tick);
        self.time("auth.keys_reread", auth.keys_reread, tick);
        self.time("cors.max_age", config.cors.max_age, Duration::ZERO);
    }

    fn time(&mut self, key: &str, time: Span, shortest: Duration) {
        let problem = format!("must be at least {}", humantime::format_duration(shortest));
        self.must(time.0 >= shortest, key, &problem);
        self.must(time.0 <= LONGEST, key, "must be at most a year");
    }

    fn sizes(&mut self, config: &Config) {
        let one = ByteSize::b(1);
        for (key, size, smallest) in [
            ("server.max_header_bytes", config.server.max_header_bytes, SMALLEST_HEADER),
            ("broker.queue_max_bytes", config.broker.queue_max_bytes, one),
            ("broker.max_message_bytes", config.broker.max_message_bytes, one),
            ("history.memory", config.history.memory, one),
            ("history.max_bytes", config.history.max_bytes, one),
            ("history.segment_bytes", config.history.segment_bytes, SMALLEST_SEGMENT),
            ("stream.queue_bytes", config.stream.queue_bytes, one),
            ("stream.max_bytes_per_second", config.stream.max_bytes_per_second, ByteSize(0)),
            ("auth.max_token_bytes", config.auth.max_token_bytes, one),
            ("auth.keys_max_bytes", config.auth.keys_max_bytes, one),
        ] {
            self.must(size >= smallest, key, &format!("must be at least {smallest}"));
            self.must(size <= LARGEST, key, &format!("must be at most {LARGEST}"));
        }
    }
}

/// RFC 9110 §5.6.2, to which RFC 6265 §4.1.1 refers for a cookie's name.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;

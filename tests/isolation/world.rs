//! The product's own parts put together, and beside each stream what it may have heard at which time.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytesize::ByteSize;
use cottontail::auth::{
    AuthConfig, AuthError, Authenticator, Credentials, Identity, IssuerConfig, Revocations, Source,
};
use cottontail::broker::{Intake, Pipeline};
use cottontail::control::{Control, ControlConfig, Disconnect, Target as Ended};
use cottontail::event::{ChannelName, EventId, Mark, Message, Position};
use cottontail::hub::{
    self, HistoryConfig, Overview, Shard, Standing, StreamConfig, Subscriber, Subscription, Verdict, View, Whom,
};
use cottontail::routing::{MappingConfig, MappingTable, Mappings};
use cottontail::server;
use cottontail::setting::{Secret, Span};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::eventsource_decoder::{EventSourceDecoder, Observed};
use crate::model::{Claims, DEFAULTS, Rights, Settings, Target, is_name};

pub const SHARDS: usize = 2;
const SECRET: &str = "a secret of thirty-two bytes or more, made for this test";
/// The year 2100.
const EXPIRY: u64 = 4_102_444_800;

pub struct World {
    pipeline: Pipeline,
    shards: Vec<Shard>,
    overview: Overview,
    control: Control,
    revocations: Arc<Revocations>,
    /// The one in force.
    authenticator: Arc<ArcSwap<Authenticator>>,
    settings: Settings,
    /// Grows with each opening, each event and each time that everything is settled.
    clock: usize,
    published: Vec<(usize, Target)>,
    streams: Vec<Stream>,
    tokens: usize,
}

struct Stream {
    subscriber: Subscriber,
    decoder: EventSourceDecoder,
    connection: Uuid,
    claims: Option<Claims>,
    asked: Option<Vec<String>>,
    jti: String,
    opened: usize,
    /// The first event that may come.
    from: usize,
    heard: Vec<usize>,
    /// The last one is meant to hold; those before it may have held until they are known to be over.
    periods: Vec<Period>,
    /// Nothing can bring it back.
    is_over: bool,
}

/// What a stream may hear up to a time; nothing once it was told to end.
struct Period {
    until: Option<usize>,
    rights: Option<Rights>,
}

impl Stream {
    /// Whether it was ever told to end; a newer configuration may have come before it was.
    fn may_have_ended(&self) -> bool {
        self.periods.iter().any(|period| period.rights.is_none())
    }

    fn becomes(&mut self, rights: Option<Rights>) {
        if !self.is_over {
            self.periods.push(Period { until: None, rights });
        }
    }

    /// For each of the rights that may have held at any time since the event was there for the stream, whether it is heard.
    fn hearing(&self, published: usize, target: &Target) -> Vec<bool> {
        let since = published.max(self.opened);
        let held = self.periods.iter().filter(|period| period.until.is_none_or(|until| until >= since));
        held.map(|period| period.rights.as_ref().is_some_and(|rights| rights.hears(target))).collect()
    }
}

fn load(settings: &Settings, revocations: &Arc<Revocations>) -> Arc<Authenticator> {
    let issuer =
        IssuerConfig { algorithms: vec!["HS256".into()], secret: Some(Secret::new(SECRET)), ..IssuerConfig::default() };
    let grants = if settings.teams { vec!["team.{claim:/team}.#".into()] } else { Vec::new() };
    let config = AuthConfig {
        anonymous: settings.anonymous,
        public_channels: settings.public.clone(),
        grants,
        issuer: vec![issuer],
        ..AuthConfig::default()
    };
    Arc::new(Authenticator::load(&config).expect("a sound section").revoking(Arc::clone(revocations)))
}

fn mappings() -> Mappings {
    let mapping = |routing_key: &str, user: &str, channel: &str| MappingConfig {
        routing_key: routing_key.into(),
        user: user.into(),
        channel: channel.into(),
        everyone: routing_key == "all",
        event: "e".into(),
        ..MappingConfig::default()
    };
    let all = [
        mapping("all", "", ""),
        mapping("user", "{body:/user}", ""),
        mapping("channel", "", "{body:/channel}"),
        mapping("both", "{body:/user}", "{body:/channel}"),
    ];
    Mappings::new(MappingTable::compile(&all, "app-").expect("sound mappings"))
}

fn event_id(number: usize) -> EventId {
    EventId { mark: Mark(0xe), position: Position::at(number as u64 + 1) }
}

fn token(claims: &Claims, jti: &str) -> Credentials {
    let mut json = json!({ "exp": EXPIRY, "jti": jti, "channels": claims.channels });
    let named = [("sub", &claims.user), ("team", &claims.team)];
    for (name, value) in named.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        json[name] = Value::from(value.as_str());
    }
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(json.to_string().as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    Credentials::new(format!("{signed}.{}", encode(tag.as_ref())), Source::Header)
}

/// The channels that an endpoint gives to who asked for these, and the ground that it notes.
fn subscription(connection: Uuid, identity: Identity, asked: Option<&[String]>) -> Subscription {
    let asked: Option<Box<[ChannelName]>> = asked.map(|names| names.iter().map(|name| name.as_str().into()).collect());
    let defaults: Arc<[ChannelName]> = DEFAULTS.map(ChannelName::from).into();
    let wanted: Vec<ChannelName> = match &asked {
        Some(asked) => asked.to_vec(),
        None => defaults.iter().chain(identity.grants().literals()).cloned().collect(),
    };
    let channels = wanted.into_iter().filter(|name| identity.grants().covers(name.as_str())).collect();
    let user = identity.user().cloned();
    let opened = Instant::now();
    let standing = Standing { identity, session: None, asked, defaults, address: None, opened };
    let standing = Some(Arc::new(standing));
    Subscription { connection_id: connection, user, channels, expires: None, standing }
}

impl World {
    pub fn new(settings: &Settings) -> Self {
        let (history, never) = (HistoryConfig::default(), Span::from_secs(0));
        let stream = StreamConfig { max_connection_age: never, token_expiring: never, ..StreamConfig::default() };
        let (publisher, seeds, overview) = hub::open(&history, &stream, None, SHARDS);
        let mut pipeline = Pipeline::new(mappings(), publisher, ByteSize::mib(1), 0);
        pipeline.starts_after(EventId { mark: Mark(0xe), position: Position::before(0) });
        pipeline.current();
        let revocations = Arc::new(Revocations::new(1000));
        Self {
            pipeline,
            shards: seeds.into_iter().map(|seed| seed.settle(Instant::now())).collect(),
            control: Control::new(
                &ControlConfig::default(),
                overview.orders(),
                Arc::clone(&revocations),
                Arc::default(),
            ),
            overview,
            authenticator: Arc::new(ArcSwap::new(load(settings, &revocations))),
            revocations,
            settings: settings.clone(),
            clock: 0,
            published: Vec::new(),
            streams: Vec::new(),
            tokens: 0,
        }
    }

    fn tick(&mut self) -> usize {
        self.clock += 1;
        self.clock
    }

    pub fn present(&self, claims: &Claims) -> Result<Identity, AuthError> {
        self.authenticator.load().authenticate(Some(&token(claims, "none")), SystemTime::now())
    }

    fn identify(&mut self, claims: Option<&Claims>) -> (String, Result<Identity, AuthError>) {
        self.tokens += 1;
        let jti = self.tokens.to_string();
        let credentials = claims.map(|claims| token(claims, &jti));
        (jti, self.authenticator.load().authenticate(credentials.as_ref(), SystemTime::now()))
    }

    pub fn open(&mut self, claims: Option<Claims>, asked: Option<Vec<String>>, resume: Option<usize>, shard: usize) {
        let asked = asked.map(|asked| asked.into_iter().filter(|name| is_name(name)).collect::<Vec<_>>());
        let rights = Rights::of(claims.as_ref(), &self.settings, asked.as_deref());
        let (jti, identity) = self.identify(claims.as_ref());
        assert_eq!(identity.is_ok(), rights.is_some());
        let Ok(identity) = identity else { return };
        let after = resume.filter(|_| !self.published.is_empty()).map(|number| number % self.published.len());
        let last_event_id = after.map(|number| event_id(number).to_string());
        let (connection, opened) = (Uuid::new_v4(), self.tick());
        let subscription = subscription(connection, identity, asked.as_deref());
        let opening = self.shards[shard].subscribe(&subscription, last_event_id.as_deref(), Instant::now());
        self.streams.push(Stream {
            subscriber: opening.expect("room"),
            decoder: EventSourceDecoder::new(),
            connection,
            claims,
            asked,
            jti,
            opened,
            from: after.map_or(self.published.len(), |number| number + 1),
            heard: Vec::new(),
            periods: vec![Period { until: None, rights }],
            is_over: false,
        });
    }

    pub fn publish(&mut self, target: &Target) {
        let number = self.published.len();
        let (routing_key, user, channel) = match target {
            Target::Everyone => ("all", "", ""),
            Target::User(user) => ("user", user.as_str(), ""),
            Target::Channel(channel) => ("channel", "", channel.as_str()),
            Target::Both { user, channel } => ("both", user.as_str(), channel.as_str()),
        };
        let body = json!({ "n": number, "user": user, "channel": channel }).to_string().into();
        let message = Message { routing_key: routing_key.into(), body, ..Message::default() };
        let now = self.tick();
        let delivery = EventId { position: Position::before(number as u64 + 1), ..event_id(number) };
        self.pipeline.accept(delivery, Instant::now(), &message);
        self.published.push((now, target.clone()));
    }

    pub fn renew(&mut self, which: usize, channels: Vec<String>, team: Option<String>) {
        let Some(which) = which.checked_rem(self.streams.len()) else { return };
        let Some(old) = self.streams[which].claims.clone() else { return };
        let claims = Claims { user: old.user, channels, team };
        let (jti, identity) = self.identify(Some(&claims));
        let identity = identity.expect("a user that had a token before");
        let stream = &mut self.streams[which];
        let rights = Rights::of(Some(&claims), &self.settings, stream.asked.as_deref());
        stream.becomes(rights);
        (stream.claims, stream.jti) = (Some(claims), jti);
        let renewed = subscription(stream.connection, identity, stream.asked.as_deref());
        let judge = move |_: &View<'_>| Verdict::Change(Box::new(renewed.clone()));
        self.overview.orders().give(Whom::Connection(stream.connection), judge, drop).expect("room");
    }

    pub fn reconfigure(&mut self, settings: &Settings) {
        self.settings = settings.clone();
        self.authenticator.store(load(settings, &self.revocations));
        for stream in &mut self.streams {
            let rights = Rights::of(stream.claims.as_ref(), settings, stream.asked.as_deref());
            stream.becomes(rights);
        }
        let in_force = Arc::clone(&self.authenticator);
        server::reconsider(&self.overview.orders(), move || in_force.load_full()).expect("room");
    }

    pub fn revoke(&mut self, which: usize) {
        let Some(which) = which.checked_rem(self.streams.len()) else { return };
        let stream = &mut self.streams[which];
        let Some(claims) = &stream.claims else { return };
        let target = Ended::Token(stream.jti.clone());
        let order = Disconnect { target, reason: "logout".into(), until: None };
        self.control.disconnect(order, SystemTime::now(), drop).expect("room");
        let again = self.authenticator.load().authenticate(Some(&token(claims, &stream.jti)), SystemTime::now());
        assert_eq!(again, Err(AuthError::Revoked));
        stream.becomes(None);
        stream.is_over = true;
    }

    pub fn turn(&self, shard: usize) {
        self.shards[shard].turn(Instant::now());
    }

    /// Has everything carried out that is under way.
    pub fn settle(&mut self) {
        for shard in &self.shards {
            while shard.turn(Instant::now()).more {}
        }
        let now = self.tick();
        for stream in &mut self.streams {
            let Some((last, before)) = stream.periods.split_last_mut() else { continue };
            stream.is_over |= last.rights.is_none();
            for period in before {
                period.until.get_or_insert(now);
            }
        }
    }

    pub fn leave(&mut self, which: usize) {
        if let Some(which) = which.checked_rem(self.streams.len()) {
            self.streams.swap_remove(which);
        }
    }

    /// Reads what a stream has, each event of which it must be allowed to hear.
    pub fn read(&mut self, which: usize) {
        let Some(which) = which.checked_rem(self.streams.len()) else { return };
        let Self { streams, published, .. } = self;
        let stream = &mut streams[which];
        while let Poll::Ready(Some(chunk)) = stream.subscriber.poll_chunk(&Context::from_waker(Waker::noop())) {
            for seen in stream.decoder.feed(&chunk.expect("nobody lags").bytes) {
                let Observed::Message(message) = seen else { continue };
                match message.name.as_str() {
                    "e" => {
                        let data: Value = serde_json::from_str(&message.data).expect("what was published");
                        let number = data["n"].as_u64().and_then(|number| usize::try_from(number).ok()).expect("n");
                        let (at, target) = &published[number];
                        assert!(number >= stream.from, "{number} came before the stream's beginning");
                        assert!(stream.heard.last().is_none_or(|last| *last < number), "{number} came late or twice");
                        assert!(stream.hearing(*at, target).contains(&true), "{number} is not for it: {target:?}");
                        stream.heard.push(number);
                    }
                    "connected" => {}
                    "disconnected" => assert!(stream.may_have_ended(), "{}", message.data),
                    other => panic!("{other}: {}", message.data),
                }
            }
        }
    }

    /// Each stream has heard everything that it was allowed to hear all the time.
    pub fn finish(&mut self) {
        self.settle();
        for which in 0..self.streams.len() {
            self.read(which);
            let stream = &self.streams[which];
            for (number, (at, target)) in self.published.iter().enumerate().skip(stream.from) {
                if !stream.may_have_ended() && stream.hearing(*at, target).iter().all(|hears| *hears) {
                    assert!(stream.heard.contains(&number), "{number} is missing: {target:?}");
                }
            }
        }
    }
}

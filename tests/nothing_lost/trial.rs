//! The setting of every test: two replicas at one broker, a crowd of browsers, and a publisher; at the end the judgement.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;

use crate::audit;
use crate::browser::{Browser, Page, Wants};
use crate::gateway::Gateway;
use crate::ledger::{Fate, Ledger};
use crate::promise::{History, Promise};
use crate::publisher::{self, EXCHANGE, Flow, Publisher};
use crate::relay::Relay;
use crate::replica::Replica;
use crate::support::deadline::eventually;
use crate::support::http1::Request;
use crate::support::rabbitmq::Node;
use crate::support::tokens::{Issuer, now};
use crate::support::website::{Reply, Website};
use crate::verdict::{Excerpt, Fault, conflicting_ids, judge};

pub const STREAM: &str = "nothing-lost";

/// Trials at one time; more would measure the machine.
const AT_ONCE: usize = 2;
static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// For a crowd to open, and to catch up at the end.
const CROWD_LIMIT: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(20);
/// Findings that a failure shows in full.
const SHOWN: usize = 3;
/// Messages shown before and after those that a browser has lost.
const AROUND: usize = 6;

/// What stands between browsers and the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    Nothing,
    /// A relay before each replica.
    Relays,
    /// One nginx, with an application behind the replicas.
    Gateway,
}

/// What kind of trial it is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub browsers: usize,
    pub per_second: u32,
    /// Of a hundred messages.
    pub for_everyone: u32,
    /// Bytes of each message beside its number.
    pub padding: usize,
    /// Further lines of the `[history]` section for a stream, and for memory.
    pub stream_settings: &'static str,
    pub memory_settings: &'static str,
    /// The broker itself breaks: what it has confirmed counts as kept only if its stream has it.
    pub broker_breaks: bool,
    /// A relay between each replica and the broker.
    pub relayed_link: bool,
    pub front: Front,
    /// Further lines of the `[server]` and the `[stream]` section.
    pub server_settings: &'static str,
    pub delivery_settings: &'static str,
}

impl Plan {
    pub const USUAL: Self = Self {
        browsers: 120,
        per_second: 400,
        for_everyone: 5,
        padding: 0,
        stream_settings: "",
        memory_settings: "",
        broker_breaks: false,
        relayed_link: false,
        front: Front::Nothing,
        server_settings: "drain_window = \"1s\"",
        delivery_settings: "",
    };
}

/// The gateway, and the application that it leads to through the replicas.
struct Entrance {
    gateway: Gateway,
    _application: Website,
}

pub struct Trial {
    pub history: History,
    pub vhost: String,
    pub replicas: [Replica; 2],
    pub ledger: Arc<Ledger>,
    pub browsers: Vec<Browser>,
    /// Of a plan that asked for it.
    entrance: Option<Entrance>,
    publisher: Option<Publisher>,
    url: String,
    broker_breaks: bool,
    seed: u64,
    rng: fastrand::Rng,
    issuer: Issuer,
    _turn: SemaphorePermit<'static>,
}

impl Trial {
    /// As [`Trial::start`], on the node that all trials share, which nobody disturbs.
    pub async fn on_shared_node(plan: Plan) -> Self {
        Self::start(std::slice::from_ref(Node::shared().await), plan).await
    }

    /// Everything started, every browser connected, messages flowing. `nodes` are of one cluster.
    pub async fn start(nodes: &[Node], plan: Plan) -> Self {
        let turn = TURNS.acquire().await.expect("never closed");
        let history = History::under_test();
        let seed =
            std::env::var("COTTONTAIL_TEST_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        let vhost = format!("v{:08x}", fastrand::u32(..));
        nodes[0].vhost(&vhost).await;
        let urls: Vec<String> = nodes.iter().map(|node| node.url("guest:guest", &vhost)).collect();
        publisher::declare_exchange(&urls[0]).await;
        let issuer = Issuer::hmac("HS256");
        let application = if plan.front == Front::Gateway { Some(application().await) } else { None };
        let replica = || replica(nodes, &urls, &issuer, history, plan, application.as_ref());
        let replicas = [replica().await, replica().await];
        let url = urls[0].clone();
        let flow = Flow {
            urls,
            users: plan.browsers.div_ceil(2),
            channels: plan.browsers.div_ceil(25).max(4),
            per_second: plan.per_second,
            for_everyone: plan.for_everyone,
            padding: plan.padding,
        };
        let mut rng = fastrand::Rng::with_seed(seed);
        let ledger = Arc::new(Ledger::default());
        let mut addresses = replicas.each_ref().map(Replica::address).to_vec();
        let mut entrance = None;
        if let Some(application) = application {
            let gateway = Gateway::start(&addresses).await;
            addresses = vec![gateway.address()];
            entrance = Some(Entrance { gateway, _application: application });
        }
        let browsers = crowd(&issuer, &addresses, &flow, plan.browsers, &mut rng);
        let publisher_rng = rng.fork();
        eventually_all("every browser to connect", &browsers, Browser::is_open).await;
        let publisher = Some(Publisher::start(flow, publisher_rng, Arc::clone(&ledger)));
        let broker_breaks = plan.broker_breaks;
        Self {
            history,
            vhost,
            replicas,
            ledger,
            browsers,
            entrance,
            publisher,
            url,
            broker_breaks,
            seed,
            rng,
            issuer,
            _turn: turn,
        }
    }

    /// Waits until `count` more messages were kept by the broker.
    pub async fn flows(&self, count: usize) {
        let until = self.ledger.kept() + count;
        eventually("messages to be published", async || (self.ledger.kept() >= until).then_some(())).await;
    }

    /// What the plan has asked to stand in front.
    pub fn gateway(&mut self) -> &mut Gateway {
        &mut self.entrance.as_mut().expect("the plan asked for a gateway").gateway
    }

    /// A replica, and what is in front of it.
    pub fn replica_and_gateway(&mut self, index: usize) -> (&mut Replica, &mut Gateway) {
        let entrance = self.entrance.as_mut().expect("the plan asked for a gateway");
        (&mut self.replicas[index], &mut entrance.gateway)
    }

    /// Where the replicas are.
    pub fn addresses(&self) -> [SocketAddr; 2] {
        self.replicas.each_ref().map(Replica::address)
    }

    /// A request for the events of `wants`.
    pub fn request(&self, target: &str, wants: &Wants) -> Request {
        Request::get(target).bearer(&tokens(&self.issuer, std::slice::from_ref(wants)).remove(0))
    }

    /// Opens one more browser, outside the crowd, that comes with `last_event_id`.
    pub fn open(&mut self, name: &str, request: Request, wants: &Wants, last_event_id: &str) -> Browser {
        Browser::open(Page {
            name: name.into(),
            wants: wants.clone(),
            replicas: Arc::new(self.addresses()),
            request,
            last_event_id: last_event_id.into(),
            rng: self.rng.fork(),
        })
    }

    /// Has everybody catch up, and judges every log.
    pub async fn finish(self, promise: Promise) {
        self.finish_with(promise, Vec::new()).await;
    }

    /// As [`Trial::finish`], together with `late` browsers: each has its own promise, and its messages begin at a number.
    pub async fn finish_with(mut self, promise: Promise, late: Vec<(Browser, Promise, usize)>) {
        let publisher = self.publisher.take().expect("only this takes it");
        publisher.close();
        let end = self.ledger.len();
        let caught_up = |browser: &Browser| browser.reached() > end;
        eventually_all("every browser to catch up", &self.browsers, caught_up).await;
        for (browser, ..) in &late {
            eventually_all("a late browser to catch up", std::slice::from_ref(browser), caught_up).await;
        }
        publisher.stop().await;
        let dropped = if self.broker_breaks && self.history == History::Stream { self.audit().await } else { 0 };
        let Self { ledger, seed, history, browsers, .. } = &self;
        let crowd = browsers.iter().map(|browser| (browser, promise, 0));
        let all = crowd.chain(late.iter().map(|(browser, promise, first)| (browser, *promise, *first)));
        let report = report(all, ledger, *history);
        assert!(report.is_empty(), "seed {seed}, {} messages, {dropped} dropped, {history:?}\n{report}", ledger.len());
    }

    async fn audit(&self) -> usize {
        let stored = audit::numbers(&self.url, STREAM, self.ledger.last_kept()).await;
        self.ledger.drop_all_but(&stored)
    }
}

async fn replica(
    nodes: &[Node],
    urls: &[String],
    issuer: &Issuer,
    history: History,
    plan: Plan,
    application: Option<&Website>,
) -> Replica {
    let mut urls = urls.to_vec();
    let mut link = None;
    if plan.relayed_link {
        let relay = Relay::start(SocketAddr::from(([127, 0, 0, 1], nodes[0].port))).await;
        urls = vec![urls[0].replace(&format!(":{}/", nodes[0].port), &format!(":{}/", relay.address().port()))];
        link = Some(relay);
    }
    let configuration = configuration(&urls, issuer, history, plan, application);
    Replica::start(configuration, link, plan.front == Front::Relays).await
}

fn configuration(
    urls: &[String],
    issuer: &Issuer,
    history: History,
    plan: Plan,
    application: Option<&Website>,
) -> String {
    let further = match history {
        History::Memory => plan.memory_settings,
        History::Stream => plan.stream_settings,
    };
    let upstream = application.map_or_else(String::new, |site| format!("[upstream]\nurl = \"{}\"", site.url("")));
    format!(
        r#"
[server]
threads = 2
grace = "10s"
{server}

[admin]
ready_needs_broker = true

[log]
format = "json"
level = "info"

[broker]
urls = {urls:?}
exchange = "{EXCHANGE}"
heartbeat = "1s"
connect_timeout = "5s"
reconnect_min = "50ms"
reconnect_max = "500ms"

[history]
{history}
{further}

[stream]
retry = "200ms"
heartbeat = "1s"
{delivery}

{upstream}

[[auth.issuer]]
algorithms = ["{algorithm}"]
secret = "{secret}"

[[endpoint]]
path = "/events"

[[mapping]]
routing_key = "user.{{user}}.{{event}}"
user = "{{user}}"
event = "{{event}}"

[[mapping]]
routing_key = "channel.{{channel}}"
channel = "{{channel}}"
event = "count"

[[mapping]]
routing_key = "announce.{{event}}"
everyone = true
event = "{{event}}"
"#,
        server = plan.server_settings,
        delivery = plan.delivery_settings,
        history = history.settings(STREAM),
        algorithm = issuer.algorithm(),
        secret = issuer.secret(),
    )
}

/// The application tells what it was asked for.
async fn application() -> Website {
    Website::start(|asked| Reply::new(200).body(asked.target.clone())).await
}

fn tokens(issuer: &Issuer, wants: &[Wants]) -> Vec<String> {
    let claims: Vec<_> = wants
        .iter()
        .map(|wants| {
            let channels: Vec<_> = wants.channels.iter().map(|channel| format!("c{channel}")).collect();
            json!({ "sub": format!("u{}", wants.user), "channels": channels, "exp": now() + 3600 })
        })
        .collect();
    issuer.sign_all(&claims, &json!({}))
}

/// Two browsers for each user, each with two channels.
fn crowd(issuer: &Issuer, replicas: &[SocketAddr], flow: &Flow, count: usize, rng: &mut fastrand::Rng) -> Vec<Browser> {
    let wants: Vec<_> = (0..count)
        .map(|number| {
            let channel = rng.usize(..flow.channels);
            Wants { user: number % flow.users, channels: vec![channel, (channel + 1) % flow.channels] }
        })
        .collect();
    let replicas: Arc<[SocketAddr]> = replicas.into();
    let pages = tokens(issuer, &wants).into_iter().zip(wants).enumerate();
    pages
        .map(|(number, (token, wants))| {
            Browser::open(Page {
                name: format!("browser {number}"),
                wants,
                replicas: Arc::clone(&replicas),
                request: Request::get("/events").bearer(&token),
                last_event_id: String::new(),
                rng: rng.fork(),
            })
        })
        .collect()
}

/// Waits for all browsers, or fails with the end of the log of one that is missing.
async fn eventually_all(what: &str, browsers: &[Browser], holds: impl Fn(&Browser) -> bool) {
    let deadline = Instant::now() + CROWD_LIMIT;
    let mut missing: Vec<&Browser> = browsers.iter().collect();
    loop {
        missing.retain(|browser| !holds(browser));
        let Some(first) = missing.first() else { return };
        if Instant::now() > deadline {
            let log = first.log();
            let end = Excerpt(&log, log.len().saturating_sub(1));
            let (count, name, wants) = (missing.len(), &first.name, &first.wants);
            panic!("not within {CROWD_LIMIT:?}: {what}; {count} are missing, such as {name} {wants:?}:\n{end}");
        }
        sleep(GLANCE).await;
    }
}

/// What is wrong with any log; empty when nothing is.
fn report<'a>(
    browsers: impl Iterator<Item = (&'a Browser, Promise, usize)>,
    ledger: &Ledger,
    history: History,
) -> String {
    let mut report = String::new();
    let mut known = HashMap::new();
    let (mut faulty, mut shown) = (0, 0);
    for (browser, promise, first) in browsers {
        let log = browser.log();
        let due: Vec<(usize, Fate)> = ledger.due(first, |topic| browser.wants.want(topic));
        let mut found = judge(&log, &due, promise).into_iter();
        faulty += usize::from(found.len() > 0);
        for finding in found.by_ref().take(SHOWN.saturating_sub(shown)) {
            shown += 1;
            let excerpt = Excerpt(&log, finding.place);
            writeln!(report, "{} {:?}: {:?}\n{excerpt}", browser.name, browser.wants, finding.fault).unwrap();
            if let Fault::Lost { first, last, .. } = finding.fault {
                // Which keys were missed, and which were not, tells much about where.
                for (number, topic, fate) in ledger.between(first.saturating_sub(AROUND), last + AROUND) {
                    let due = if browser.wants.want(topic) { ", due" } else { "" };
                    writeln!(report, "      {number} {topic:?} {fate:?}{due}").unwrap();
                }
            }
        }
        // In memory each replica counts for itself.
        if history == History::Stream {
            for (number, one, other) in conflicting_ids(&mut known, &log).into_iter().take(1) {
                writeln!(report, "{}: message {number} has the ids {one} and {other}", browser.name).unwrap();
            }
        }
    }
    if faulty > 0 {
        writeln!(report, "browsers with faults: {faulty}").unwrap();
    }
    report
}

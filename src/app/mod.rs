//! Wiring: builds the rooms from a plan, binds, starts the long-lived tasks, and ends them in order.

mod live;
mod plan;
mod reload;
mod stoppable;

use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use live::{Knowing, Live, Tasks, site_settings};
use metrics_exporter_prometheus::PrometheusHandle;
use plan::Rooms;
use stoppable::Stoppable;

pub use plan::Plan;
pub use reload::Reloader;

use crate::auth::Revocations;
use crate::broker::{Exchange, LinkStatus, OrderIntake, Pipeline, WithOrders};
use crate::config::{Config, Sources, WatchedFiles};
use crate::control::Control;
use crate::hub::{self, MAX_SHARDS, Overview, ShardSeed};
use crate::server::{self, Admin, Fallback, Readiness, ServerConfig, Site, Sites, Tls, Upstream, Worker};
use crate::shutdown::{Drain, DrainHandle};
use crate::telemetry;

/// How often measured values are folded into their histograms.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// How long a drain's last streams may take to leave.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// Where messages come from.
#[derive(Debug)]
pub enum Source {
    /// The RabbitMQ exchange of the plan.
    Broker,
    /// An exchange in this process.
    Exchange(Exchange),
}

/// Why the program could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address} ({setting}): {source}")]
    Listen { setting: &'static str, address: SocketAddr, source: io::Error },
    #[error("cannot start a worker thread: {0}")]
    Worker(io::Error),
}

/// The running program.
#[derive(Debug)]
pub struct App {
    server: SocketAddr,
    admin: SocketAddr,
    /// None once it is kept as its sources have it.
    live: Option<(Live, WatchedFiles)>,
    overview: Overview,
    failed: Arc<Notify>,
    drain: Drain,
    grace: Duration,
    source: Stoppable,
    /// None when nobody is told of users who come and go.
    presence: Option<Stoppable>,
    /// What is ended without ado once everything else has ended.
    upkeep: Vec<JoinHandle<()>>,
}

impl App {
    /// Binds both listeners and starts everything; must be called within a tokio runtime, which carries the source and
    /// the admin listener, while browsers are served by worker threads.
    ///
    /// # Errors
    /// When an address cannot be listened on or a thread cannot be started; then nothing goes on running.
    pub fn start(plan: Plan, source: Source, fallback: Option<Arc<dyn Fallback>>) -> Result<Self, StartError> {
        // First, since what is counted is looked up once.
        let metrics = telemetry::metrics();
        let Plan { config, rooms, file, .. } = plan;
        let Rooms { mappings, authenticator, sources, forward, mut link, orders, trusted, presence, proxy, tls } =
            rooms;
        let tls = tls.map(Arc::new);
        let fallback = fallback.or_else(|| proxy.map(|seed| Arc::new(Upstream(seed)) as Arc<dyn Fallback>));
        let threads = worker_threads(&config);
        let Listening { listeners, server, admin_listener, admin } = Listening::open(&config, threads)?;
        let (archive, replay) = match &source {
            Source::Broker => link.replay(&mappings, &config.control.disconnect).unzip(),
            Source::Exchange(_) => (None, None),
        };
        let archive = archive.map(|archive| Arc::new(archive) as Arc<dyn hub::Archive>);
        let (publisher, seeds, overview) = hub::open(&config.history, &config.stream, archive, threads);
        let revocations = Arc::new(Revocations::new(config.control.max_revoked));
        let recalls = Arc::default();
        let Knowing { keys, sessions } = Knowing::new(authenticator, sources, forward, &revocations, &recalls);
        let control = Control::new(&config.control, overview.orders(), Arc::clone(&revocations), Arc::clone(&recalls));
        let site = Site::new(site_settings(&config), Arc::clone(&keys), sessions, overview.orders(), trusted, fallback);
        let sites = Sites::new(site);
        let drain = Drain::new();
        let presence = presence.filter(|_| matches!(source, Source::Broker)).map(|publisher| {
            let (presence, drain) = (overview.presence(), drain.handle());
            Stoppable::spawn(|stop| publisher.run(presence, drain, stop))
        });
        let failed = Arc::new(Notify::new());
        start_workers(listeners, seeds, &sites, &config, tls.as_ref(), &drain, &failed).map_err(StartError::Worker)?;

        let publisher = publisher.counting(mappings.table().event_names());
        let remembered = config.history.dedupe_message_ids;
        let order_key = &config.control.disconnect;
        let pipeline = Pipeline::new(mappings.clone(), publisher, config.broker.max_message_bytes, remembered)
            .withholding(order_key);
        let replay = replay.map(|replay| tokio::spawn(replay.run()));
        // Nothing binds an exchange in this process anew.
        let bindings = link.bindings().filter(|_| matches!(source, Source::Broker));
        let rechecks = tokio::spawn(server::recheck_sessions(overview.orders(), sites.clone()));
        let (status, source, orders) = match source {
            Source::Broker => {
                let orders = orders.map(|link| tokio::spawn(link.run(OrderIntake::new(control.clone()), pending())));
                (link.status(), Stoppable::spawn(|stop| link.run(pipeline, stop)), orders)
            }
            Source::Exchange(exchange) => {
                let orders = (!order_key.is_empty()).then(|| (order_key.clone(), OrderIntake::new(control.clone())));
                let intake = WithOrders { events: pipeline, orders };
                (exchange.status(), Stoppable::spawn(|stop| exchange.run(intake, stop)), None)
            }
        };
        let watch = tls.map(|tls| tokio::spawn(tls.watch()));
        let keys = Tasks(keys.start());
        let (grace, view) = (config.server.grace.0, overview.clone());
        let live = Live { config, overview, revocations, recalls, mappings, bindings, sites, keys };
        let upkeep = start_admin(admin_listener, metrics, &live, control, drain.handle(), status)
            .into_iter()
            .chain(replay)
            .chain(orders)
            .chain(watch)
            .chain([rechecks])
            .collect();
        tracing::info!(%server, %admin, threads, "listening");
        Ok(Self {
            server,
            admin,
            live: Some((live, file)),
            overview: view,
            failed,
            drain,
            grace,
            source,
            presence,
            upkeep,
        })
    }

    /// What takes over new configurations from `sources`; none the second time.
    ///
    /// # Errors
    /// When the system takes no handler for SIGHUP.
    pub fn reloader(&mut self, sources: Sources) -> io::Result<Option<Reloader>> {
        self.live.take().map(|(live, file)| Reloader::new(live, sources, file)).transpose()
    }

    /// Where browsers are listened to.
    #[must_use]
    pub const fn server(&self) -> SocketAddr {
        self.server
    }

    /// Where operators are listened to.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// A view of the streams that are open.
    #[must_use]
    pub const fn overview(&self) -> &Overview {
        &self.overview
    }

    /// Resolves when a part of the program has broken that it cannot do without. Cancel-safe.
    pub async fn failed(&self) {
        self.failed.notified().await;
    }

    /// Ends in order: not ready, no new connections, streams in batches, requests that are under way, the source, and the
    /// last word on who was there.
    ///
    /// Events go on until the last stream has ended. Returns within the grace time whatever is still open.
    pub async fn stop(self) {
        let Self { drain, grace, source, presence, upkeep, overview, .. } = self;
        tracing::info!(streams = overview.streams(), "draining");
        let orderly = async {
            drain.close().await;
            source.end().await;
            if let Some(presence) = presence {
                presence.end().await;
            }
        };
        match timeout(grace, orderly).await {
            Ok(()) => tracing::info!("stopped"),
            Err(_elapsed) => tracing::warn!(streams = overview.streams(), "stopped at the end of the grace time"),
        }
        for task in upkeep {
            task.abort();
        }
    }
}

/// Sockets that are bound, and where.
struct Listening {
    listeners: Vec<TcpListener>,
    server: SocketAddr,
    admin_listener: TcpListener,
    admin: SocketAddr,
}

impl Listening {
    fn open(config: &Config, threads: usize) -> Result<Self, StartError> {
        let bind = |setting, address, count| {
            server::bind(address, count).map_err(|source| StartError::Listen { setting, address, source })
        };
        let listeners = bind("server.listen", config.server.listen, threads)?;
        let admin_listener = bind("admin.listen", config.admin.listen, 1)?.remove(0);
        let server = listeners[0].local_addr().map_err(StartError::Worker)?;
        let admin = admin_listener.local_addr().map_err(StartError::Worker)?;
        Ok(Self { listeners, server, admin_listener, admin })
    }
}

/// One worker per core that this process may use, unless the configuration says how many.
fn worker_threads(config: &Config) -> usize {
    let threads = match config.server.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    threads.min(MAX_SHARDS)
}

fn start_workers(
    listeners: Vec<TcpListener>,
    seeds: Vec<ShardSeed>,
    sites: &Sites,
    config: &Config,
    tls: Option<&Arc<Tls>>,
    drain: &Drain,
    failed: &Arc<Notify>,
) -> io::Result<()> {
    let connections = Arc::new(AtomicUsize::new(0));
    let open_files = server::raise_descriptor_limit();
    let settings = ServerConfig { max_connections: connections_within(config, open_files), ..config.server.clone() };
    for (number, (listener, seed)) in listeners.into_iter().zip(seeds).enumerate() {
        let worker = Worker {
            listener,
            seed,
            sites: sites.clone(),
            settings: settings.clone(),
            connections: Arc::clone(&connections),
            tls: tls.cloned(),
            write_timeout: config.stream.write_timeout.0,
            drain: drain.watch(),
            failed: Arc::clone(failed),
        };
        // The thread's end is counted by the drain.
        let _thread = worker.start(number)?;
    }
    Ok(())
}

/// The connections that the configuration allows, as far as descriptors do: some are kept for everything else, so that
/// operators and the broker are reached when browsers have taken the rest.
fn connections_within(config: &Config, open_files: Option<u64>) -> usize {
    const KEPT: u64 = 64;
    let wanted = config.server.max_connections;
    let possible =
        open_files.map_or(usize::MAX, |limit| usize::try_from(limit.saturating_sub(KEPT)).unwrap_or(usize::MAX));
    if possible < wanted {
        tracing::info!(
            open_files,
            connections = possible,
            "the limit of open files allows fewer connections than server.max_connections"
        );
    }
    wanted.min(possible.max(1))
}

fn start_admin(
    listener: TcpListener,
    metrics: PrometheusHandle,
    live: &Live,
    control: Control,
    drain: DrainHandle,
    status: LinkStatus,
) -> [JoinHandle<()>; 2] {
    let Live { config, overview, .. } = live;
    let needs_broker = config.admin.ready_needs_broker;
    let (link, draining) = (status.clone(), drain.clone());
    let readiness = move || {
        if draining.begun().is_some() {
            Readiness::NotReady("draining")
        } else if needs_broker && !link.is_connected() {
            Readiness::NotReady("broker away")
        } else {
            Readiness::Ready
        }
    };
    let admin = Admin {
        metrics: metrics.clone(),
        overview: overview.clone(),
        control,
        readiness: Arc::new(readiness),
        broker: Arc::new(move || status.is_connected()),
        drain,
        drain_time: config.server.drain_delay.0 + config.server.drain_window.0 + LAST_BYTES,
        explainer: live.explainer(),
    };
    let serving = tokio::spawn(async move {
        if let Err(error) = admin.serve(listener).await {
            tracing::error!(%error, "the admin listener ended");
        }
    });
    let upkeep = tokio::spawn(async move {
        let mut ticks = interval(METRICS_UPKEEP);
        loop {
            ticks.tick().await;
            metrics.run_upkeep();
        }
    });
    [serving, upkeep]
}

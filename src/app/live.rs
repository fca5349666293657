//! What a new configuration replaces while the program runs, and the order in which it does; who brings one is not known here.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::plan::{Plan, Rooms};
use crate::auth::Revocations;
use crate::broker::Bindings;
use crate::config::{Changes, Config};
use crate::explain::Explainer;
use crate::hub::{Busy, Overview};
use crate::provider::Keys;
use crate::provider::session::{Recalls, Sessions};
use crate::routing::Mappings;
use crate::server::{self, Site, SiteSettings, Sites};
use crate::telemetry;

/// Time for every worker to judge its streams.
const JUDGED_LIMIT: Duration = Duration::from_secs(10);

/// The configuration in force, and the rooms that can take another.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) config: Config,
    pub(super) overview: Overview,
    pub(super) revocations: Arc<Revocations>,
    pub(super) recalls: Arc<Recalls>,
    pub(super) mappings: Mappings,
    /// None where messages do not come from a broker.
    pub(super) bindings: Option<Bindings>,
    pub(super) sites: Sites,
    pub(super) keys: Tasks,
}

/// Tasks that end with this.
#[derive(Debug)]
pub(super) struct Tasks(pub(super) Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Who knows the issuers' keys and who asks about sessions.
pub(super) struct Knowing {
    pub(super) keys: Arc<Keys>,
    pub(super) sessions: Option<Arc<Sessions>>,
}

impl Knowing {
    /// Nothing is fetched yet.
    pub(super) fn new(
        authenticator: crate::auth::Authenticator,
        sources: crate::provider::KeySources,
        forward: Option<crate::provider::session::Forward>,
        revocations: &Arc<Revocations>,
        recalls: &Arc<Recalls>,
    ) -> Self {
        let keys = Arc::new(sources.keep(authenticator.revoking(Arc::clone(revocations))));
        let sessions =
            forward.map(|forward| Arc::new(Sessions::new(forward, keys.authenticator(), Arc::clone(recalls))));
        Self { keys, sessions }
    }
}

/// The sections that a site is made of.
pub(super) fn site_settings(config: &Config) -> SiteSettings<'_> {
    let Config { endpoint, cors, auth, stream, .. } = config;
    SiteSettings { endpoints: endpoint, cors, auth, stream }
}

impl Live {
    /// What says why somebody would get a message, by the configuration in force.
    pub(super) fn explainer(&self) -> Arc<dyn Fn() -> Explainer + Send + Sync> {
        let (sites, mappings) = (self.sites.clone(), self.mappings.clone());
        Arc::new(move || Explainer::new(sites.current().authenticator(), mappings.clone()))
    }

    /// Takes over what of `plan` takes effect without a restart, and says what does not. No stream is ended but those
    /// whose identity counts no more.
    pub(super) async fn change_to(&mut self, plan: Plan) -> Changes {
        let Plan { config, rooms, .. } = plan;
        let changes = self.config.changes(&config);
        let config = self.config.adopting(&config);
        let is_changed = |section: &str| changes.live.iter().any(|key| key.split('.').next() == Some(section));
        let Rooms { mappings, authenticator, sources, forward, .. } = rooms;
        if is_changed("mapping") || is_changed("stream") {
            let table = mappings.table();
            // Bound before the table is used, so that no message of a new mapping is missed.
            if let Some(bindings) = &mut self.bindings
                && let Err(key) = bindings.replace(&table.binding_keys()).await
            {
                tracing::warn!(key, "a binding key is too long to be bound");
            }
            self.mappings.replace(table);
        }
        self.overview.hold_to(&config.stream);
        if is_changed("log") {
            // It was checked with the rest.
            let _set = telemetry::set_level(&config.log.level);
            telemetry::set_format(config.log.format);
        }
        let knowing =
            is_changed("auth").then(|| Knowing::new(authenticator, sources, forward, &self.revocations, &self.recalls));
        if let Some(Knowing { keys, .. }) = &knowing {
            keys.authenticator().inherit(&self.sites.current().authenticator());
        }
        self.replace_site(&config, knowing);
        if is_changed("auth") || is_changed("endpoint") {
            self.reconsider().await;
        }
        self.config = config;
        telemetry::config::loaded(true, SystemTime::now());
        changes
    }

    /// Has open streams judged by the site in force, as soon as there is room for that among their orders.
    async fn reconsider(&self) {
        let orders = self.overview.orders();
        loop {
            let sites = self.sites.clone();
            match server::reconsider(&orders, move || sites.current().authenticator()) {
                Ok(judged) => {
                    // A worker that is as busy as that does it when it comes to it.
                    let _in_time = timeout(JUDGED_LIMIT, judged).await;
                    return;
                }
                Err(Busy) => orders.room().await,
            }
        }
    }

    fn replace_site(&mut self, config: &Config, knowing: Option<Knowing>) {
        let site = self.sites.current();
        let settings = site_settings(config);
        let site: Site = match &knowing {
            Some(Knowing { keys, sessions }) => site.changed_to(settings, Arc::clone(keys), sessions.clone()),
            None => site.with_settings(settings),
        };
        self.sites.replace(site);
        if let Some(Knowing { keys, .. }) = knowing {
            self.keys = Tasks(keys.start());
        }
    }
}

//! A configuration made ready to run: everything that can be wrong with it is found here, before anything starts.

use std::sync::Arc;

use crate::auth::Authenticator;
use crate::broker::{Link, PresencePublisher};
use crate::config::{Config, Draft, Sources, WatchedFiles};
use crate::explain::Explainer;
use crate::provider::KeySources;
use crate::provider::session::Forward;
use crate::proxy::{ProxySeed, Trusted};
use crate::routing::{MappingTable, Mappings};
use crate::server::Tls;
use crate::setting::Fault;

/// What a configuration comes to, with nothing started yet.
#[derive(Debug)]
pub struct Plan {
    pub(super) config: Config,
    pub(super) rooms: Rooms,
    /// The file that was read, as it was just before.
    pub(super) file: WatchedFiles,
    warnings: Vec<Fault>,
}

/// The rooms that compile their settings.
pub(super) struct Rooms {
    pub(super) mappings: Mappings,
    pub(super) authenticator: Authenticator,
    pub(super) sources: KeySources,
    /// None without `auth.forward.url`.
    pub(super) forward: Option<Forward>,
    pub(super) link: Link,
    /// None where there are no orders.
    pub(super) orders: Option<Link>,
    pub(super) trusted: Trusted,
    /// None without `presence.exchange`.
    pub(super) presence: Option<PresencePublisher>,
    /// None without `upstream.url`.
    pub(super) proxy: Option<ProxySeed>,
    /// None where browsers are spoken to without TLS.
    pub(super) tls: Option<Tls>,
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").finish_non_exhaustive()
    }
}

impl Rooms {
    /// Builds every room, or says everything that is wrong with any of them.
    fn build(config: &Config) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut collect = |found: Vec<Fault>| faults.extend(found);
        let table = MappingTable::compile(&config.mapping, &config.stream.reserved_prefix).map_err(&mut collect).ok();
        let authenticator = Authenticator::load(&config.auth).map_err(&mut collect).ok();
        let sources = KeySources::new(&config.auth).map_err(&mut collect).ok();
        let forward = Forward::new(&config.auth.forward).map_err(&mut collect).ok();
        let keys = table.as_ref().map(MappingTable::binding_keys).unwrap_or_default();
        let link = Link::new(&config.broker, &config.history, keys).map_err(&mut collect).ok();
        // What is wrong with the one is wrong with the other, and said once.
        let orders = link.as_ref().and_then(|_| {
            Link::for_orders(&config.broker, &config.history, &config.control).map_err(&mut collect).ok()
        });
        let presence = PresencePublisher::new(&config.presence, &config.broker).map_err(&mut collect).ok();
        // Its faults are among the proxy's.
        let trusted = Trusted::parse(&config.server.trusted_proxies).unwrap_or_default();
        let proxy = ProxySeed::new(&config.upstream, &config.server.trusted_proxies).map_err(&mut collect).ok();
        let tls = Tls::load(&config.server.tls).map_err(&mut collect).ok();
        let compiled = (table.map(Mappings::new), authenticator, sources, forward, link, orders, presence, proxy, tls);
        let (
            Some(mappings),
            Some(authenticator),
            Some(sources),
            Some(forward),
            Some(link),
            Some(orders),
            Some(presence),
            Some(proxy),
            Some(tls),
        ) = compiled
        else {
            return Err(faults);
        };
        Ok(Self { mappings, authenticator, sources, forward, link, orders, trusted, presence, proxy, tls })
    }
}

impl Plan {
    /// Loads the configuration and makes it ready, reading the files that it names.
    ///
    /// # Errors
    /// Every fault of every section, each with the place where it is written.
    pub fn load(sources: &Sources) -> Result<Self, Vec<Fault>> {
        let file = sources.watched();
        let mut draft = Draft::read(sources);
        let rooms = Rooms::build(draft.config()).map_err(|faults| draft.report(faults));
        let loaded = draft.finish()?;
        // Without rooms the draft has their faults, and does not finish.
        let rooms = rooms.map_err(|()| Vec::new())?;
        let warnings =
            rooms.mappings.table().unreachable().into_iter().map(|warning| loaded.origins.locate(warning)).collect();
        Ok(Self { config: loaded.config, rooms, file, warnings })
    }

    /// Makes a configuration ready that was written in code.
    ///
    /// # Errors
    /// Every fault of every section.
    pub fn new(config: Config) -> Result<Self, Vec<Fault>> {
        let faults = config.validate();
        if !faults.is_empty() {
            return Err(faults);
        }
        let rooms = Rooms::build(&config)?;
        let warnings = rooms.mappings.table().unreachable();
        Ok(Self { config, rooms, file: WatchedFiles::default(), warnings })
    }

    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The AMQP binding keys that the mappings come to.
    #[must_use]
    pub fn binding_keys(&self) -> Vec<String> {
        self.rooms.mappings.table().binding_keys()
    }

    /// What says why somebody would get the events of a message, or not.
    #[must_use]
    pub fn into_explainer(self) -> Explainer {
        Explainer::new(Arc::new(self.rooms.authenticator), self.rooms.mappings)
    }

    /// What is not wrong and still hardly meant.
    #[must_use]
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_changes_after_it_was_read_is_seen_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let settings = "[auth]\nanonymous = true\n[[mapping]]\nrouting_key = \"#\"\neveryone = true\n";
        fs::write(&path, settings).unwrap();
        let mut plan = Plan::load(&Sources { file: Some(path.clone()), ..Sources::default() }).unwrap();
        assert!(!plan.file.changed());
        fs::write(&path, format!("{settings}event = \"news\"\n")).unwrap();
        assert!(plan.file.changed());
    }
}

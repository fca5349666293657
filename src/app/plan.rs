//! A configuration made ready to run: everything that can be wrong with it is found here, before anything starts.

use std::sync::Arc;

use crate::auth::Authenticator;
use crate::broker::Link;
use crate::config::Config;
use crate::routing::MappingTable;
use crate::setting::Fault;

/// What a configuration comes to, with nothing started yet.
#[derive(Debug)]
pub struct Plan {
    pub(super) config: Config,
    pub(super) table: Arc<MappingTable>,
    pub(super) authenticator: Authenticator,
    pub(super) link: Link,
}

impl Plan {
    /// Makes `config` ready, reading the files that it names.
    ///
    /// # Errors
    /// Every fault of every section.
    pub fn new(config: Config) -> Result<Self, Vec<Fault>> {
        let mut faults = config.validate();
        let table = MappingTable::compile(&config.mapping, &config.stream.reserved_prefix)
            .map_err(|found| faults.extend(found))
            .ok();
        let authenticator = Authenticator::load(&config.auth).map_err(|found| faults.extend(found)).ok();
        let keys = table.as_ref().map(MappingTable::binding_keys).unwrap_or_default();
        let link = Link::new(&config.broker, keys).map_err(|found| faults.extend(found)).ok();
        match (table, authenticator, link) {
            (Some(table), Some(authenticator), Some(link)) if faults.is_empty() => {
                Ok(Self { config, table: Arc::new(table), authenticator, link })
            }
            _ => Err(faults),
        }
    }

    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The AMQP binding keys that the mappings come to.
    #[must_use]
    pub fn binding_keys(&self) -> Vec<String> {
        self.table.binding_keys()
    }

    /// What is not wrong and still hardly meant.
    #[must_use]
    pub fn warnings(&self) -> Vec<Fault> {
        self.table.unreachable()
    }
}

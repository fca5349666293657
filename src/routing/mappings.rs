//! The table in force, which may be replaced while messages come; what a table does is not known here.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::table::MappingTable;

/// A handle to the table in force. Whoever has a clone sees the same one.
#[derive(Clone, Debug)]
pub struct Mappings(Arc<ArcSwap<MappingTable>>);

impl Mappings {
    #[must_use]
    pub fn new(table: MappingTable) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(table)))
    }

    #[must_use]
    pub fn table(&self) -> Arc<MappingTable> {
        self.0.load_full()
    }

    /// Puts another table in force for every message from the next one on.
    pub fn replace(&self, table: Arc<MappingTable>) {
        self.0.store(table);
    }
}

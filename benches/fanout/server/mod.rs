//! The server process: the benchmark's binary again, in one of its roles.

pub mod bare;
mod bare_topic;
pub mod cottontail;
pub mod publisher;

use crate::failure::Failure;
use crate::options::{Inject, Role};

/// Serves as `role` until standard input ends.
pub fn run(role: Role, threads: usize, inject: Option<Inject>) -> Result<(), Failure> {
    match role {
        Role::Bare | Role::BareMerged => {
            let mut bare = bare::start(threads, role == Role::BareMerged)?;
            publisher::obey(bare.address(), &mut bare, inject)
        }
        Role::Cottontail => {
            let mut cottontail = cottontail::start(threads)?;
            publisher::obey(cottontail.address(), &mut cottontail, inject)
        }
    }
}

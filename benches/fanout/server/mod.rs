//! The server process: the benchmark's binary again, in one of its roles.

pub mod bare;
mod bare_topic;
pub mod cottontail;
mod daemon;
pub mod nchan;
mod post;
pub mod publisher;
mod pushpin;
mod rabbitmq;

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
        Role::CottontailRabbitmq => {
            let mut cottontail = rabbitmq::start(threads)?;
            publisher::obey(cottontail.address(), &mut cottontail, inject)
        }
        Role::Nchan => {
            let mut nchan = nchan::start(threads)?;
            publisher::obey(nchan.address(), &mut nchan, inject)
        }
        Role::Pushpin => {
            let mut pushpin = pushpin::start()?;
            publisher::obey(pushpin.address(), &mut pushpin, inject)
        }
        Role::Node => Err(Failure::Server("Node is a program of its own".into())),
    }
}

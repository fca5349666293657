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
use crate::signing::{Key, Signing};

/// Serves as `role` until standard input ends; `key` verifies the tokens where there are any.
pub fn run(role: Role, threads: usize, inject: Option<Inject>, key: Option<&str>) -> Result<(), Failure> {
    let key = || key.map_or_else(|| Signing::Hs256.key(), str::parse::<Key>);
    match role {
        Role::Bare | Role::BareMerged => {
            let mut bare = bare::start(threads, role == Role::BareMerged)?;
            publisher::obey(bare.address(), &mut bare, inject)
        }
        Role::Cottontail => {
            let mut cottontail = cottontail::start(threads, &key()?)?;
            publisher::obey(cottontail.address(), &mut cottontail, inject)
        }
        Role::CottontailRabbitmq => {
            let mut cottontail = rabbitmq::start(threads, &key()?)?;
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

//! The listening sockets: one a worker on the same address (`SO_REUSEPORT`), so that the kernel spreads connections; and the descriptors for what they accept.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps ready while a worker is busy, as far as `net.core.somaxconn` allows it.
const BACKLOG: i32 = 4096;

/// `count` listeners on one address; port 0 is chosen once for all of them.
///
/// # Errors
/// When the address is in use or not this machine's.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let first = listen(address)?;
    let bound = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        let next = listen(bound).or_else(|_| listeners[0].try_clone())?;
        listeners.push(next);
    }
    Ok(listeners)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Where it is refused, the workers share one listener.
    let _shared = socket.set_reuse_port(true);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Raises this process's limit of open files to the most it may have, and returns it; each connection takes one.
pub fn raise_descriptor_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves the limit as it is, which the log then shows.
    let _raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current
}

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
/// When the address is in use, by another process of this program as well, or not this machine's.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if count == 1 {
        return Ok(vec![listen(address, false)?]);
    }
    // Without sharing first: two processes that share a port would each get a part of the connections, in silence.
    let alone = listen(address, false)?;
    let bound = alone.local_addr()?;
    drop(alone);
    let first = listen(bound, true)?;
    let mut listeners = vec![first];
    for _ in 1..count {
        // Where sharing is refused, the workers take turns at one listener.
        let next = listen(bound, true).or_else(|_| listeners[0].try_clone())?;
        listeners.push(next);
    }
    Ok(listeners)
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        let _shared = socket.set_reuse_port(true);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_and_processes_do_not() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        for count in [1, 3] {
            let listeners = bind(address, count).expect("a free port");
            assert_eq!(listeners.len(), count);
            let bound = listeners[0].local_addr().expect("bound");
            assert!(listeners.iter().all(|listener| listener.local_addr().expect("bound") == bound));
            for others in [1, 3] {
                let refused = bind(bound, others).expect_err("the port is taken");
                assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
            }
        }
    }
}

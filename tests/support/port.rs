//! Ports for what cannot be told to choose one by itself, or is to listen later.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::sync::Mutex;

/// A free TCP port of the loopback, outside the range that outgoing connections are given. Until this process ends no
/// other test is given it, be it one of another process: a node takes seconds before it listens, and lets go of its port
/// when it is stopped.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    loop {
        let port = fastrand::u16(20_000..32_000);
        // An abstract name goes with the process that holds it.
        let name = UnixAddress::from_abstract_name(format!("cottontail-test-port-{port}")).expect("a short name");
        let Ok(claim) = UnixListener::bind_addr(&name) else { continue };
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            GIVEN.lock().expect("no panic while held").push(claim);
            return port;
        }
    }
}

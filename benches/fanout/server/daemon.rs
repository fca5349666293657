//! A peer's program as a child of this process: its directory, its ports, and that it ends when this process does.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::failure::Failure;

const START: Duration = Duration::from_secs(20);
const BACKLOG: i32 = 4096;
/// What the program prints, in its directory.
const OUTPUT: &str = "output";
/// Its standard input closes when our process is gone, however it went.
const KEEPER: &str = "\"$@\" </dev/null >output 2>&1 & child=$!; read -r _; kill -TERM $child; wait $child";

/// A running program with a directory of its own; both are gone when this is dropped.
pub struct Daemon {
    keeper: Child,
    stdin: Option<ChildStdin>,
    directory: TempDir,
}

/// A directory for a program's configuration and state, open to the user that it may change to.
pub fn directory(name: &str) -> Result<TempDir, Failure> {
    let directory = tempfile::Builder::new().prefix(&format!("bench-{name}-")).tempdir()?;
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(directory)
}

/// An address of loopback that was free a moment ago.
pub fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

/// A listener on loopback that does not refuse a crowd.
pub fn listen() -> Result<TcpListener, Failure> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Daemon {
    /// Starts `program`.
    pub fn spawn(directory: TempDir, program: &str, arguments: &[&str]) -> Result<Self, Failure> {
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh", program]).args(arguments).current_dir(directory.path());
        // What the shell says of its child's end is no news.
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let stdin = keeper.stdin.take();
        Ok(Self { keeper, stdin, directory })
    }

    /// Starts `program` and waits until `address` takes connections.
    pub fn start(directory: TempDir, program: &str, arguments: &[&str], address: SocketAddr) -> Result<Self, Failure> {
        let daemon = Self::spawn(directory, program, arguments)?;
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if start.elapsed() > START {
                let output = fs::read_to_string(daemon.directory.path().join(OUTPUT)).unwrap_or_default();
                return Err(Failure::Server(format!("{program} does not listen: {output}")));
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It fails only for a process that is gone already.
        let _ = self.keeper.wait();
    }
}

/// Writes a configuration file and gives its path as text.
pub fn write(directory: &Path, file: &str, text: &str) -> Result<String, Failure> {
    let path = directory.join(file);
    fs::write(&path, text)?;
    Ok(path.to_string_lossy().into_owned())
}

//! A real RabbitMQ for tests: a private node on free ports that can be stopped, killed and frozen, and is gone when the test process is.
//!
//! Each node has a `sh` of its own (`keeper.sh`) as its parent. The keeper ends the node when its standard input closes,
//! which the operating system does for us even when the test process is killed.
#![allow(clippy::panic, dead_code, unreachable_pub, reason = "test code, shared by binaries that each use a part")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

#[path = "port.rs"]
mod port;

pub use port::free_port;

const BOOT_LIMIT: Duration = Duration::from_secs(90);
const BOOT_ATTEMPTS: usize = 3;
/// Seconds until `timeout` ends a `rabbitmqctl` that does not end by itself.
const CTL_SECONDS: &str = "60";
/// Server heartbeat stays at its default of 60 s; no plugins, so streams and queues only.
const CONF: &str = "loopback_users = none\nlog.console = false\ndisk_free_limit.absolute = 50MB\n";

/// The URL of an empty vhost: on the broker of `COTTONTAIL_TEST_AMQP_URL` (then it is that URL, and names must differ by
/// themselves), otherwise on the node that this test binary shares.
pub async fn vhost(name: &str) -> String {
    match std::env::var("COTTONTAIL_TEST_AMQP_URL") {
        Ok(url) => url,
        Err(_) => Node::shared().await.vhost(name).await,
    }
}

/// A node of our own. Dropping it kills it and removes its files.
pub struct Node {
    pub port: u16,
    name: String,
    epmd_port: u16,
    directory: PathBuf,
    keeper: Arc<Mutex<Keeper>>,
}

struct Keeper {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Node {
    /// The node that all tests of this binary share; it boots at the first call. Not to be stopped by anybody.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Node> = OnceCell::const_new();
        SHARED.get_or_init(Self::private).await
    }

    /// A node for one test, to stop, kill or freeze.
    pub async fn private() -> Self {
        Self::private_with("").await
    }

    /// As `private`, with further lines for `rabbitmq.conf`.
    pub async fn private_with(conf: &str) -> Self {
        Self::boot_new(conf, None).await
    }

    /// A node of a broker that has no streams.
    pub async fn private_without_streams() -> Self {
        Self::boot_new("", Some("quorum_queue")).await
    }

    /// `features` are the only feature flags that it starts with; otherwise it has all that it knows.
    async fn boot_new(conf: &str, features: Option<&str>) -> Self {
        for _ in 0..BOOT_ATTEMPTS {
            let node = Self::prepare(conf, free_port(), features);
            // Somebody else may have taken one of the ports in the meantime.
            if node.boot().await {
                return node;
            }
        }
        panic!("RabbitMQ did not start; is rabbitmq-server installed under /usr/lib/rabbitmq?")
    }

    /// Nodes that are to be a cluster share `epmd_port`: the epmd of the first one serves all.
    fn prepare(conf: &str, epmd_port: u16, features: Option<&str>) -> Self {
        let directory = tempfile::Builder::new().prefix("cottontail-rabbitmq-").tempdir().expect("a directory").keep();
        let [port, distribution_port] = [free_port(), free_port()];
        let name = format!("t{port}@localhost");
        let write = |file: &str, text: &str| std::fs::write(directory.join(file), text).expect("a file");
        write("plugins", "[].");
        write("rabbitmq.conf", &format!("{CONF}{conf}"));
        write(".erlang.cookie", "cottontail");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o400);
        std::fs::set_permissions(directory.join(".erlang.cookie"), private).expect("own file");
        let path = |file: &str| directory.join(file);
        let mut process = Command::new("/bin/sh")
            .args(["-c", include_str!("keeper.sh")])
            .env_clear()
            .envs(ctl_environment(&directory, epmd_port))
            .env("NODE_DIRECTORY", &directory)
            .env("RABBITMQ_NODENAME", &name)
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_DIST_PORT", distribution_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
            .env("RABBITMQ_LOG_BASE", path("log"))
            .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins"))
            // The start script then becomes the node itself, so that signals reach it.
            .env("RUNNING_UNDER_SYSTEMD", "1")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .envs(features.map(|features| ("RABBITMQ_FEATURE_FLAGS", features)))
            // An interrupt from the terminal is for the test process alone; the keeper must live to clean up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        let keeper = Arc::new(Mutex::new(Keeper { process, commands, answers }));
        Self { port, name, epmd_port, directory, keeper }
    }

    async fn boot(&self) -> bool {
        // Without a listening epmd the node would start one that outlives it.
        let epmd = until_deadline(Duration::from_secs(10), || TcpStream::connect(("127.0.0.1", self.epmd_port))).await;
        epmd && {
            self.tell("start").await;
            until_deadline(BOOT_LIMIT, || handshake(self.port)).await
        }
    }

    /// Creates the vhost `name`, open to `guest`, and gives its URL.
    pub async fn vhost(&self, name: &str) -> String {
        let expression = format!(
            "rabbit_vhost:add(<<\"{name}\">>, <<\"guest\">>), rabbit_auth_backend_internal:set_permissions(\
             <<\"guest\">>, <<\"{name}\">>, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"guest\">>)."
        );
        self.ctl(&["eval", &expression]).await;
        self.url("guest:guest", name)
    }

    /// A URL of this node; `credentials` as `user:password`.
    pub fn url(&self, credentials: &str, vhost: &str) -> String {
        format!("amqp://{credentials}@127.0.0.1:{}/{vhost}", self.port)
    }

    /// Runs `rabbitmqctl` and gives its output; panics when it fails.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("timeout");
        command
            .args([CTL_SECONDS, "/usr/lib/rabbitmq/bin/rabbitmqctl"])
            .env_clear()
            .envs(ctl_environment(&self.directory, self.epmd_port));
        command.args(["--node", &self.name, "--quiet"]).args(arguments).stdin(Stdio::null());
        let output = blocking(move || command.output().expect("rabbitmqctl runs")).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "rabbitmqctl: {}: {text}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// Ends the node in good order; `start` brings it back with what was durable.
    pub async fn stop(&self) {
        self.tell("stop").await;
    }

    /// Starts a stopped or killed node and waits until it takes connections.
    pub async fn start(&self) {
        assert!(self.boot().await, "RabbitMQ did not come back");
    }

    pub async fn kill(&self) {
        self.tell("kill").await;
    }

    /// Stops the node's process with its connections open, as a lost network would.
    pub async fn freeze(&self) {
        self.tell("freeze").await;
    }

    pub async fn thaw(&self) {
        self.tell("thaw").await;
    }

    async fn tell(&self, command: &'static str) {
        let keeper = Arc::clone(&self.keeper);
        blocking(move || keeper.lock().expect("no panic while held").tell(command)).await;
    }
}

/// Nodes that hold one set of exchanges and queues. The first must not be dropped before the others: its epmd is theirs.
pub struct Cluster {
    pub nodes: Vec<Node>,
}

impl Cluster {
    /// Boots `size` nodes at once and joins them to the first.
    pub async fn start(size: usize) -> Self {
        for _ in 0..BOOT_ATTEMPTS {
            let epmd_port = free_port();
            let nodes: Vec<Node> = (0..size).map(|_| Node::prepare("", epmd_port, None)).collect();
            if join_all(nodes.iter().map(Node::boot)).await.into_iter().all(|up| up) {
                for node in &nodes[1..] {
                    node.ctl(&["stop_app"]).await;
                    node.ctl(&["join_cluster", &nodes[0].name]).await;
                    node.ctl(&["start_app"]).await;
                }
                return Self { nodes };
            }
        }
        panic!("a RabbitMQ cluster did not start")
    }

    /// The index of the node that leads the stream `queue` of `vhost`.
    pub async fn leader(&self, vhost: &str, queue: &str) -> usize {
        let listed =
            self.nodes[0].ctl(&["list_queues", "--vhost", vhost, "--no-table-headers", "name", "leader"]).await;
        let line = listed.lines().find_map(|line| line.strip_prefix(queue)).expect("the stream is there");
        self.nodes.iter().position(|node| node.name == line.trim()).expect("a member leads")
    }
}

impl Keeper {
    fn tell(&mut self, command: &str) {
        let commands = self.commands.as_mut().expect("open until drop");
        writeln!(commands, "{command}").expect("the keeper lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the keeper lives");
        assert_eq!(answer, "done\n", "the keeper's answer to {command}");
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.commands.take());
        // Waited for, so that a test that ends has cleaned up.
        let _ = self.process.wait();
    }
}

fn ctl_environment(directory: &Path, epmd_port: u16) -> [(&'static str, String); 6] {
    [
        ("PATH", "/usr/bin:/bin:/usr/local/bin".into()),
        ("HOME", directory.to_string_lossy().into_owned()),
        ("LANG", "C.UTF-8".into()),
        ("ERL_EPMD_PORT", epmd_port.to_string()),
        // Otherwise a node or a `rabbitmqctl` that is killed writes it into the repository.
        ("ERL_CRASH_DUMP", directory.join("erl_crash.dump").to_string_lossy().into_owned()),
        // Not the machine's own.
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
    ]
}

/// The broker has opened the AMQP connection (AMQP 0-9-1 §2.2.4): it is up, not only listening.
async fn handshake(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"AMQP\0\0\x09\x01").await?;
    let mut frame_type = [0];
    stream.read_exact(&mut frame_type).await?;
    Ok(stream)
}

async fn until_deadline<F>(limit: Duration, attempt: impl Fn() -> F) -> bool
where
    F: Future<Output = std::io::Result<TcpStream>>,
{
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(2), attempt()).await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work did not panic")
}

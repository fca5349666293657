//! The program under test as a child process: started on free ports, watched, signalled, and gone when its handle is.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tempfile::TempDir;

use super::deadline::eventually;
use super::http1::{Request, Response, Transport, fetch, is_gone, is_spoken, try_fetch};
use super::metrics::Metrics;
use super::output::Output;
use super::secrecy::assert_keeps_secrets;
use super::tls::Certificates;

/// Port 0: the system chooses.
const ANY_PORT: &str = "127.0.0.1:0";

/// A running `cottontail`. Dropping it kills the process and checks that its whole output kept every secret.
#[derive(Debug)]
pub struct Server {
    child: Child,
    output: Output,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    transport: Transport,
    directory: TempDir,
}

impl Server {
    /// Starts with this configuration on free ports and waits until `/readyz` agrees.
    pub async fn start(config: &str) -> Self {
        Self::start_at(config, ANY_PORT).await
    }

    /// As [`Server::start`], with a given address for browsers: how a restart looks to them.
    pub async fn start_at(config: &str, listen: &str) -> Self {
        let server = Self::start_unready(config, listen).await;
        server.ready().await;
        server
    }

    /// As [`Server::start`], with these variables in its environment.
    pub async fn start_with_variables(config: &str, variables: &[(&str, &str)]) -> Self {
        let server = Self::start_in(config, ANY_PORT, variables).await;
        server.ready().await;
        server
    }

    async fn ready(&self) {
        eventually("/readyz to answer 200", async || {
            let response = try_fetch(self.admin(), &Request::get("/readyz")).await.ok()?;
            (response.status() == 200).then_some(())
        })
        .await;
    }

    /// Starts and waits only until both listeners are bound.
    pub async fn start_unready(config: &str, listen: &str) -> Self {
        Self::start_in(config, listen, &[]).await
    }

    async fn start_in(config: &str, listen: &str, variables: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("config.toml");
        let config = with_listeners(config, listen, directory.path());
        std::fs::write(&path, &config).expect("the temporary directory is writable");
        let mut command = cottontail(directory.path());
        command.args(["run", "--config"]).arg(&path).envs(variables.iter().copied());
        let encrypted = config.contains("certificate_file");
        let transport = if encrypted { Transport::Tls } else { Transport::of_this_run() };
        Self::launch(command, directory, transport).await
    }

    /// Starts `cottontail dev` on a free port, in an empty directory.
    pub async fn dev() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut command = cottontail(directory.path());
        command.args(["dev", "--listen", ANY_PORT]);
        let transport = match Transport::of_this_run() {
            Transport::Http2 => Transport::Http2,
            // It has no certificate.
            Transport::Plain | Transport::Tls => Transport::Plain,
        };
        Self::launch(command, directory, transport).await
    }

    /// As [`Server::dev`], of another build of the program.
    pub async fn dev_of(program: &Path) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut command = isolated(program, directory.path());
        command.args(["dev", "--listen", ANY_PORT]);
        Self::launch(command, directory, Transport::Plain).await
    }

    async fn launch(mut command: Command, directory: TempDir, transport: Transport) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let output = Output::of(&mut child);
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { child, output, address: nowhere, admin: None, transport, directory };
        (server.address, server.admin) = eventually("a log line that says `listening`", async || {
            if let Some(status) = server.child.try_wait().expect("the child is ours") {
                panic!("the program ended at its start: {status}");
            }
            server.output.lines().iter().find_map(|line| listening(line))
        })
        .await;
        is_spoken(server.address, transport);
        if let Some(admin) = server.admin {
            is_spoken(admin, Transport::Plain);
        }
        server
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its configuration is, and nothing else that it needs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where browsers connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operators connect.
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("the program was started with an admin listener")
    }

    /// `path` of the browsers' listener as a URL.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.transport == Transport::Tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// A whole response of the browsers' listener.
    pub async fn fetch(&self, request: &Request) -> Response {
        fetch(self.address, request).await
    }

    /// One scrape, which must keep every secret.
    pub async fn metrics(&self) -> Metrics {
        let response = fetch(self.admin(), &Request::get("/metrics")).await;
        assert_eq!(response.status(), 200);
        assert_keeps_secrets("/metrics", &response.text());
        Metrics(response.text())
    }

    /// Scrapes until `condition` holds; `what` names it in a failure.
    pub async fn metrics_until(&self, what: &str, condition: impl Fn(&Metrics) -> bool) -> Metrics {
        eventually(what, async || Some(self.metrics().await).filter(&condition)).await
    }

    /// Everything printed so far.
    pub fn log(&self) -> String {
        self.output.lines().join("\n")
    }

    /// Memory that the process holds.
    pub fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the child runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number of kilobytes") * 1024
    }

    /// Sockets that the process has open.
    pub fn sockets(&self) -> usize {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the child runs");
        let links = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
    }

    /// Asks for a graceful end, as Kubernetes does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Puts another configuration in the place of the one that it was started with, all at once.
    pub fn rewrite(&self, config: &str) {
        let path = self.directory.path().join("config.toml");
        let new = path.with_extension("new");
        std::fs::write(&new, with_listeners(config, ANY_PORT, self.directory.path())).expect("writable");
        std::fs::rename(&new, &path).expect("writable");
    }

    /// Leaves the program `count` file descriptors, of which it holds some already.
    pub fn limit_descriptors_to(&self, count: u64) {
        let limit = Rlimit { current: Some(count), maximum: Some(count) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("the child is ours");
    }

    /// Ends the process without letting it know, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.exit().await;
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the child was not reaped yet");
    }

    /// Waits for the process to end.
    pub async fn exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the program to end", async || child.try_wait().expect("the child is ours")).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Before the addresses are free for others.
        [Some(self.address), self.admin].into_iter().flatten().for_each(is_gone);
        // Both fail only when the process is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
        let log = self.output.finish().join("\n");
        if std::thread::panicking() {
            eprintln!("--- output of the program at {}\n{log}\n---", self.address);
        } else {
            assert_keeps_secrets("the program's output", &log);
        }
    }
}

/// The program with an environment of nothing, in `directory`, with both outputs piped.
pub fn cottontail(directory: &Path) -> Command {
    isolated(Path::new(env!("CARGO_BIN_EXE_cottontail")), directory)
}

fn isolated(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir(directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn with_listeners(config: &str, listen: &str, directory: &Path) -> String {
    let mut config: toml::Table = config.parse().expect("the test's configuration is TOML");
    for (section, listen) in [("server", listen), ("admin", ANY_PORT)] {
        let section = config.entry(section).or_insert_with(|| toml::Table::new().into());
        section.as_table_mut().expect("a section is a table").insert("listen".into(), listen.into());
    }
    if Transport::of_this_run() == Transport::Tls {
        let [certificate, key] = Certificates::of_this_run().write(directory);
        let tls = config["server"].as_table_mut().expect("it was made above").entry("tls");
        let tls = tls.or_insert_with(|| toml::Table::new().into()).as_table_mut().expect("a section is a table");
        tls.insert("certificate_file".into(), certificate.display().to_string().into());
        tls.insert("key_file".into(), key.display().to_string().into());
    }
    config.to_string()
}

/// The bound addresses, out of the one log line that says them.
fn listening(line: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    let address = |name: &str| fields.get(name)?.as_str()?.parse().ok();
    (fields.get("message")? == "listening").then_some((address("server")?, address("admin")))
}

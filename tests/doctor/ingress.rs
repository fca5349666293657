//! nginx and `HAProxy` as child processes with files of their own, set up as the README says or otherwise.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::deadline::eventually;
use crate::support::http1::{Request, fetch};
use crate::support::rabbitmq::free_port;

const NGINX_CONFIG: &str = "nginx.conf";

/// The README's block of that language, with `here` in place of Cottontail's address.
pub fn recipe(language: &str, here: SocketAddr) -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, block) =
        readme.split_once(&format!("\n```{language}\n")).unwrap_or_else(|| panic!("no recipe for {language}"));
    let (block, _) = block.split_once("\n```").unwrap();
    assert!(block.contains("127.0.0.1:8080"), "{block}");
    block.replace("127.0.0.1:8080", &here.to_string())
}

/// The recipe with one of its settings written otherwise.
pub fn changed(recipe: &str, from: &str, to: &str) -> String {
    assert!(recipe.contains(from), "{from} is not in\n{recipe}");
    recipe.replacen(from, to, 1)
}

/// Where nobody listens, and a proxy may, which cannot be told to choose a port by itself.
pub fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// A native `EventSource` goes on trying, and whoever brings a new token learns that nobody took it.
pub async fn says_come_back(proxy: SocketAddr, otherwise: u16) {
    let told = fetch(proxy, &Request::get("/events")).await;
    assert_eq!((told.status(), told.text().as_str()), (200, "retry: 3000\n\n"));
    assert_eq!(told.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(fetch(proxy, &Request::new("POST", "/events/token")).await.status(), otherwise);
}

/// A running proxy; gone when it is dropped.
pub struct Ingress {
    child: Child,
    pub address: SocketAddr,
    directory: TempDir,
}

impl Ingress {
    /// nginx with this inside its `server`.
    pub async fn nginx(locations: &str) -> Self {
        Self::nginx_listening("", locations).await
    }

    /// As [`Ingress::nginx`], with more words on its `listen`.
    pub async fn nginx_listening(words: &str, locations: &str) -> Self {
        Self::nginx_with("", words, locations).await
    }

    /// As [`Ingress::nginx_listening`], with something beside its `server`.
    pub async fn nginx_with(beside: &str, words: &str, locations: &str) -> Self {
        let (directory, address) = (TempDir::new().unwrap(), nobody());
        write_nginx(&directory, address, beside, words, locations);
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(directory.path()).args(["-c", NGINX_CONFIG, "-e", "stderr"]);
        Self::launch(command, address, directory).await
    }

    /// Has nginx go on with another configuration, as `nginx -s reload` does: its old worker finishes what it has begun.
    pub fn reload_nginx(&self, beside: &str, locations: &str) {
        write_nginx(&self.directory, self.address, beside, "", locations);
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("the child was not reaped yet");
    }

    /// `HAProxy` with a configuration that listens on port 80.
    pub async fn haproxy(config: &str) -> Self {
        let (directory, address) = (TempDir::new().unwrap(), nobody());
        let config = changed(config, "bind :80", &format!("bind {address}"));
        let file = directory.path().join("haproxy.cfg");
        std::fs::write(&file, config + "\n").unwrap();
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-db", "-q", "-f"]).arg(&file);
        Self::launch(command, address, directory).await
    }

    async fn launch(mut command: Command, address: SocketAddr, directory: TempDir) -> Self {
        let child = command.stdin(Stdio::null()).spawn().expect("the proxy is installed");
        let mut ingress = Self { child, address, directory };
        eventually("the ingress to listen", async || {
            let ended = ingress.child.try_wait().unwrap();
            assert!(ended.is_none(), "the ingress refuses its configuration: {ended:?}");
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        ingress
    }
}

impl Drop for Ingress {
    fn drop(&mut self) {
        // So that nginx ends its workers; both fail only when it is gone already.
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        self.child.wait().ok();
    }
}

fn write_nginx(directory: &TempDir, address: SocketAddr, beside: &str, words: &str, locations: &str) {
    let root = directory.path().display();
    let config = format!(
        "daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log;
         events {{ worker_connections 4096; }}
         http {{
           access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
           fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
           {beside}
           server {{ listen {address} {words}; {locations} }}
         }}"
    );
    std::fs::write(directory.path().join(NGINX_CONFIG), config).unwrap();
}

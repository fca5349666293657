//! A real headless Chromium, driven through chromedriver's W3C `WebDriver` protocol; it knows nothing of the product.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::deadline::eventually;
use super::http1::{Request, fetch};
use super::output::Output;

/// Other places than Debian's are named by these variables.
const CHROMIUM: (&str, &str) = ("COTTONTAIL_TEST_CHROMIUM", "/usr/bin/chromium");
const CHROMEDRIVER: (&str, &str) = ("COTTONTAIL_TEST_CHROMEDRIVER", "/usr/bin/chromedriver");

const START_ATTEMPTS: usize = 5;

const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// One browser with a fresh profile and one tab. Dropping it kills it with all its processes.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    output: Output,
    address: SocketAddr,
    session: String,
    profile: TempDir,
}

impl Browser {
    pub async fn start() -> Self {
        for _ in 0..START_ATTEMPTS {
            let mut browser = Self::launch();
            if let Some(port) = browser.port().await {
                browser.address.set_port(port);
                browser.open_session().await;
                return browser;
            }
        }
        panic!("chromedriver ended at its start {START_ATTEMPTS} times")
    }

    fn launch() -> Self {
        let profile = TempDir::new().expect("a temporary directory");
        let mut driver = Command::new(program(CHROMEDRIVER))
            .arg("--port=0")
            // Chromium puts files of its own here as well, and they shall go with the profile.
            .env("TMPDIR", profile.path())
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that the browser's many processes can be ended together.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{} (package chromium-driver): {error}", program(CHROMEDRIVER)));
        let output = Output::of(&mut driver);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self { driver, output, address: nowhere, session: String::new(), profile }
    }

    /// The port that the driver listens on, or none when it has ended: it wants the same one of IPv4 and of IPv6, and the
    /// other tests' connections may hold either.
    async fn port(&mut self) -> Option<u16> {
        eventually("chromedriver to say its port or to end", async || {
            let lines = self.output.lines();
            let port = lines.iter().find_map(|line| {
                line.strip_prefix("ChromeDriver was started successfully on port ")?.trim_end_matches('.').parse().ok()
            });
            // Its own word, since a process that was waited for could not be killed safely any more.
            let ended = lines.iter().any(|line| line.ends_with("Exiting..."));
            (port.is_some() || ended).then_some(port)
        })
        .await
    }

    async fn open_session(&mut self) {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let options = json!({ "binary": program(CHROMIUM), "args": arguments });
        // The certificates of this run are nobody else's.
        let wanted = json!({ "goog:chromeOptions": options, "acceptInsecureCerts": true });
        let wanted = json!({ "capabilities": { "alwaysMatch": wanted } });
        let session = self.command("POST", "/session", &wanted).await;
        session["sessionId"].as_str().expect("a session has an id").clone_into(&mut self.session);
    }

    /// Navigates the tab; an error page of the server counts as a page.
    pub async fn open(&self, url: &str) {
        self.command("POST", &format!("/session/{}/url", self.session), &json!({ "url": url })).await;
    }

    /// Runs the body of a JavaScript function in the page and gives what it returns; `arguments[0]` is `argument`.
    pub async fn run(&self, script: &str, argument: impl Into<Value>) -> Value {
        let body = json!({ "script": script, "args": [argument.into()] });
        self.command("POST", &format!("/session/{}/execute/sync", self.session), &body).await
    }

    /// Runs a script again and again until what it returns pleases `condition`.
    pub async fn run_until(&self, what: &str, script: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = eventually(what, async || {
            last = self.run(script, Value::Null).await;
            condition(&last).then(|| last.clone())
        });
        found.await
    }

    /// One command, which must succeed (W3C `WebDriver` §6.3).
    async fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = Request::new(method, path).header("Content-Type", "application/json").body(body.to_string());
        let response = fetch(self.address, &request).await;
        let mut answer = response.json();
        assert_eq!(response.status(), 200, "{method} {path}: {answer}");
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Fails only when the whole group is gone already.
        kill_process_group(Pid::from_child(&self.driver), Signal::KILL).ok();
        self.driver.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- output of chromedriver\n{}\n---", self.output.finish().join("\n"));
        }
    }
}

fn program((variable, default): (&str, &str)) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// Any page that needs no product, so that a broken browser is told from a broken product.
    #[tokio::test]
    async fn the_browser_opens_a_page_and_runs_a_script() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 18\r\nConnection: close\r\n\r\n";
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            stream.write_all(&[page.as_slice(), b"<title>hop</title>"].concat()).unwrap();
        });
        let browser = Browser::start().await;
        browser.open(&format!("http://{address}/")).await;
        assert_eq!(browser.run("return document.title + arguments[0]", "!").await, "hop!");
        server.join().unwrap();
    }
}

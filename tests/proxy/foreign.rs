//! curl in front and nginx behind: what implementations that share no code with ours make of it.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::scene::program;
use crate::support::deadline::eventually;
use crate::support::process::Server;

/// nginx in the foreground with files of its own.
struct Nginx {
    child: Child,
    directory: TempDir,
    address: std::net::SocketAddr,
}

impl Nginx {
    async fn start() -> Self {
        Self::start_with("").await
    }

    /// `protocol` is one that connections begin with, `http2` or nothing.
    async fn start_with(protocol: &str) -> Self {
        for _ in 0..5 {
            if let Some(nginx) = Self::try_start(protocol).await {
                return nginx;
            }
        }
        panic!("nginx does not start");
    }

    /// None when somebody else has taken its port just before it did.
    async fn try_start(protocol: &str) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        // nginx cannot be told to choose a port; below this the system gives none to anybody who did not ask for it.
        let port = std::iter::repeat_with(|| fastrand::u16(10_000..32_000))
            .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .unwrap();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let root = directory.path().display().to_string();
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;
             events {{ worker_connections 512; }}
             http {{
               access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
               fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
               if_modified_since before; keepalive_requests 1000000; client_max_body_size 0;
               server {{
                 listen {address} {protocol}; root {root};
                 location /echo {{ add_header X-Uri $request_uri always; return 200 \"$request_method $http_host $http_x_forwarded_for\"; }}
                 location /put {{ dav_methods PUT; create_full_put_path on; }}
               }}
             }}"
        );
        std::fs::write(directory.path().join("nginx.conf"), config).unwrap();
        let mut bytes = vec![0u8; 3_000_001];
        fastrand::fill(&mut bytes);
        std::fs::write(directory.path().join("file"), bytes).unwrap();
        let child = Command::new("/usr/sbin/nginx")
            .args(["-p", &root, "-c", "nginx.conf", "-e", "stderr"])
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let mut nginx = Self { child, directory, address };
        let listens = eventually("nginx to listen", async || {
            // It writes its process id when it listens, and ends when it cannot.
            let ended = nginx.child.try_wait().unwrap().is_some();
            let listens = std::fs::metadata(nginx.directory.path().join("pid")).is_ok_and(|file| file.len() > 0);
            (ended || listens).then_some(!ended)
        })
        .await;
        listens.then_some(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn curl(server: &Server, arguments: &[&str], path: &str) -> Vec<u8> {
    let mut command = tokio::process::Command::new("/usr/bin/curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--path-as-is", "--globoff"]);
    command.args(arguments).arg(server.url(path));
    let output = command.output().await.expect("curl is installed");
    assert!(output.status.success(), "{arguments:?} {path}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn files_ranges_and_conditions_come_as_from_nginx_itself() {
    let nginx = Nginx::start().await;
    let server = program(nginx.address, "").await;
    let file = std::fs::read(nginx.directory.path().join("file")).unwrap();
    for version in ["--http1.0", "--http1.1", "--http2-prior-knowledge"] {
        assert!(curl(&server, &[version], "/file").await == file, "{version}");
        assert_eq!(curl(&server, &[version, "--range", "10-19"], "/file").await, &file[10..20]);
        let head = String::from_utf8(curl(&server, &[version, "--head"], "/file").await).unwrap().to_lowercase();
        assert!(head.contains("content-length: 3000001"), "{version}: {head}");
        let condition = ["--include", version, "--header", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"];
        let answer = String::from_utf8(curl(&server, &condition, "/file").await).unwrap();
        assert!(answer.contains(" 304"), "{version}: {answer}");
        let echo = String::from_utf8(
            curl(&server, &["--include", version, "--header", "Host: shop.example"], "/echo/%41//x?a=%zz&").await,
        )
        .unwrap();
        assert!(echo.to_lowercase().contains("x-uri: /echo/%41//x?a=%zz&"), "{version}: {echo}");
        assert!(echo.ends_with("GET shop.example 127.0.0.1"), "{version}: {echo}");
    }
}

#[tokio::test]
async fn uploads_arrive_whole_with_a_length_or_in_chunks_or_after_a_question() {
    let nginx = Nginx::start().await;
    let server = program(nginx.address, "").await;
    let file = nginx.directory.path().join("file");
    let expected = std::fs::read(&file).unwrap();
    let file = file.to_str().unwrap();
    let ways: [&[&str]; 4] = [
        &["--upload-file", file],
        &["--upload-file", file, "--header", "Transfer-Encoding: chunked"],
        &["--upload-file", file, "--header", "Expect: 100-continue", "--expect100-timeout", "20"],
        &["--upload-file", file, "--http2-prior-knowledge"],
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let path = format!("/put/{number}");
        curl(&server, &[way, &["--fail"]].concat(), &path).await;
        assert!(std::fs::read(nginx.directory.path().join(&path[1..])).unwrap() == expected, "{way:?}");
    }
}

#[tokio::test]
async fn an_application_that_speaks_http2_is_reached() {
    let nginx = Nginx::start_with("http2").await;
    let server = program(nginx.address, "http2 = true").await;
    let path = nginx.directory.path().join("file");
    let file = std::fs::read(&path).unwrap();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        assert!(curl(&server, &[version], "/file").await == file);
        let echo = curl(&server, &[version, "--header", "Host: shop.example"], "/echo").await;
        assert_eq!(String::from_utf8(echo).unwrap(), "GET shop.example 127.0.0.1");
        curl(&server, &[version, "--upload-file", path.to_str().unwrap(), "--fail"], "/put/h2").await;
        assert!(std::fs::read(nginx.directory.path().join("put/h2")).unwrap() == file);
        std::fs::remove_file(nginx.directory.path().join("put/h2")).unwrap();
    }
    drop(nginx);
    assert_eq!(server.fetch(&crate::support::http1::Request::get("/file")).await.status(), 502);
}

//! TLS towards the broker: encrypted and verified, or not at all.

use std::path::Path;
use std::process::Command;

use cottontail::broker::BrokerConfig;
use tempfile::TempDir;

use crate::harness::{Running, config};
use crate::rabbitmq::{Node, free_port};

/// A private authority and a certificate for `localhost` and 127.0.0.1, as files.
fn certificates() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let extensions = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
    std::fs::write(directory.path().join("extensions"), extensions).expect("own directory");
    openssl(
        directory.path(),
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem",
    );
    openssl(
        directory.path(),
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=mq -keyout mq.key -out mq.csr",
    );
    openssl(
        directory.path(),
        "x509 -req -in mq.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out mq.pem",
    );
    directory
}

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn only_a_trusted_certificate_opens_an_encrypted_connection() {
    let files = certificates();
    let path = |file: &str| files.path().join(file).to_string_lossy().into_owned();
    let port = free_port();
    let node = Node::private_with(&format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nlisteners.ssl.2 = 127.0.0.2:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nssl_options.verify = verify_none\n",
        path("ca.pem"),
        path("mq.pem"),
        path("mq.key"),
    ))
    .await;
    let ca_file = Some(path("ca.pem"));
    for host in ["localhost", "127.0.0.1"] {
        let trusted = BrokerConfig { ca_file: ca_file.clone(), ..config(&format!("amqps://{host}:{port}")) };
        let mut running = Running::up(trusted).await;
        running.publish("user.1").await;
        assert_eq!(running.next_message().await, (2, "user.1".into()));
        running.stop().await;
    }
    let unknown = BrokerConfig { ca_file: None, ..config(&format!("amqps://localhost:{port}")) };
    expect(unknown, "`broker.ca_file`").await;
    let wrong_name = BrokerConfig { ca_file: ca_file.clone(), ..config(&format!("amqps://127.0.0.2:{port}")) };
    expect(wrong_name, "is not trusted").await;
    expect(config(&format!("amqp://localhost:{port}")), "`amqps://`").await;
    let plaintext = BrokerConfig { ca_file, ..config(&format!("amqps://localhost:{}", node.port)) };
    expect(plaintext, "the answer is not TLS").await;
}

async fn expect(config: BrokerConfig, words: &str) {
    let mut running = Running::start(config);
    let sentence = running.problem().await;
    assert!(sentence.contains(words), "{sentence}");
    assert!(!running.status.is_connected());
    running.stop().await;
}

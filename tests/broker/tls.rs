//! TLS towards the broker: encrypted and verified, or not at all.

use cottontail::broker::BrokerConfig;

use crate::certificates::Certificates;
use crate::harness::{Running, config};
use crate::rabbitmq::{Node, free_port};

#[tokio::test]
async fn only_a_trusted_certificate_opens_an_encrypted_connection() {
    let directory = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new("mq");
    let [certificate, key] = certificates.write(directory.path());
    let (_directory, authority) = certificates.authority_file();
    let port = free_port();
    let node = Node::private_with(&format!(
        "listeners.ssl.1 = 127.0.0.1:{port}\nlisteners.ssl.2 = 127.0.0.2:{port}\nssl_options.cacertfile = {authority}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nssl_options.verify = verify_none\n",
        certificate.display(),
        key.display(),
    ))
    .await;
    let ca_file = Some(authority.clone());
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

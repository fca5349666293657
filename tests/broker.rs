//! The broker room against a real RabbitMQ.

mod support {
    pub mod rabbitmq;
}

use support::rabbitmq::Node;

#[tokio::test]
async fn a_node_keeps_its_vhosts_over_a_restart() {
    let node = Node::private().await;
    node.vhost("kept").await;
    node.stop().await;
    node.start().await;
    assert!(node.ctl(&["list_vhosts"]).await.contains("kept"));
}

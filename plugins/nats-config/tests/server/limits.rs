//! What is too much.

use micro_config::ErrorKind;

use crate::nats::{context, failure, make, source, start};

#[tokio::test]
async fn a_bucket_of_very_many_keys_is_refused_before_they_are_read() {
    let Some(server) = start().await else { return };
    make(server.address(), "shop").await;
    let context = context(server.address()).await;
    let mut last = None;
    for number in 0..10_001 {
        let put = context.publish(format!("$KV.shop.key-{number}"), "x".into());
        last = Some(put.await.unwrap());
    }
    last.unwrap().await.unwrap();
    let error = failure(&mut source(server.address(), "shop/>")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(
        error.to_string().contains("10001 keys") && error.to_string().contains("bucket shop"),
        "{error}"
    );
    assert_eq!(
        crate::nats::read(&mut source(server.address(), "shop/key-7"))
            .await
            .len(),
        1
    );
}

use micro_codegen_generated::hello::{HelloClient, Note};

async fn call(client: HelloClient) {
    let _ = client.ping(Note::default()).await;
}

fn main() {}

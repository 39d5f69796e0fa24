//! The service, until Ctrl-C. Any flag of the framework works: try `--help`.

use hello::{Greeter, HelloServer};
use micro::prelude::*;

#[tokio::main]
async fn main() -> micro::Result<()> {
    Service::from_args("hellooo")
        .await?
        .handler(HelloServer::new(Greeter))
        .build()?
        .run()
        .await
}

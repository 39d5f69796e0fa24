//! Serves greetings, and asks for some.

mod greeter {
    micro::include_proto!("greeter");
}

use greeter::{
    CountRequest, CountResponse, Greeter, GreeterClient, GreeterServer, HelloRequest, HelloResponse,
};
use micro::handler::StreamSender;
use micro::{Context, Result, Service};

struct English;

impl Greeter for English {
    async fn hello(&self, _: &mut Context, request: HelloRequest) -> Result<HelloResponse> {
        let greeting = format!("Hello, {}", request.name);
        Ok(HelloResponse { greeting })
    }

    async fn count(
        &self,
        _: &mut Context,
        request: CountRequest,
        replies: StreamSender<CountResponse>,
    ) -> Result<()> {
        for number in 1..=request.up_to {
            replies.send(CountResponse { number }).await?;
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let service = Service::builder("greeter")
        .address("127.0.0.1:0")
        .handler(GreeterServer::new(English))
        .build()?
        .start()
        .await?;

    let client = GreeterClient::new("greeter", service.client());
    let name = "Ann".into();
    println!("{}", client.hello(HelloRequest { name }).await?.greeting);
    let mut numbers = client.count(CountRequest { up_to: 3 }).await?;
    while let Some(reply) = numbers.message().await? {
        println!("{}", reply.number);
    }
    service.stop().await
}

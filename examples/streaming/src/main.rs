//! Streams in every direction, over one service.

use micro::handler::{StreamSender, Streaming};
use micro::prelude::*;

mod counter {
    #![allow(missing_docs, reason = "generated from the .proto")]
    micro::include_proto!("counter");
}

use counter::{CountRequest, Counter, CounterClient, CounterServer, Number};

struct Counting;

impl Counter for Counting {
    async fn count(
        &self,
        _: &mut Context,
        request: CountRequest,
        replies: StreamSender<Number>,
    ) -> micro::Result<()> {
        for value in 1..=request.up_to {
            // Waits while the reader is slow; fails when the reader is gone.
            replies.send(Number { value }).await?;
        }
        Ok(())
    }

    async fn sum(&self, _: &mut Context, mut requests: Streaming<Number>) -> micro::Result<Number> {
        let mut value = 0;
        while let Some(number) = requests.message().await? {
            value += number.value;
        }
        Ok(Number { value })
    }

    async fn double(
        &self,
        _: &mut Context,
        mut requests: Streaming<Number>,
        replies: StreamSender<Number>,
    ) -> micro::Result<()> {
        while let Some(number) = requests.message().await? {
            if number.value < 0 {
                return Err(Error::bad_request(
                    "counter",
                    format!("{} is negative", number.value),
                ));
            }
            replies
                .send(Number {
                    value: 2 * number.value,
                })
                .await?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> micro::Result<()> {
    // Alone, the example keeps to this machine; flags and MICRO_* variables go before these defaults.
    let settings = Arguments::new("counter")
        .about("Streams in every direction")
        .default_value("registry_address", "lo")
        .default_value("server_address", "127.0.0.1:0")
        .parse();
    let service = settings
        .service()
        .await?
        .handler(CounterServer::new(Counting))
        .build()?;
    let running = service.start().await?;
    let counter = CounterClient::new("counter", running.client());

    print!("count to 5:");
    let mut numbers = counter.count(CountRequest { up_to: 5 }).await?;
    while let Some(number) = numbers.message().await? {
        print!(" {}", number.value);
    }
    println!();

    let sum = counter.sum()?;
    for value in 1..=100 {
        sum.send(Number { value }).await?;
    }
    println!("sum of 1 to 100: {}", sum.finish().await?.value);

    let (sender, mut doubled) = counter.double()?;
    for value in [1, 20, 300] {
        sender.send(Number { value }).await?;
        if let Some(number) = doubled.message().await? {
            println!("{value} doubled: {}", number.value);
        }
    }

    sender.send(Number { value: -1 }).await?;
    match doubled.message().await {
        Err(error) => println!("-1 doubled: {} (code {})", error.detail(), error.code()),
        Ok(_) => return Err(Error::internal("streaming", "a negative number was doubled")),
    }
    running.stop().await
}

//! A service without a `.proto`: async functions over plain serde types. JSON on the wire, so curl can call it too.

use micro::handler::endpoint_fn;
use micro::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Division {
    dividend: i64,
    divisor: i64,
}

#[derive(Serialize, Deserialize)]
struct Quotient {
    quotient: i64,
    remainder: i64,
}

async fn divide(_: Context, division: Division) -> micro::Result<Quotient> {
    let Division { dividend, divisor } = division;
    match (dividend.checked_div(divisor), dividend.checked_rem(divisor)) {
        (Some(quotient), Some(remainder)) => Ok(Quotient { quotient, remainder }),
        _ => Err(Error::bad_request(
            "math",
            format!("cannot divide {dividend} by {divisor}"),
        )),
    }
}

#[tokio::main]
async fn main() -> micro::Result<()> {
    // Alone, the example keeps to this machine; flags and MICRO_* variables go before these defaults.
    let settings = Arguments::new("math")
        .about("A service without a .proto")
        .default_value("registry_address", "lo")
        .default_value("server_address", "127.0.0.1:0")
        .parse();
    let service = settings
        .service()
        .await?
        .handler(endpoint_fn("Math.Divide", divide))
        .build()?;
    let running = service.start().await?;
    let client = running.client();

    let division = Division {
        dividend: 17,
        divisor: 5,
    };
    let answer: Quotient = client.call_plain("math", "Math.Divide", division).await?;
    println!("17 / 5 = {} remainder {}", answer.quotient, answer.remainder);

    let division = Division {
        dividend: 1,
        divisor: 0,
    };
    let refused = client
        .call_plain::<_, Quotient>("math", "Math.Divide", division)
        .await;
    match refused {
        Err(error) => println!("1 / 0: {} (code {})", error.detail(), error.code()),
        Ok(_) => return Err(Error::internal("plain", "a division by zero was answered")),
    }
    running.stop().await
}

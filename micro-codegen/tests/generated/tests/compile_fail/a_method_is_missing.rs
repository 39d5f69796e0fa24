use micro::{Context, Result, handler::{StreamSender, Streaming}};
use micro_codegen_generated::hello::{CountRequest, CountResponse, Hello, Note, Number, Total};

struct Greeter;

impl Hello for Greeter {
    async fn count(&self, _: &mut Context, _: CountRequest, _: StreamSender<CountResponse>) -> Result<()> {
        Ok(())
    }

    async fn sum(&self, _: &mut Context, _: Streaming<Number>) -> Result<Total> {
        Ok(Total::default())
    }

    async fn chat(&self, _: &mut Context, _: Streaming<Note>, _: StreamSender<Note>) -> Result<()> {
        Ok(())
    }
}

fn main() {}

//! Generates the code of the `.proto`.

fn main() -> micro_codegen::Result<()> {
    micro_codegen::compile_protos(&["go-peer/greeter/greeter.proto"], &["go-peer/greeter"])?;
    micro_codegen::compile_protos(&["protos/grpc/testing/test.proto"], &["protos"])
}

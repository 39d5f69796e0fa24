//! Generates the code of the `.proto`.

fn main() -> micro_codegen::Result<()> {
    micro_codegen::compile_protos(&["proto/counter.proto"], &["proto"])
}

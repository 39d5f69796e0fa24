//! Generates the code that the tests use.

fn main() -> micro_codegen::Result<()> {
    let protos = [
        "greeter",
        "hello",
        "nasty/names",
        "nasty/types",
        "no_package",
        "old",
    ]
    .map(|name| format!("../protos/{name}.proto"));
    micro_codegen::Builder::new()
        .include_file("protos.rs")
        .compile_protos(&protos, &["../protos"])
}

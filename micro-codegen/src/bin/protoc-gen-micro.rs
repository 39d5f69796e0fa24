//! The protoc plugin: reads a request on standard input and writes the answer to standard output.

use std::io::{Read, Write};
use std::process::ExitCode;

const HELP: &str = "\
protoc-gen-micro generates Rust code for Micro. protoc runs it:

    protoc --micro_out=src/protos [--micro_opt=PARAMETERS] hello.proto

Each package gives one file: hello.rs for the package hello, _.rs for no package.
PARAMETERS are separated by commas:

    root=::micro                   where generated code finds Micro
    server=false, client=false     leave out traits and servers, or clients
    ignore_unknown_fields          skip fields in JSON that a message does not have
    include_file=NAME              one more file with a module for each package
    btree_map=PATH, bytes=PATH     BTreeMap or Bytes for these packages, messages or fields
    extern_path=PROTO=RUST         take a package or type from elsewhere

In a build script no protoc is needed: see the library micro-codegen.
";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("--help" | "-h") => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Some("--version" | "-V") => {
            println!("protoc-gen-micro {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some(argument) => {
            eprintln!(
                "protoc-gen-micro: unknown argument {argument:?}; protoc gives none, and --help tells more"
            );
            ExitCode::from(2)
        }
        None => match answer() {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("protoc-gen-micro: {problem}");
                ExitCode::FAILURE
            }
        },
    }
}

fn answer() -> Result<(), Box<dyn std::error::Error>> {
    let mut request = Vec::new();
    std::io::stdin().read_to_end(&mut request)?;
    let (response, warnings) = micro_codegen::plugin::answer(&request)?;
    for warning in warnings {
        eprintln!("protoc-gen-micro: warning: {warning}");
    }
    std::io::stdout().write_all(&response)?;
    Ok(())
}

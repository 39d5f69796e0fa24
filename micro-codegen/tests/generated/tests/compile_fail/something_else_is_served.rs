use micro_codegen_generated::hello::HelloServer;

struct NoGreeter;

fn main() {
    let _ = HelloServer::new(NoGreeter);
}

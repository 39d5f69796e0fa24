//! `protoc-gen-micro` behind protoc, and behind a request that is made like protoc's.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prost::Message;
use prost_types::compiler::code_generator_response::Feature;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};

const PLUGIN: &str = env!("CARGO_BIN_EXE_protoc-gen-micro");

/// What protoc sends. The files' own bytes are added behind, since decoded ones have lost the options.
fn request(protos: &[&str], parameter: &str) -> Vec<u8> {
    let directory = protos_directory();
    let stand_ins = tempfile::tempdir().unwrap();
    let options = stand_ins.path().join("google/api");
    fs::create_dir_all(&options).unwrap();
    for name in ["annotations.proto", "http.proto"] {
        let bundled = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/protos/google/api")
            .join(name);
        fs::copy(bundled, options.join(name)).unwrap();
    }
    let mut compiler = protox::Compiler::new([directory.as_path(), stand_ins.path()]).unwrap();
    compiler.include_imports(true).include_source_info(true);
    for proto in protos {
        compiler.open_file(directory.join(proto)).unwrap();
    }
    let mut request = CodeGeneratorRequest {
        file_to_generate: protos.iter().map(|proto| (*proto).to_owned()).collect(),
        parameter: Some(parameter.to_owned()),
        ..CodeGeneratorRequest::default()
    }
    .encode_to_vec();
    for file in compiler.descriptor_pool().files() {
        prost::encoding::bytes::encode(15, &file.encode_to_vec(), &mut request);
    }
    request
}

fn protos_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protos")
}

fn golden(package: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{package}.rs"));
    fs::read_to_string(path).unwrap()
}

/// Runs the plugin as protoc does.
fn answer(request: &[u8]) -> CodeGeneratorResponse {
    let mut plugin = Command::new(PLUGIN)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    plugin.stdin.take().unwrap().write_all(request).unwrap();
    let output = plugin.wait_with_output().unwrap();
    assert!(output.status.success());
    CodeGeneratorResponse::decode(output.stdout.as_slice()).unwrap()
}

#[test]
fn the_plugin_writes_what_the_build_script_writes() {
    let response = answer(&request(&["hello.proto"], ""));
    assert_eq!(response.error, None);
    assert_eq!(response.supported_features(), Feature::Proto3Optional as u64);
    let files: Vec<(&str, &str)> = response
        .file
        .iter()
        .map(|file| (file.name(), file.content()))
        .collect();
    assert_eq!(files, [("hello.rs", golden("hello").as_str())]);
}

#[test]
fn several_files_of_several_packages_are_written_at_once() {
    let protos = [
        "nasty/names.proto",
        "nasty/types.proto",
        "no_package.proto",
        "hello.proto",
    ];
    let response = answer(&request(&protos, "include_file=mod.rs"));
    assert_eq!(response.error, None);
    let names: Vec<&str> = response.file.iter().map(|file| file.name()).collect();
    assert_eq!(
        names,
        ["_.rs", "hello.rs", "nasty.rs", "nasty.types.v1.rs", "mod.rs"]
    );
    assert_eq!(response.file[2].content(), golden("nasty"));
    assert!(
        response.file[4]
            .content()
            .contains("include!(\"nasty.types.v1.rs\")")
    );
}

#[test]
fn a_file_that_is_only_imported_gives_no_code() {
    let response = answer(&request(&["nasty/names.proto"], ""));
    assert_eq!(response.error, None);
    assert_eq!(response.file.len(), 1);
    assert_eq!(response.file[0].content(), golden("nasty"));
}

#[test]
fn routes_that_a_record_cannot_hold_are_warned_of() {
    let request = request(&["routes.proto"], "");
    let (response, warnings) = micro_codegen::plugin::answer(&request).unwrap();
    let response = CodeGeneratorResponse::decode(response.as_slice()).unwrap();
    let content = response.file[0].content();
    assert!(content.contains(r#".with_metadata("path", "/v1/mixed,/v2/mixed")"#));
    assert!(content.contains(r#".with_metadata("method", "HEAD")"#));
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("routes.Routes.Mixed") && warnings[0].contains("POST /v1/mixed, PUT /v3/mixed")
    );
}

#[test]
fn parameters_are_options() {
    let parameter = "root=crate::framework,client=false,ignore_unknown_fields";
    let response = answer(&request(&["hello.proto"], parameter));
    let content = response.file[0].content();
    assert!(content.contains("crate::framework::handler::unary") && !content.contains("HelloClient"));
    assert!(content.contains("IGNORE_UNKNOWN: bool = true"));
}

#[test]
fn what_is_wrong_goes_into_the_answer() {
    let response = answer(&request(&["hello.proto"], "rot=::micro"));
    assert!(response.error().contains("\"rot\" is unknown; known are root"));
    let response = answer(&request(&["hello.proto"], "client=maybe"));
    assert!(response.error().contains("client=maybe must be true or false"));
}

#[test]
fn what_is_no_request_is_refused() {
    let error = micro_codegen::plugin::answer(b"\xff\xff").unwrap_err();
    assert!(error.to_string().contains("not a CodeGeneratorRequest"));
}

#[test]
fn people_who_run_it_by_hand_are_told_what_it_is() {
    let output = |argument: &str| Command::new(PLUGIN).arg(argument).output().unwrap();
    let help = String::from_utf8(output("--help").stdout).unwrap();
    assert!(help.contains("protoc --micro_out=") && help.contains("root=::micro"));
    let version = String::from_utf8(output("--version").stdout).unwrap();
    assert_eq!(
        version.trim(),
        format!("protoc-gen-micro {}", env!("CARGO_PKG_VERSION"))
    );
    let unknown = output("--nonsense");
    assert!(!unknown.status.success());
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("--help"));
}

#[test]
fn the_real_protoc_runs_it() {
    if Command::new("protoc").arg("--version").output().is_err() {
        // The macros would be silenced in a test that passes.
        let message = "LEFT OUT: protoc is not installed, so the plugin was not tried behind it\n";
        std::io::stderr().write_all(message.as_bytes()).unwrap();
        return;
    }
    let output = tempfile::tempdir().unwrap();
    let result = Command::new("protoc")
        .arg(format!("--plugin=protoc-gen-micro={PLUGIN}"))
        .arg(format!("--micro_out={}", output.path().display()))
        .arg(format!("-I{}", protos_directory().display()))
        .arg(format!("-I{}/src/protos", env!("CARGO_MANIFEST_DIR")))
        .args(["hello.proto", "nasty/names.proto", "nasty/types.proto"])
        .output()
        .unwrap();
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    for package in ["hello", "nasty", "nasty.types.v1"] {
        let generated = fs::read_to_string(output.path().join(format!("{package}.rs"))).unwrap();
        assert_eq!(generated, golden(package), "{package}");
    }
}

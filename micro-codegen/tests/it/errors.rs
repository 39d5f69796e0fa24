//! What is wrong is said with its place and a way out.

use micro_codegen::{Builder, compile_protos};

use super::compiled::{Compiled, generated, refused};

fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
}

#[test]
fn a_syntax_error_has_file_line_and_column() {
    let error = refused("syntax = \"proto3\";\nmessage Broken {\n  string name 1;\n}\n");
    says(&error, &["test.proto:3:15", "expected"]);
}

#[test]
fn an_unknown_type_has_file_line_and_name() {
    let error = refused("syntax = \"proto3\";\nmessage M {\n  Nowhere n = 1;\n}\n");
    says(&error, &["test.proto:3:3", "Nowhere"]);
}

#[test]
fn a_missing_import_names_the_importer_and_the_include_directories() {
    let compiled = Compiled::new(&[("a.proto", "syntax = \"proto3\";\nimport \"gone/b.proto\";\n")]);
    let error = compiled
        .compile(&["a.proto"], Builder::new())
        .unwrap_err()
        .to_string();
    let directory = compiled.path().display().to_string();
    says(
        &error,
        &["a.proto:2:1", "gone/b.proto", &directory, "include directories"],
    );
}

#[test]
fn a_missing_file_is_told_with_where_it_was_looked_for() {
    let compiled = Compiled::new(&[]);
    let error = compiled.compile(&["gone.proto"], Builder::new()).unwrap_err();
    says(&error.to_string(), &["gone.proto", "does not exist"]);
    assert_eq!(format!("{error:?}"), error.to_string());
}

#[test]
fn a_file_outside_the_include_directories_is_told_so() {
    let (inside, outside) = (
        Compiled::new(&[]),
        Compiled::new(&[("a.proto", "syntax = \"proto3\";")]),
    );
    let error = Builder::new()
        .out_dir(inside.path())
        .compile_protos(&[outside.file("a.proto")], &[inside.path()])
        .unwrap_err()
        .to_string();
    says(
        &error,
        &["a.proto", "not in any include path", "add one that contains it"],
    );
}

#[test]
fn a_missing_include_directory_and_no_file_at_all_are_told() {
    let error = compile_protos(&["a.proto"], &["no/such/directory"]).unwrap_err();
    says(&error.to_string(), &["no/such/directory", "does not exist"]);
    let error = compile_protos(&[] as &[&str], &["."]).unwrap_err();
    says(&error.to_string(), &["no .proto file"]);
}

#[test]
fn a_message_called_like_a_services_client_is_refused() {
    let error = refused(
        "syntax = \"proto3\"; package test; message HelloClient {} message M {}
         service Hello { rpc Ping(M) returns (M); }",
    );
    says(
        &error,
        &[
            "message test.HelloClient",
            "client of service test.Hello",
            "rename",
        ],
    );
}

#[test]
fn names_that_differ_only_for_protobuf_are_refused() {
    let error = refused("syntax = \"proto3\"; package test; message foo_bar {} message FooBar {}");
    says(&error, &["test.foo_bar", "test.FooBar", "Rust type FooBar"]);
    let error = refused(
        "syntax = \"proto3\"; package test; message M {}
         service S { rpc SayIt(M) returns (M); rpc say_it(M) returns (M); }",
    );
    says(&error, &["SayIt", "say_it", "test.S", "say_it; rename"]);
}

#[test]
fn packages_that_differ_only_for_protobuf_are_refused() {
    let compiled = Compiled::new(&[
        ("a.proto", "syntax = \"proto3\"; package fooBar; message A {}"),
        ("b.proto", "syntax = \"proto3\"; package foo_bar; message B {}"),
    ]);
    let error = compiled
        .compile(&["a.proto", "b.proto"], Builder::new())
        .unwrap_err();
    says(&error.to_string(), &["fooBar", "foo_bar", "a.proto", "b.proto"]);
}

#[test]
fn a_type_of_google_that_is_not_brought_along_is_refused() {
    let error = refused(
        "syntax = \"proto3\"; package test; import \"google/protobuf/type.proto\";
         message M { google.protobuf.Type type = 1; }",
    );
    says(&error, &["test.M.type", "google.protobuf.Type", "extern_path"]);
}

#[test]
fn a_root_that_is_no_path_is_refused() {
    let compiled = Compiled::new(&[("a.proto", "syntax = \"proto3\";")]);
    let error = compiled
        .compile(&["a.proto"], Builder::new().root("not a path"))
        .unwrap_err();
    says(&error.to_string(), &["root", "\"not a path\""]);
}

#[test]
fn options_change_what_is_generated() {
    let source = "syntax = \"proto3\"; package test;
        message M { map<string, int32> numbers = 1; bytes data = 2; }
        service S { rpc Get(M) returns (M); }";
    let client = generated(
        source,
        Builder::new()
            .build_server(false)
            .btree_map(".")
            .bytes(".test.M.data")
            .type_attribute(".test.M", "#[derive(Eq)]")
            .ignore_unknown_fields(),
    );
    assert!(client.contains("pub struct SClient") && !client.contains("SServer"));
    assert!(client.contains("BTreeMap") && client.contains("Bytes") && client.contains("derive(Eq)"));
    assert!(client.contains("IGNORE_UNKNOWN: bool = true"));
    let server = generated(
        source,
        Builder::new().build_client(false).root("::elsewhere::micro"),
    );
    assert!(!server.contains("SClient") && server.contains("::elsewhere::micro::handler::unary"));
    assert!(!server.contains("::micro::codec") || server.contains("::elsewhere::micro::codec"));
}

#[test]
fn types_may_come_from_another_crate() {
    let source = "syntax = \"proto3\"; package test; import \"google/protobuf/timestamp.proto\";
        message M { google.protobuf.Timestamp time = 1; }";
    let code = generated(
        source,
        Builder::new().extern_path(".google.protobuf.Timestamp", "::clock::Time"),
    );
    assert!(
        code.contains("::clock::Time") && code.contains("json::Nested"),
        "{code}"
    );
    let code = generated(source, Builder::new().extern_path(".google.protobuf", "::google"));
    assert!(
        code.contains("::google::Timestamp") && !code.contains("WellKnown"),
        "{code}"
    );
}

//! The generated code, compared with what was committed. `UPDATE_GOLDEN=1 cargo test` writes it anew.

use std::fs;
use std::path::Path;

use micro_codegen::Builder;

fn is_golden(proto: &str, package: &str) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let output = tempfile::tempdir().unwrap();
    Builder::new()
        .cargo_directives(false)
        .out_dir(output.path())
        .compile_protos(&[tests.join("protos").join(proto)], &[tests.join("protos")])
        .unwrap();
    let generated = fs::read_to_string(output.path().join(format!("{package}.rs"))).unwrap();
    let golden = tests.join("golden").join(format!("{package}.rs"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &generated).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    let line = generated
        .lines()
        .zip(expected.lines())
        .position(|(generated, expected)| generated != expected);
    assert!(
        generated == expected,
        "{} differs from what is generated, first in line {:?}: look at the difference, and if it is meant, run the \
         test with UPDATE_GOLDEN=1",
        golden.display(),
        line.map(|line| line + 1)
    );
}

#[test]
fn a_small_service_gives_the_code_that_was_committed() {
    is_golden("hello.proto", "hello");
}

#[test]
fn a_service_of_traps_gives_the_code_that_was_committed() {
    is_golden("nasty/names.proto", "nasty");
    is_golden("nasty/types.proto", "nasty.types.v1");
}

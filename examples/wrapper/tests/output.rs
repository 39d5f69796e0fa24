//! The example prints what it did and ends well.

use std::process::Command;

#[test]
fn each_wrapper_does_its_part() {
    let run = Command::new(env!("CARGO_BIN_EXE_wrapper"))
        .output()
        .expect("the example starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.starts_with("caller:  Cave.Open answered "), "{said}");
    assert!(said.contains("come in, Ali Baba, you are number 1"), "{said}");
    assert!(said.contains("say the word (code 401)"), "{said}");
    assert!(said.ends_with("opened 1 time(s)\n"), "{said}");
}

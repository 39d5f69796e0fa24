//! Which texts are subjects.

/// Whether a text is a subject that can be published to, as it is: tokens between dots, without spaces, wildcards and
/// control characters.
///
/// # Errors
///
/// What is wrong with it, as the rest of a sentence that begins with the text.
pub fn check_subject(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("is empty, which is no subject of NATS");
    }
    if text.len() > 4096 - 256 {
        return Err("is too long for a subject of NATS, whose lines have 4096 bytes at most");
    }
    if text.chars().any(|char| char.is_whitespace() || char.is_control()) {
        return Err("has a space or a control character, which no subject of NATS has");
    }
    let mut tokens = text.split('.');
    if tokens.clone().any(str::is_empty) {
        return Err("has an empty part between its dots, which no subject of NATS has");
    }
    if tokens.any(|token| token == "*" || token == ">") {
        return Err("has a wildcard of NATS as a part; messages go to one subject");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_published_to_is_a_subject() {
        for good in [
            "a",
            "a.b",
            "UPPER.dash-and_underscore",
            "slash/and:colon",
            "grüße",
            "#",
            "a*b",
        ] {
            assert_eq!(check_subject(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "*",
            "a.*",
            "a.>",
            "with space",
            "a\nb",
            "a\0b",
            "a\u{a0}b",
        ] {
            assert!(check_subject(bad).is_err(), "{bad:?}");
        }
        assert!(check_subject(&"x".repeat(5000)).is_err());
    }
}

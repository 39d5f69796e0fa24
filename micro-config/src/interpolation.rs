//! `${NAME}` in texts.

/// Puts the values of variables into a text: `${NAME}` is the variable or nothing where it is not set,
/// `${NAME:-default}` is the default where it is not set or empty, and `$${` is `${` itself. What only looks similar
/// stays as it is: a name has letters, digits and `_`, and begins with no digit. A default ends at the first `}`.
///
/// None: there is nothing to put in.
pub(crate) fn interpolate(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut found = text.find("${")?;
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let (before, reference) = rest.split_at(found);
        match Reference::at_beginning(reference) {
            _ if before.ends_with('$') => {
                result.push_str(&before[..before.len() - 1]);
                result.push_str("${");
                rest = &reference[2..];
            }
            Some(reference) => {
                result.push_str(before);
                let set = variable(reference.name);
                match (set, reference.default) {
                    (Some(value), None) => result.push_str(&value),
                    (Some(value), Some(_)) if !value.is_empty() => result.push_str(&value),
                    (_, default) => result.push_str(default.unwrap_or_default()),
                }
                rest = reference.rest;
            }
            None => {
                result.push_str(before);
                result.push_str("${");
                rest = &reference[2..];
            }
        }
        match rest.find("${") {
            Some(next) => found = next,
            None => {
                result.push_str(rest);
                return Some(result);
            }
        }
    }
}

struct Reference<'a> {
    name: &'a str,
    default: Option<&'a str>,
    rest: &'a str,
}

impl<'a> Reference<'a> {
    fn at_beginning(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix("${")?;
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let end = text.find(|letter| !is_part(letter))?;
        let (name, text) = text.split_at(end);
        if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        if let Some(rest) = text.strip_prefix('}') {
            let default = None;
            return Some(Self { name, default, rest });
        }
        let (default, rest) = text.strip_prefix(":-")?.split_once('}')?;
        let default = Some(default);
        Some(Self { name, default, rest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put_into(text: &str) -> String {
        let variable = |name: &str| match name {
            "NAME" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${NAME}".to_owned()),
            _ => None,
        };
        interpolate(text, &variable).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn variables_are_put_in() {
        for (text, wanted) in [
            ("${NAME}", "value"),
            ("a ${NAME} b ${NAME}", "a value b value"),
            ("${MISSING}", ""),
            ("${MISSING:-default}", "default"),
            ("${EMPTY:-default}", "default"),
            ("${EMPTY}", ""),
            ("${NAME:-default}", "value"),
            ("${MISSING:-}", ""),
            ("${MISSING:-a:-b}", "a:-b"),
            ("$${NAME}", "${NAME}"),
            ("$$${NAME}", "$${NAME}"),
            ("${NESTED}", "${NAME}"),
            ("größer ${NAME} ✓", "größer value ✓"),
        ] {
            assert_eq!(put_into(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_only_looks_similar_stays() {
        for text in [
            "",
            "$",
            "$NAME",
            "${",
            "${}",
            "${NAME",
            "${1A}",
            "${a.b}",
            "${NAME:+x}",
            "${NAME:-x",
            "{NAME}",
            "$ {NAME}",
        ] {
            assert_eq!(put_into(text), text);
        }
        assert_eq!(put_into("${ ${NAME}"), "${ value");
    }

    proptest! {
        #[test]
        fn a_text_without_references_stays(text in "[^$]*") {
            prop_assert_eq!(interpolate(&text, &|_| None), None);
        }

        #[test]
        fn any_text_is_put_into_without_a_panic(text in "[${}:\\-A-Z_ ✓]{0,40}") {
            put_into(&text);
        }

        #[test]
        fn what_was_escaped_comes_out_as_it_was(text in "[${}:\\-A-Z_a]{0,20}") {
            let escaped = text.replace("${", "$${");
            prop_assert_eq!(put_into(&escaped), text);
        }

        #[test]
        fn what_is_around_a_reference_stays(before in "[^$]{0,10}", after in "[^$]{0,10}") {
            prop_assert_eq!(put_into(&format!("{before}${{NAME}}{after}")), format!("{before}value{after}"));
        }
    }
}

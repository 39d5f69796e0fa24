//! `${NAME}` in texts.

/// Puts the values of variables into a text: `${NAME}` is the variable or nothing where it is not set, `${NAME:-default}`
/// is the default where it is not set or empty, and `$${` is `${` itself. What only looks similar stays as it is: a
/// name has letters, digits and `_`, and begins with no digit. A default ends at the first `}`.
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

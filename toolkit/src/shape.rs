//! The shape of a message as a tree, and an example of it in JSON.

use micro::registry::Value;

use crate::screen::{Paint, Palette, harmless};

/// Records of hostile services may nest without end; nobody looks deeper.
const DEEPEST: usize = 16;

/// What a branch of the tree says: a label, its type, and what is inside.
pub(crate) struct Branch<'a> {
    label: &'a str,
    kind: &'a str,
    inside: &'a [Value],
}

impl<'a> Branch<'a> {
    /// A branch for a message of an endpoint: `request` or `response`.
    pub(crate) fn message(label: &'static str, value: Option<&'a Value>) -> Self {
        Self {
            label,
            kind: value.map_or("–", kind),
            inside: value.map_or(&[], |value| &value.values),
        }
    }
}

/// The branches below a line, one a line.
pub(crate) fn tree(branches: &[Branch<'_>], palette: Palette) -> Vec<String> {
    let mut lines = Vec::new();
    grow(branches, "", palette, DEEPEST, &mut lines);
    lines
}

fn grow(branches: &[Branch<'_>], stem: &str, palette: Palette, depth: usize, lines: &mut Vec<String>) {
    let widest = branches
        .iter()
        .map(|branch| branch.label.chars().count())
        .max()
        .unwrap_or(0);
    for (number, branch) in branches.iter().enumerate() {
        let is_last = number + 1 == branches.len();
        let (fork, below) = if is_last {
            ("└─", "  ")
        } else {
            ("├─", "│ ")
        };
        let space = " ".repeat(widest - branch.label.chars().count());
        lines.push(format!(
            "{} {}{space}  {}",
            palette.paint(Paint::Quiet, format!("{stem}{fork}")),
            harmless(branch.label),
            palette.paint(Paint::Name, harmless(branch.kind)),
        ));
        if depth > 0 {
            let inside: Vec<Branch<'_>> = branch.inside.iter().map(field).collect();
            grow(&inside, &format!("{stem}{below} "), palette, depth - 1, lines);
        }
    }
}

fn field(value: &Value) -> Branch<'_> {
    Branch {
        label: &value.name,
        kind: kind(value),
        inside: &value.values,
    }
}

/// Go's records have no name for the types of maps.
fn kind(value: &Value) -> &str {
    match value.kind.as_str() {
        "" => "map",
        kind => kind,
    }
}

/// A request of this shape as JSON in one line, with values to be replaced.
pub(crate) fn example(value: Option<&Value>) -> String {
    value.map_or_else(|| "{}".to_owned(), |value| of(value, &value.kind, DEEPEST, true))
}

fn of(value: &Value, kind: &str, depth: usize, is_root: bool) -> String {
    let kind = kind.trim_start_matches('*');
    let list = kind.strip_prefix("[]").or_else(|| inside(kind, "Vec<"));
    // The name of a type may nest without end, too.
    if let Some(item) = inside(kind, "Option<").filter(|_| depth > 0) {
        return of(value, item, depth - 1, is_root);
    }
    if let Some(item) = list.filter(|_| depth > 0 && scalar(kind).is_none()) {
        return format!("[{}]", of(value, item, depth - 1, false));
    }
    if let Some(scalar) = scalar(kind) {
        return scalar.to_owned();
    }
    if value.values.is_empty() || depth == 0 {
        // A map, a message of which nothing is known, or an enumeration: `null` means "not set" for each.
        return if is_root || kind.is_empty() { "{}" } else { "null" }.to_owned();
    }
    let fields = value.values.iter().map(|field| {
        let name = serde_json::Value::from(field.name.as_str());
        format!("{name}:{}", of(field, &field.kind, depth - 1, false))
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// What Rust's records call `Vec<T>` and `Option<T>`.
fn inside<'a>(kind: &'a str, around: &str) -> Option<&'a str> {
    kind.strip_prefix(around)?.strip_suffix('>')
}

/// By the names of Go, of Rust and of protobuf.
fn scalar(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "string" | "String" | "str" | "&str" => "\"text\"",
        "bool" => "true",
        "int" | "int8" | "int16" | "int32" | "int64" | "uint" | "uint8" | "uint16" | "uint32" | "uint64" => {
            "1"
        }
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "isize" | "usize" => "1",
        "float32" | "float64" | "f32" | "f64" | "float" | "double" => "1.5",
        "[]uint8" | "[]byte" | "bytes" => "\"Ynl0ZXM=\"",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, kind: &str, values: Vec<Value>) -> Value {
        Value {
            name: name.into(),
            kind: kind.into(),
            values,
        }
    }

    #[test]
    fn a_type_that_nests_without_end_is_cut() {
        let hostile = value("Request", &"[]".repeat(100_000), Vec::new());
        assert!(example(Some(&hostile)).len() < 100);
        let hostile = value(
            "Request",
            &("Option<".repeat(50_000) + &">".repeat(50_000)),
            Vec::new(),
        );
        assert!(example(Some(&hostile)).len() < 100);
    }

    fn order() -> Value {
        let item = |name: &str| {
            value(
                name,
                "[]Item",
                vec![value("sku", "string", vec![]), value("count", "int64", vec![])],
            )
        };
        value(
            "Order",
            "Order",
            vec![
                item("items"),
                value("labels", "", vec![]),
                value("state", "State", vec![]),
                value("proof", "[]uint8", vec![]),
            ],
        )
    }

    #[test]
    fn a_shape_is_a_tree_whose_types_line_up() {
        let order = order();
        let branches = [
            Branch::message("request", Some(&order)),
            Branch::message("response", None),
        ];
        assert_eq!(
            tree(&branches, Palette::PLAIN),
            [
                "├─ request   Order",
                "│  ├─ items   []Item",
                "│  │  ├─ sku    string",
                "│  │  └─ count  int64",
                "│  ├─ labels  map",
                "│  ├─ state   State",
                "│  └─ proof   []uint8",
                "└─ response  –",
            ]
        );
    }

    #[test]
    fn an_example_has_a_value_for_each_field() {
        let text = example(Some(&order()));
        assert_eq!(
            text,
            r#"{"items":[{"sku":"text","count":1}],"labels":{},"state":null,"proof":"Ynl0ZXM="}"#
        );
        crate::json::check(&text).unwrap();
        assert_eq!(example(None), "{}");
        assert_eq!(example(Some(&value("String", "String", vec![]))), "\"text\"");
        assert_eq!(example(Some(&value("", "Vec<Option<f64>>", vec![]))), "[1.5]");
        assert_eq!(example(Some(&value("Empty", "Empty", vec![]))), "{}");
    }

    #[test]
    fn a_shape_without_end_is_cut() {
        let mut deep = value("leaf", "string", vec![]);
        for _ in 0..1000 {
            deep = value("x", "X", vec![deep]);
        }
        assert!(tree(&[Branch::message("request", Some(&deep))], Palette::PLAIN).len() <= DEEPEST + 1);
        crate::json::check(&example(Some(&deep))).unwrap();
    }
}

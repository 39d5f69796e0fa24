//! One thing that a program accepts on its command line.

/// One thing that a program accepts: a flag with a value, a list, a switch, or a word without a flag.
///
/// The framework's own flags are made of the same; a program adds to them with
/// [`Arguments::argument`](super::Arguments::argument).
///
/// ```
/// use micro::Argument;
///
/// const NAME: Argument = Argument::positional("name", "Whom to greet").default("World");
/// const GREETING: Argument = Argument::flag("greeting", "How to greet").variable("GREETING");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) value_name: &'static str,
    pub(super) variable: Option<&'static str>,
    pub(super) default: Option<&'static str>,
    pub(super) is_required: bool,
    pub(super) group: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Flag,
    List,
    Switch,
    Positional,
    Rest,
}

impl Argument {
    const fn new(kind: Kind, name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            kind,
            value_name: "VALUE",
            variable: None,
            default: None,
            is_required: false,
            group: None,
        }
    }

    /// A flag with one value: `--name value` or `--name=value`. Given several times, the last one counts.
    ///
    /// Write names with underscores; dashes are accepted as well.
    pub const fn flag(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Flag, name, help)
    }

    /// A flag with a list of values, separated by commas or given one by one.
    pub const fn list(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::List, name, help)
    }

    /// A flag that is on when it is there. `--name=false` turns off what a variable turned on.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Switch, name, help)
    }

    /// A word without a flag, by its place.
    pub const fn positional(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Positional, name, help)
    }

    /// All words without a flag that are left. Only the last positional argument can be such.
    pub const fn rest(name: &'static str, help: &'static str) -> Self {
        Self::new(Kind::Rest, name, help)
    }

    /// The environment variable that counts where the argument is not given. Default: none.
    #[must_use]
    pub const fn variable(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }

    /// What counts where neither argument nor variable is given. Default: nothing.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// What the help calls the value. Default: `VALUE`.
    #[must_use]
    pub const fn value_name(mut self, name: &'static str) -> Self {
        self.value_name = name;
        self
    }

    /// States that the program cannot do without. Default: it can.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// The heading under which the help shows it. Default: `Options` or `Arguments`.
    #[must_use]
    pub const fn group(mut self, heading: &'static str) -> Self {
        self.group = Some(heading);
        self
    }

    pub(super) fn is_positional(&self) -> bool {
        matches!(self.kind, Kind::Positional | Kind::Rest)
    }

    /// How messages name it: `--flag`, or `<NAME>` for a positional argument.
    pub(super) fn shown(&self) -> String {
        if self.is_positional() {
            format!("<{}>", self.name.to_uppercase())
        } else {
            format!("--{}", self.name)
        }
    }
}

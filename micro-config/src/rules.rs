//! What makes a view of the merged sources, or refuses to.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::decrypt::{Answers, Decrypt, MARK};
use crate::interpolation::interpolate;
use crate::tree::Tree;
use crate::{Error, ErrorKind, Result, View};

/// How many bytes variables may put into one view, in MiB. Each `${NAME}` is short and what it stands for may be long.
const MOST_PUT_IN: usize = 16;
/// How many decrypted values are kept that may not be part of what counts.
const MOST_KEPT: usize = 4096;

pub(crate) type Variable = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;
pub(crate) type Validate = Box<dyn Fn(&View) -> Result<(), String> + Send + Sync>;
/// Why texts cannot be decrypted.
pub(crate) type Sealed = HashMap<String, String>;

/// What makes a view of the merged sources, or refuses to.
pub(crate) struct Rules {
    pub(crate) variable: Variable,
    pub(crate) decrypt: Option<Arc<dyn Decrypt>>,
    pub(crate) validate: Vec<Validate>,
    /// What was decrypted, by what it was.
    pub(crate) clear: HashMap<String, String>,
    /// What was decrypted of what counts.
    pub(crate) used: HashSet<String>,
}

/// What came of a tree.
pub(crate) enum Made {
    View {
        view: View,
        /// What was decrypted for it.
        used: HashSet<String>,
    },
    /// These are to be decrypted first.
    Needs(Vec<String>),
}

impl Rules {
    /// Puts in variables and what was decrypted, and validates. Some texts may have been asked for in vain.
    pub(crate) fn view(&self, mut tree: Tree, sealed: &Sealed) -> Result<Made> {
        self.put_in_variables(&mut tree)?;
        let mut needs = Vec::new();
        let mut used = HashSet::new();
        let mut failed = None;
        tree.each_text(&mut String::new(), &mut |path, place, text| {
            let Some(rest) = text.strip_prefix(MARK) else {
                return;
            };
            if let Some(clear) = self.clear.get(rest) {
                used.insert(rest.to_owned());
                *text = clear.clone();
            } else if let Some(problem) = sealed.get(rest) {
                let message = format!("{path}: it cannot be decrypted ({place}): {problem}");
                failed.get_or_insert(Error::new(self.kind_of_failure(), message));
            } else {
                needs.push(rest.to_owned());
            }
        });
        if let Some(failed) = failed {
            return Err(failed);
        }
        if !needs.is_empty() {
            needs.sort_unstable();
            needs.dedup();
            return Ok(Made::Needs(needs));
        }
        let view = View::new(tree);
        self.validate(&view)?;
        Ok(Made::View { view, used })
    }

    /// Keeps what was decrypted, whatever becomes of the update that it was for. What could not be is answered.
    pub(crate) fn learn(&mut self, answers: Answers) -> Sealed {
        if self.clear.len() > MOST_KEPT {
            self.forget_unused();
        }
        let mut sealed = Sealed::new();
        for (text, answer) in answers {
            match answer {
                Ok(clear) => {
                    self.clear.insert(text, clear);
                }
                Err(problem) => {
                    sealed.insert(text, problem);
                }
            }
        }
        sealed
    }

    /// What these were decrypted for counts now.
    pub(crate) fn accepted(&mut self, used: HashSet<String>) {
        self.used = used;
        self.forget_unused();
    }

    fn forget_unused(&mut self) {
        let used = &self.used;
        self.clear.retain(|text, _| used.contains(text));
    }

    fn kind_of_failure(&self) -> ErrorKind {
        match self.decrypt {
            Some(_) => ErrorKind::Unavailable,
            None => ErrorKind::Misused,
        }
    }

    fn put_in_variables(&self, tree: &mut Tree) -> Result<()> {
        let left = Cell::new(Some(MOST_PUT_IN * 1024 * 1024));
        let panicked = Cell::new(false);
        let variable = |name: &str| {
            let left_now = left.get()?;
            let value = catch_unwind(AssertUnwindSafe(|| (self.variable)(name)));
            let value = value.unwrap_or_else(|_| {
                panicked.set(true);
                None
            })?;
            left.set(left_now.checked_sub(value.len()));
            left.get().map(|_| value)
        };
        let mut failed = None;
        tree.each_text(&mut String::new(), &mut |path, place, text| {
            if failed.is_some() {
                return;
            }
            if let Some(replaced) = interpolate(text, &variable) {
                *text = replaced;
            }
            let why = match (panicked.get(), left.get()) {
                (true, _) => "the lookup of a variable panicked".to_owned(),
                (false, None) => format!("variables put in more than {MOST_PUT_IN} MiB"),
                (false, Some(_)) => return,
            };
            let error = Error::new(ErrorKind::Invalid, format_args!("{path}: {why} ({place})"));
            failed = Some(error);
        });
        failed.map_or(Ok(()), Err)
    }

    fn validate(&self, view: &View) -> Result<()> {
        for validate in &self.validate {
            let valid = catch_unwind(AssertUnwindSafe(|| validate(view)));
            let valid = valid.unwrap_or_else(|_| Err("the validation panicked".to_owned()));
            valid.map_err(|problem| {
                Error::new(
                    ErrorKind::Invalid,
                    format_args!("the validation refused it: {problem}"),
                )
            })?;
        }
        Ok(())
    }
}

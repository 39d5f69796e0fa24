//! What makes a view of the merged sources, or refuses to.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::timeout;

use crate::decrypt::{Decrypt, MARK};
use crate::interpolation::interpolate;
use crate::tree::Tree;
use crate::{Error, ErrorKind, Result, View};

/// How long decrypting one value may take.
const LONGEST_DECRYPTION: Duration = Duration::from_secs(10);

pub(crate) type Variable = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;
pub(crate) type Validate = Box<dyn Fn(&View) -> Result<(), String> + Send + Sync>;

/// What makes a view of the merged sources, or refuses to.
pub(crate) struct Rules {
    pub(crate) variable: Variable,
    pub(crate) decrypt: Option<Box<dyn Decrypt>>,
    pub(crate) validate: Vec<Validate>,
    /// What was decrypted, by what it was.
    pub(crate) clear: HashMap<String, String>,
}

impl Rules {
    /// Puts in variables, decrypts and validates.
    pub(crate) async fn view(&mut self, mut tree: Tree) -> Result<View> {
        tree.each_text(&mut String::new(), &mut |_, _, text| {
            if let Some(replaced) = interpolate(text, &self.variable) {
                *text = replaced;
            }
        });
        self.decrypt(&mut tree).await?;
        let view = View::new(tree);
        self.validate(&view)?;
        Ok(view)
    }

    async fn decrypt(&mut self, tree: &mut Tree) -> Result<()> {
        let mut sealed = Vec::new();
        tree.each_text(&mut String::new(), &mut |path, place, text| {
            if let Some(rest) = text.strip_prefix(MARK) {
                sealed.push((
                    rest.to_owned(),
                    format!("{path}: it cannot be decrypted ({place})"),
                ));
            }
        });
        let mut clear = HashMap::with_capacity(sealed.len());
        for (text, attempted) in sealed {
            if clear.contains_key(&text) {
                continue;
            }
            let answer = match self.clear.get(&text) {
                Some(answer) => answer.clone(),
                None => self.ask(&text).await.map_err(|error| error.context(attempted))?,
            };
            clear.insert(text, answer);
        }
        tree.each_text(&mut String::new(), &mut |_, _, text| {
            if let Some(answer) = text.strip_prefix(MARK).and_then(|rest| clear.get(rest)) {
                *text = answer.clone();
            }
        });
        self.clear = clear;
        Ok(())
    }

    async fn ask(&self, sealed: &str) -> Result<String> {
        let Some(decrypt) = &self.decrypt else {
            return Err(Error::new(
                ErrorKind::Misused,
                "nothing that decrypts was given to the configuration",
            ));
        };
        match timeout(LONGEST_DECRYPTION, decrypt.decrypt(sealed)).await {
            Ok(Ok(clear)) => Ok(clear),
            Ok(Err(problem)) => Err(Error::new(ErrorKind::Unavailable, problem)),
            Err(_) => Err(Error::new(
                ErrorKind::Unavailable,
                format_args!("no answer within {LONGEST_DECRYPTION:?}"),
            )),
        }
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

//! All changes of some kernels' orderings, each tried, and how many were noticed.

use std::fmt;

use rayon::prelude::*;

use super::{Change, Edit, Equivalent, Outcome, Trial, TrialError, edits, orderings};
use crate::ptx::ParseError;

/// Kernels that come from the same source, and the program that tests them.
#[derive(Debug, Clone)]
pub struct Family {
    /// What their names begin with.
    pub name: String,
    /// The module that has them.
    pub ptx: String,
    /// What is tried.
    pub edits: Vec<Edit>,
    /// By whom.
    pub trial: Trial,
}

impl Family {
    /// All that holds these kernels in order, removed or weakened, statement by statement; files for whose name
    /// `is_wrapper` holds have wrappers of instructions.
    ///
    /// # Errors
    /// What the parser says of the text.
    pub fn new(
        name: &str,
        ptx: &str,
        trial: Trial,
        is_wrapper: impl Fn(&str) -> bool,
    ) -> Result<Self, ParseError> {
        let mutants = orderings(ptx, |kernel| kernel.starts_with(name))?;
        Ok(Self { name: name.to_owned(), ptx: ptx.to_owned(), edits: edits(mutants, is_wrapper), trial })
    }
}

/// What came of one change.
#[derive(Debug, Clone)]
pub struct Tried<'a> {
    /// Of these kernels.
    pub family: &'a str,
    /// The change.
    pub edit: &'a Edit,
    /// Why it is said to make no difference.
    pub equivalent: Option<&'a Equivalent>,
    /// Whether somebody noticed.
    pub outcome: Outcome,
}

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match (&self.outcome, self.equivalent, self.edit.change) {
            (Outcome::Passed, _, Change::Hint) => "hint      ",
            (Outcome::Passed, Some(_), _) => "equivalent",
            (Outcome::Passed, None, _) => "SURVIVES  ",
            _ => "caught    ",
        };
        write!(f, "{class} {}: {}", self.family, self.edit)?;
        match (&self.outcome, self.equivalent) {
            (Outcome::Passed, None) => Ok(()),
            (Outcome::Passed, Some(equivalent)) => write!(f, ": {}", equivalent.because),
            (outcome, _) => write!(f, ": {outcome}"),
        }
    }
}

/// Tries all changes, on all cores, and tells of each as it ends. The programs must pass with the kernels as they are.
///
/// # Errors
/// Where a trial says nothing, or a program fails on its own kernels.
pub fn survey<'a>(
    families: &'a [Family],
    equivalents: &'a [Equivalent],
    tell: impl Fn(&Tried<'a>) + Sync,
) -> Result<Vec<Tried<'a>>, SurveyError> {
    families.par_iter().try_for_each(|family| match family.trial.run(&family.ptx) {
        Ok(Outcome::Passed) => Ok(()),
        Ok(outcome) => Err(SurveyError::Unchanged { family: family.name.clone(), outcome }),
        Err(error) => Err(SurveyError::Trial { what: family.name.clone(), error }),
    })?;
    let all: Vec<_> = families.iter().flat_map(|f| f.edits.iter().map(move |edit| (f, edit))).collect();
    all.into_par_iter()
        // One at a time, so that the order is nearly that of the source.
        .with_max_len(1)
        .map(|(family, edit)| {
            let equivalent = equivalents.iter().find(|known| known.is(&family.name, edit));
            let outcome = family
                .trial
                .run(&edit.apply(&family.ptx))
                .map_err(|error| SurveyError::Trial { what: format!("{}: {edit}", family.name), error })?;
            let tried = Tried { family: &family.name, edit, equivalent, outcome };
            tell(&tried);
            Ok(tried)
        })
        .collect()
}

/// Why nothing can be said of a program's tests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// It does not pass with the kernels as they are.
    #[error("{family}: with the kernels as they are: {outcome}")]
    Unchanged {
        /// The kernels.
        family: String,
        /// What came of it.
        outcome: Outcome,
    },
    /// A change could not be tried.
    #[error("{what}: {error}")]
    Trial {
        /// The change.
        what: String,
        /// Why.
        error: TrialError,
    },
}

/// How many changes were noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    /// Those that somebody noticed.
    pub caught: usize,
    /// Those that somebody should notice.
    pub all: usize,
    /// Those that nobody can.
    pub equivalent: usize,
    /// Hints, which are not counted.
    pub hints: usize,
}

impl Score {
    /// Of these.
    pub fn of(tried: &[Tried<'_>]) -> Self {
        let count = |is: &dyn Fn(&Tried<'_>) -> bool| tried.iter().filter(|one| is(one)).count();
        let is_hint = |one: &Tried<'_>| one.edit.change == Change::Hint;
        let counts = |one: &Tried<'_>| !is_hint(one) && one.equivalent.is_none();
        Self {
            caught: count(&|one| counts(one) && one.outcome != Outcome::Passed),
            all: count(&counts),
            equivalent: count(&|one| !is_hint(one) && one.equivalent.is_some()),
            hints: count(&is_hint),
        }
    }

    /// Those that were noticed, in percent of those that somebody should notice.
    pub fn percent(&self) -> f64 {
        100.0 * self.caught as f64 / self.all.max(1) as f64
    }
}

impl fmt::Display for Score {
    /// Rounded down: 100 % is all of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.percent() * 10.0).floor() / 10.0;
        write!(f, "mutants: {} of {} caught, {tenths:.1} %", self.caught, self.all)
    }
}

/// What a list of equivalent changes says that is not so: of changes that are not there, or were noticed.
pub fn untrue(families: &[Family], equivalents: &[Equivalent], tried: &[Tried<'_>]) -> Vec<String> {
    let is_there =
        |known: &Equivalent| families.iter().any(|f| f.edits.iter().any(|edit| known.is(&f.name, edit)));
    let gone = equivalents.iter().filter(|known| !is_there(known)).map(|known| {
        format!("the list, line {}: there is no `{}`, {}", known.line, known.source, known.change)
    });
    let noticed = tried.iter().filter(|one| one.equivalent.is_some() && one.outcome != Outcome::Passed);
    gone.chain(noticed.map(|one| format!("is said to be equivalent: {one}"))).collect()
}

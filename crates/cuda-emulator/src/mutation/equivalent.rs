//! Lists of changes that no test can notice, each argued for by hand.
//!
//! ```text
//! # A comment.
//! family: fp8_gemm_hopper
//! source: mbarrier_arrive_expect(shared.full[s], kBytes);
//! change: mbarrier.arrive.expect_tx.shared::cta.b64 relaxed
//! because: nobody reads what this thread has written
//! manual: mbarrier.arrive (9.7.13.15.13): what the clause says, in one's own words,
//!     however long it is
//!
//! family: ...
//! ```

use super::Edit;

/// A change that makes no difference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Equivalent {
    /// The kernels, by the beginning of their names.
    pub family: String,
    /// A part of the source line, or of it and the next one with a space between.
    pub source: String,
    /// A part of [`Edit::what`].
    pub change: String,
    /// Why it makes no difference.
    pub because: String,
    /// The clause of the PTX manual that makes it so.
    pub manual: String,
    /// Line of the list, from 1.
    pub line: u32,
}

/// What is wrong with a list.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ListError {
    line: u32,
    problem: String,
}

impl Equivalent {
    /// Reads a list.
    ///
    /// # Errors
    /// An entry of which something is missing, or a line that belongs to none.
    pub fn list(text: &str) -> Result<Vec<Self>, ListError> {
        let mut all = Vec::<Self>::new();
        // The field that a line continues.
        let mut last: Option<usize> = None;
        for (line, number) in text.lines().zip(1u32..).filter(|(line, _)| !line.starts_with('#')) {
            let error = |problem: String| ListError { line: number, problem };
            if line.trim().is_empty() {
                last = None;
            } else if line.starts_with(' ') {
                let continued = last.zip(all.last_mut());
                let field = continued.and_then(|(n, entry)| entry.fields().into_iter().nth(n));
                let (_, value) = field.ok_or_else(|| error("it continues nothing".to_owned()))?;
                *value = format!("{value} {}", line.trim());
            } else {
                let (name, value) =
                    line.split_once(':').ok_or_else(|| error("no `name: value`".to_owned()))?;
                let mut entry = match last {
                    Some(_) => all.pop().unwrap_or_default(),
                    None => Self { line: number, ..Self::default() },
                };
                let fields = entry.fields().into_iter().enumerate();
                let known = fields.into_iter().find(|(_, (known, _))| *known == name);
                let (n, (_, field)) = known.ok_or_else(|| error(format!("there is no `{name}`")))?;
                *field = value.trim().to_owned();
                last = Some(n);
                all.push(entry);
            }
        }
        for entry in &mut all {
            let line = entry.line;
            if let Some((name, _)) = entry.fields().into_iter().find(|(_, value)| value.is_empty()) {
                return Err(ListError { line, problem: format!("an entry without `{name}`") });
            }
        }
        Ok(all)
    }

    fn fields(&mut self) -> [(&'static str, &mut String); 5] {
        [
            ("family", &mut self.family),
            ("source", &mut self.source),
            ("change", &mut self.change),
            ("because", &mut self.because),
            ("manual", &mut self.manual),
        ]
    }

    /// Is it this change of these kernels?
    pub fn is(&self, family: &str, edit: &Edit) -> bool {
        // What stands in the next line alone is the next one's.
        let goes_on = || format!("{} {}", edit.text, edit.next).contains(&self.source);
        let stands = edit.text.contains(&self.source) || !edit.next.contains(&self.source) && goes_on();
        self.family == family && edit.what().contains(&self.change) && stands
    }
}

#[cfg(test)]
mod tests {
    use super::Equivalent;

    #[test]
    fn a_list_is_read() {
        let list = Equivalent::list(
            "# Two.\nfamily: f\nsource: a: b;\nchange: bar.sync removed\nbecause: x\nmanual: 9.7:\n    says so\n\n\
             family: g\nsource: s\nchange: c\n# Why?\nbecause: y\nmanual: m\n",
        )
        .unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].source.as_str(), list[0].manual.as_str()), ("a: b;", "9.7: says so"));
        assert_eq!((list[1].family.as_str(), list[1].line), ("g", 9));
    }

    #[test]
    fn a_list_with_a_mistake_is_refused() {
        for (text, problem) in [
            ("family: f\nsource: s\nchange: c\nbecause: b\n", "line 1: an entry without `manual`"),
            ("family: f\nreason: r\n", "line 2: there is no `reason`"),
            ("family\n", "line 1: no `name: value`"),
            ("\n  and so on\n", "line 2: it continues nothing"),
        ] {
            assert_eq!(Equivalent::list(text).unwrap_err().to_string(), problem);
        }
    }
}

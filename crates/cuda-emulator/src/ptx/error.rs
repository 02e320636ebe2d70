//! Where a PTX text stops being PTX.

/// PTX that could not be read: where, what stands there, and what would have been right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("PTX line {line}, column {column}: expected {expected}, found {found}\n  {text}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What stands there.
    pub found: String,
    /// What could have stood there.
    pub expected: String,
    /// The offending line (its beginning, if it is very long).
    pub text: String,
}

/// The most that is quoted of one line, in characters.
const QUOTED: usize = 160;

impl ParseError {
    /// The error at byte `offset` of `source`, which is in `line`.
    pub(super) fn at(
        source: &str,
        offset: usize,
        line: u32,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> ParseError {
        let start = source[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let whole = source[start..].lines().next().unwrap_or("");
        let column = source[start..offset].chars().count() + 1;
        ParseError {
            line,
            column: u32::try_from(column).unwrap_or(u32::MAX),
            found: found.into(),
            expected: expected.into(),
            text: whole.chars().take(QUOTED).collect(),
        }
    }
}

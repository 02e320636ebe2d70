//! PTX text to tokens: slices of the text, each with its line.

use super::error::ParseError;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `mad`, `%r1`, `$L__BB0_2`, `_`.
    Word,
    /// A directive or a modifier with its dot: `.reg`, `.shared::cta`, `.m64n8k32`.
    Dot,
    /// Anything that begins with a digit: `12`, `0xFFU`, `0f3F800000`, `1.5e-3`.
    Number,
    /// A string with its quotes.
    String,
    /// One character of punctuation.
    Punct(u8),
    /// After the last token.
    End,
}

/// A slice of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    pub line: u32,
}

/// All tokens of `text`; the last one is `Kind::End`.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ParseError> {
    let mut lexer = Lexer { text, bytes: text.as_bytes(), at: 0, line: 1 };
    // A little denser than what nvcc writes, so that the vector rarely grows.
    let mut tokens = Vec::with_capacity(text.len() / 3 + 1);
    if text.starts_with('\u{feff}') {
        lexer.at = '\u{feff}'.len_utf8();
    }
    loop {
        let token = lexer.next()?;
        tokens.push(token);
        if token.kind == Kind::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: u32,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Token, ParseError> {
        self.skip_blanks()?;
        let (start, line) = (self.at, self.line);
        let kind = match self.peek(0) {
            0 if start == self.bytes.len() => Kind::End,
            b'0'..=b'9' => {
                self.number();
                Kind::Number
            }
            b'.' if is_name(self.peek(1)) => {
                self.at += 1;
                self.name();
                // `shared::cta` is one word; a label's colon stands alone.
                while self.bytes[self.at..].starts_with(b"::") && is_name(self.peek(2)) {
                    self.at += 2;
                    self.name();
                }
                Kind::Dot
            }
            b'%' if !is_name(self.peek(1)) => {
                self.at += 1;
                Kind::Punct(b'%')
            }
            b'%' => {
                self.at += 1;
                self.name();
                Kind::Word
            }
            b if is_name(b) => {
                self.name();
                Kind::Word
            }
            b'"' => {
                self.string()?;
                Kind::String
            }
            b if b.is_ascii_punctuation() => {
                self.at += 1;
                Kind::Punct(b)
            }
            _ => {
                let odd = self.text[start..].chars().next().unwrap_or('\0');
                return Err(self.error(start, line, format!("the character {odd:?}"), "PTX"));
            }
        };
        Ok(Token { kind, start, end: self.at, line })
    }

    /// The byte `ahead` of the current one; 0 beyond the end.
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn skip_blanks(&mut self) -> Result<(), ParseError> {
        loop {
            match self.peek(0) {
                b'\n' => {
                    self.line += 1;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
                b'/' if self.peek(1) == b'/' => {
                    let rest = &self.bytes[self.at..];
                    self.at += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
                }
                b'/' if self.peek(1) == b'*' => {
                    let (start, line) = (self.at, self.line);
                    let Some(length) = self.text[start + 2..].find("*/") else {
                        return Err(self.error(start, line, "a comment without end", "`*/`"));
                    };
                    self.at = start + 2 + length + 2;
                    self.count_lines(start);
                }
                _ => return Ok(()),
            }
        }
    }

    fn name(&mut self) {
        while is_name(self.peek(0)) {
            self.at += 1;
        }
    }

    fn number(&mut self) {
        let start = self.at;
        self.name();
        let is_decimal = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
        if self.peek(0) == b'.' && is_decimal(&self.bytes[start..self.at]) {
            self.at += 1;
            self.name();
        }
        // `1e-5`: the sign belongs to the number, unless it follows a hexadecimal one.
        let mantissa = match &self.bytes[start..self.at] {
            [mantissa @ .., b'e' | b'E'] => mantissa,
            _ => return,
        };
        let is_float = mantissa.iter().all(|b| b.is_ascii_digit() || *b == b'.');
        if is_float && matches!(self.peek(0), b'+' | b'-') && self.peek(1).is_ascii_digit() {
            self.at += 1;
            self.name();
        }
    }

    fn string(&mut self) -> Result<(), ParseError> {
        let (start, line) = (self.at, self.line);
        let Some(length) = self.text[start + 1..].find('"') else {
            return Err(self.error(start, line, "a string without end", "`\"`"));
        };
        self.at = start + 1 + length + 1;
        self.count_lines(start);
        Ok(())
    }

    /// Counts the lines between `start` and here.
    fn count_lines(&mut self, start: usize) {
        let newlines = self.bytes[start..self.at].iter().filter(|&&b| b == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX));
    }

    fn error(&self, offset: usize, line: u32, found: impl Into<String>, expected: &str) -> ParseError {
        ParseError::at(self.text, offset, line, found, expected)
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(Kind, &str)> {
        let tokens = tokens(text).unwrap();
        let all = tokens.iter().map(|t| (t.kind, &text[t.start..t.end]));
        all.filter(|(kind, _)| *kind != Kind::End).collect()
    }

    #[test]
    fn an_instruction() {
        use Kind::*;
        let found = words("@!%p1 mbarrier.init.shared::cta.b64 [%r1+-8], 0x1U;");
        let expected = [
            (Punct(b'@'), "@"),
            (Punct(b'!'), "!"),
            (Word, "%p1"),
            (Word, "mbarrier"),
            (Dot, ".init"),
            (Dot, ".shared::cta"),
            (Dot, ".b64"),
            (Punct(b'['), "["),
            (Word, "%r1"),
            (Punct(b'+'), "+"),
            (Punct(b'-'), "-"),
            (Number, "8"),
            (Punct(b']'), "]"),
            (Punct(b','), ","),
            (Number, "0x1U"),
            (Punct(b';'), ";"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers() {
        for number in ["0", "0b101U", "0f3F80000E", "1.5", "1e-5", "2.5E+3", "0xE"] {
            assert_eq!(words(number), [(Kind::Number, number)]);
        }
        // An exponent's sign only after a decimal mantissa.
        assert_eq!(words("0xE-5").len(), 3);
        assert_eq!(words("0f3F80000E-5").len(), 3);
        assert_eq!(words("8%%r1").len(), 3);
    }

    #[test]
    fn a_modifier_ends_before_a_label() {
        assert_eq!(words("L:.x").len(), 3);
        assert_eq!(words(".a::b::c :").len(), 2);
        assert_eq!(words(".a:: b").len(), 4);
    }

    #[test]
    fn lines_across_comments_and_both_line_ends() {
        let text = "a // x\r\nb /* \n\n é */ c \"s\n\" d";
        let found: Vec<u32> = tokens(text).unwrap().iter().map(|t| t.line).collect();
        assert_eq!(found, [1, 2, 4, 4, 5, 5]);
    }

    #[test]
    fn what_is_not_ptx() {
        let error = tokens("abc\n  é = ü").unwrap_err();
        assert_eq!((error.line, error.column), (2, 3));
        assert_eq!(error.text, "  é = ü");
        assert!(tokens("/* x").unwrap_err().found.contains("comment"));
        assert!(tokens("\"x").unwrap_err().found.contains("string"));
        assert!(tokens("a\0b").is_err());
        assert!(tokens("\u{feff}a").is_ok());
    }
}

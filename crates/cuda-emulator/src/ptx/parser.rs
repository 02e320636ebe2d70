//! Tokens to the syntax tree, by recursive descent.
//!
//! This file holds the cursor and what stands at module scope; `function`,
//! `variable`, `instruction` and `constant` each read what they are named for.

mod constant;
mod function;
mod instruction;
mod variable;

use super::ast::{Module, Space};
use super::error::ParseError;
use super::lexer::{self, Kind, Token};

/// Reads a PTX module.
pub fn parse(text: &str) -> Result<Module, ParseError> {
    let mut parser = Parser { text, tokens: lexer::tokens(text)?, at: 0, depth: 0 };
    parser.module()
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

/// How deep blocks, vectors, initialisers and expressions may nest: nothing
/// real comes near, and the stack of the thread that parses is safe.
const DEEPEST: u32 = 100;

struct Parser<'a> {
    text: &'a str,
    /// Ends with `Kind::End`, which is never passed.
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
}

/// The cursor.
impl<'a> Parser<'a> {
    fn token(&self) -> Token {
        self.tokens[self.at]
    }

    fn kind(&self) -> Kind {
        self.token().kind
    }

    fn line(&self) -> u32 {
        self.token().line
    }

    /// The text of the current token.
    fn word(&self) -> &'a str {
        let token = self.token();
        &self.text[token.start..token.end]
    }

    /// The kind of the token after the current one.
    fn next_kind(&self) -> Kind {
        self.tokens.get(self.at + 1).map_or(Kind::End, |token| token.kind)
    }

    /// Passes the current token and returns its text.
    fn advance(&mut self) -> &'a str {
        let word = self.word();
        if self.kind() != Kind::End {
            self.at += 1;
        }
        word
    }

    fn is(&self, punct: u8) -> bool {
        self.kind() == Kind::Punct(punct)
    }

    fn eat(&mut self, punct: u8) -> bool {
        let found = self.is(punct);
        if found {
            self.at += 1;
        }
        found
    }

    fn need(&mut self, punct: u8) -> Result<()> {
        if self.eat(punct) {
            return Ok(());
        }
        Err(self.expected(format!("`{}`", char::from(punct))))
    }

    fn is_directive(&self, directive: &str) -> bool {
        self.kind() == Kind::Dot && self.word() == directive
    }

    fn eat_directive(&mut self, directive: &str) -> bool {
        let found = self.is_directive(directive);
        if found {
            self.at += 1;
        }
        found
    }

    fn name(&mut self) -> Result<String> {
        match self.kind() {
            Kind::Word => Ok(self.advance().to_owned()),
            _ => Err(self.expected("a name")),
        }
    }

    /// `a, b, c`
    fn names(&mut self) -> Result<Vec<String>> {
        let mut names = vec![self.name()?];
        while self.eat(b',') {
            names.push(self.name()?);
        }
        Ok(names)
    }

    fn u32(&mut self) -> Result<u32> {
        let before = self.at;
        let value = self.u64()?;
        u32::try_from(value).map_err(|_| self.expected_at(before, "a number below 2^32"))
    }

    fn u64(&mut self) -> Result<u64> {
        let before = self.at;
        let value = self.constant()?.integer();
        value.ok_or_else(|| self.expected_at(before, "a whole number"))
    }

    /// Runs `read` one level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEEPEST {
            return Err(self.expected(format!("at most {DEEPEST} levels of nesting")));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn expected(&self, what: impl Into<String>) -> ParseError {
        self.expected_at(self.at, what)
    }

    /// The error that token `at` is not `what`.
    fn expected_at(&self, at: usize, what: impl Into<String>) -> ParseError {
        let token = self.tokens[at];
        let found = match token.kind {
            Kind::End => "the end of the text".to_owned(),
            _ => {
                let word: String = self.text[token.start..token.end].chars().take(60).collect();
                format!("`{word}`")
            }
        };
        ParseError::at(self.text, token.start, token.line, found, what)
    }
}

/// What stands at module scope.
impl Parser<'_> {
    fn module(&mut self) -> Result<Module> {
        let mut module = Module::default();
        if !self.eat_directive(".version") {
            return Err(self.expected("`.version`"));
        }
        module.version = self.version()?;
        while self.kind() != Kind::End {
            self.item(&mut module)?;
        }
        if module.target.is_empty() {
            return Err(self.expected("`.target` somewhere in the module"));
        }
        Ok(module)
    }

    fn version(&mut self) -> Result<(u32, u32)> {
        let version = self.word().split_once('.');
        let version = version.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let version = version.ok_or_else(|| self.expected("a version such as 9.0"))?;
        self.advance();
        Ok(version)
    }

    fn item(&mut self, module: &mut Module) -> Result<()> {
        let mut is_extern = false;
        while let (Kind::Dot, ".visible" | ".weak" | ".common" | ".extern") = (self.kind(), self.word()) {
            is_extern |= self.advance() == ".extern";
        }
        if self.kind() != Kind::Dot {
            return Err(self.expected("a directive"));
        }
        match self.word() {
            ".entry" | ".func" => module.functions.push(self.function()?),
            ".global" => self.variables(Space::Global, is_extern, &mut module.variables)?,
            ".const" => self.variables(Space::Const, is_extern, &mut module.variables)?,
            ".shared" => self.variables(Space::Shared, is_extern, &mut module.variables)?,
            ".target" => {
                self.advance();
                // What follows the first word is about debuggers and textures.
                module.target = self.names()?.swap_remove(0);
            }
            ".address_size" => {
                self.advance();
                let before = self.at;
                if self.u32()? != 64 {
                    return Err(self.expected_at(before, "64, the only address size"));
                }
            }
            ".file" => {
                let file = self.file()?;
                module.files.push(file);
            }
            ".alias" => {
                self.advance();
                let name = self.name()?;
                self.need(b',')?;
                module.aliases.push((name, self.name()?));
                self.need(b';')?;
            }
            ".loc" => drop(self.location()?),
            ".pragma" => self.pragma()?,
            ".section" => self.section()?,
            _ => return Err(self.expected("a directive of module scope")),
        }
        Ok(())
    }

    /// `.file 1 "name.cu"[, time, size]`
    fn file(&mut self) -> Result<(u32, String)> {
        self.advance();
        let index = self.u32()?;
        if self.kind() != Kind::String {
            return Err(self.expected("a file name in quotes"));
        }
        let name = self.advance().trim_matches('"').to_owned();
        while self.eat(b',') {
            self.u64()?;
        }
        Ok((index, name))
    }

    /// `.pragma "nounroll"[, ...];`: advice to ptxas, skipped.
    fn pragma(&mut self) -> Result<()> {
        self.advance();
        while !self.eat(b';') {
            if self.kind() == Kind::End {
                return Err(self.expected("`;`"));
            }
            self.advance();
        }
        Ok(())
    }

    /// `.section .debug_info { ... }`: for debuggers, skipped.
    fn section(&mut self) -> Result<()> {
        self.advance();
        self.advance();
        self.need(b'{')?;
        while !self.eat(b'}') {
            if self.kind() == Kind::End {
                return Err(self.expected("`}`"));
            }
            self.advance();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

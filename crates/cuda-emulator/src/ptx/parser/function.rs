//! `.entry` and `.func`: headers, and the statements of their bodies.

use super::{Parser, Result};
use crate::ptx::ast::{Function, Space, Statement};
use crate::ptx::lexer::Kind;

impl Parser<'_> {
    /// `.entry name (...) directives { ... }`, or a declaration that ends with `;`.
    pub(super) fn function(&mut self) -> Result<Function> {
        let is_entry = self.advance() == ".entry";
        self.attributes()?;
        let returns = if is_entry { Vec::new() } else { self.parameters()? };
        let line = self.line();
        let mut function = Function {
            name: self.name()?,
            is_entry,
            params: self.parameters()?,
            returns,
            max_threads: None,
            required_threads: None,
            min_blocks: None,
            max_registers: None,
            cluster: None,
            body: None,
            line,
        };
        self.function_directives(&mut function)?;
        if !self.eat(b';') {
            function.body = Some(self.block()?);
        }
        Ok(function)
    }

    /// `.attribute(.unified(...))` before a function's name.
    fn attributes(&mut self) -> Result<()> {
        while self.eat_directive(".attribute") {
            self.skip_parenthesised()?;
        }
        Ok(())
    }

    /// What stands between the parameters and the body.
    fn function_directives(&mut self, function: &mut Function) -> Result<()> {
        while self.kind() == Kind::Dot {
            match self.word() {
                ".maxntid" => function.max_threads = Some(self.extent()?),
                ".reqntid" => function.required_threads = Some(self.extent()?),
                ".reqnctapercluster" => function.cluster = Some(self.extent()?),
                ".minnctapersm" => {
                    self.advance();
                    function.min_blocks = Some(self.u32()?);
                }
                ".maxnreg" => {
                    self.advance();
                    function.max_registers = Some(self.u32()?);
                }
                ".pragma" => self.pragma()?,
                // Limits and conventions for ptxas, each with one number.
                ".maxnctapersm" | ".maxclusterrank" | ".abi_preserve" | ".abi_preserve_control" => {
                    self.advance();
                    self.u32()?;
                }
                ".noreturn" | ".explicitcluster" | ".blocksareclusters" | ".unified" => {
                    self.advance();
                }
                _ => return Err(self.expected("a directive of a function")),
            }
        }
        Ok(())
    }

    /// `.maxntid 16[, 4[, 1]]`
    fn extent(&mut self) -> Result<[u32; 3]> {
        self.advance();
        let mut extent = [self.u32()?, 1, 1];
        for size in &mut extent[1..] {
            if self.eat(b',') {
                *size = self.u32()?;
            }
        }
        Ok(extent)
    }

    /// `{ ... }`
    fn block(&mut self) -> Result<Vec<Statement>> {
        self.nested(|parser| {
            parser.need(b'{')?;
            let mut statements = Vec::new();
            while !parser.eat(b'}') {
                parser.statement(&mut statements)?;
            }
            Ok(statements)
        })
    }

    fn statement(&mut self, statements: &mut Vec<Statement>) -> Result<()> {
        match self.kind() {
            Kind::Word if self.next_kind() == Kind::Punct(b':') => {
                let label = self.name()?;
                self.advance();
                let statement = self.labelled(label)?;
                statements.push(statement);
            }
            Kind::Word | Kind::Punct(b'@') => {
                statements.push(Statement::Instruction(self.instruction()?));
            }
            Kind::Punct(b'{') => statements.push(Statement::Block(self.block()?)),
            // An empty statement.
            Kind::Punct(b';') => drop(self.advance()),
            Kind::Dot => self.directive(statements)?,
            _ => return Err(self.expected("a statement or `}`")),
        }
        Ok(())
    }

    /// What a label is the name of: a place, or the list or prototype that follows it.
    fn labelled(&mut self, name: String) -> Result<Statement> {
        let statement = match (self.kind(), self.word()) {
            (Kind::Dot, ".branchtargets") => {
                self.advance();
                Statement::BranchTargets { name, labels: self.names()? }
            }
            (Kind::Dot, ".calltargets") => {
                self.advance();
                Statement::CallTargets { name, functions: self.names()? }
            }
            (Kind::Dot, ".callprototype") => {
                self.advance();
                let returns = self.parameters()?;
                if self.name()? != "_" {
                    return Err(self.expected_at(self.at - 1, "`_`"));
                }
                let params = self.parameters()?;
                while self.is_directive(".noreturn")
                    || self.is_directive(".abi_preserve")
                    || self.is_directive(".abi_preserve_control")
                {
                    if self.advance() != ".noreturn" {
                        self.u32()?;
                    }
                }
                Statement::CallPrototype { name, returns, params }
            }
            _ => return Ok(Statement::Label(name)),
        };
        self.need(b';')?;
        Ok(statement)
    }

    fn directive(&mut self, statements: &mut Vec<Statement>) -> Result<()> {
        let mut is_extern = false;
        while self.is_directive(".extern") || self.is_directive(".visible") {
            is_extern |= self.advance() == ".extern";
        }
        let space = match self.word() {
            ".reg" => return self.registers(statements),
            ".loc" => {
                statements.push(self.location()?);
                return Ok(());
            }
            ".pragma" => return self.pragma(),
            ".shared" => Space::Shared,
            ".local" => Space::Local,
            ".param" => Space::Param,
            ".global" => Space::Global,
            ".const" => Space::Const,
            _ => return Err(self.expected("a directive of a function's body")),
        };
        let mut variables = Vec::new();
        self.variables(space, is_extern, &mut variables)?;
        statements.extend(variables.into_iter().map(Statement::Variable));
        Ok(())
    }

    /// `.reg .b32 %r<5>, %q;`
    fn registers(&mut self, statements: &mut Vec<Statement>) -> Result<()> {
        self.advance();
        let vector = match self.word() {
            ".v2" => 2,
            ".v4" => 4,
            _ => 1,
        };
        if vector > 1 {
            self.advance();
        }
        let ty = self.data_type()?;
        let mut names = Vec::new();
        loop {
            let name = self.name()?;
            let count = if self.eat(b'<') { Some(self.register_count()?) } else { None };
            names.push((name, count));
            if !self.eat(b',') {
                break;
            }
        }
        self.need(b';')?;
        statements.push(Statement::Registers { ty, vector, names });
        Ok(())
    }

    /// `5>`. Not an expression, in which `>` would be an operator.
    fn register_count(&mut self) -> Result<u32> {
        let count = self.word().parse();
        let count = count.map_err(|_| self.expected("a number of registers"))?;
        self.advance();
        self.need(b'>')?;
        Ok(count)
    }

    /// `.loc 1 20 3[, function_name label[+4], inlined_at 1 9 5]`
    pub(super) fn location(&mut self) -> Result<Statement> {
        self.advance();
        let [file, line, column] = [self.u32()?, self.u32()?, self.u32()?];
        let mut inlined_at = None;
        while self.eat(b',') {
            match self.word() {
                "function_name" => {
                    self.advance();
                    self.name()?;
                    self.offset()?;
                }
                "inlined_at" => {
                    self.advance();
                    let [file, line, _] = [self.u32()?, self.u32()?, self.u32()?];
                    inlined_at = Some((file, line));
                }
                _ => return Err(self.expected("`function_name` or `inlined_at`")),
            }
        }
        Ok(Statement::Loc { file, line, column, inlined_at })
    }
}

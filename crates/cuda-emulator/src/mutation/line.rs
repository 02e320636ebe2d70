//! An instruction's line of text in its parts.

/// One instruction, alone on its line.
pub struct Line<'a> {
    /// All of it, without what surrounds it.
    pub text: &'a str,
    /// `@%p1` or `@!%p1`.
    pub guard: Option<&'a str>,
    /// Up to the first operand.
    head: &'a str,
    /// The operands.
    pub operands: Vec<&'a str>,
}

impl<'a> Line<'a> {
    /// `@%p1 mad.lo.s32 %r1, %r2, %r3, %r4;`, alone on its line.
    pub fn of(text: &'a str) -> Option<Self> {
        let body = text.strip_suffix(';').filter(|body| !body.contains([';', '"']))?;
        let guard = body.starts_with('@').then(|| body.split_whitespace().next()).flatten();
        let opcode = guard.map_or(body, |g| body[g.len()..].trim_start());
        let operands = opcode.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim());
        let head = &text[..body.len() - operands.len()];
        // Commas within brackets belong to one operand.
        let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
        for (at, c) in operands.char_indices() {
            match c {
                '[' | '{' | '(' => depth += 1,
                ']' | '}' | ')' => depth -= 1,
                ',' if depth == 0 => {
                    parts.push(operands[start..at].trim());
                    start = at + 1;
                }
                _ => {}
            }
        }
        if !operands.is_empty() {
            parts.push(operands[start..].trim());
        }
        Some(Self { text, guard, head, operands: parts })
    }

    /// The line with another operand in place of the `n`th.
    pub fn with(&self, n: usize, operand: &str) -> String {
        let mut operands = self.operands.clone();
        operands[n] = operand;
        format!("{}{};", self.head, operands.join(", "))
    }
}

//! What holds a kernel's threads and asynchronous operations in order, taken out of
//! it instruction by instruction.

use super::{Change, Line, Mutant, Walk};
use crate::ptx::ParseError;
use crate::ptx::ast::Instruction;

/// Every barrier, fence, arrival and wait of the kernels for whose name `of` holds, each removed, in the order of the
/// text. A wait for an mbarrier is not removed but over at once, since something reads whether it is; an arrival
/// whose token something reads leaves a zero there.
///
/// # Errors
/// What the parser says of the text.
pub fn removals(ptx: &str, of: impl Fn(&str) -> bool) -> Result<Vec<Mutant>, ParseError> {
    super::walk(ptx, of, |walk, i, line| walk.removal(i, line))
}

impl<'a> Walk<'a> {
    fn removal(&mut self, i: &'a Instruction, line: &Line<'a>) {
        let after = match without(i, line) {
            Some(after) if after.is_empty() => after,
            Some(after) => format!("{} {after}", line.guard.unwrap_or_default()).trim().to_owned(),
            None => return,
        };
        self.push(i, Change::Barrier, line.text, after);
    }
}

/// What stands in an instruction's place without it, if it is of those.
fn without(i: &Instruction, line: &Line<'_>) -> Option<String> {
    let says = |word: &str| i.modifiers.iter().any(|m| m == word);
    let nothing = |removed: bool| removed.then(String::new);
    match i.opcode.as_str() {
        "fence" | "membar" => nothing(true),
        "bar" | "barrier" => nothing(!says("red")),
        "wgmma" => nothing(says("fence") || says("commit_group") || says("wait_group")),
        "griddepcontrol" => nothing(says("wait")),
        "cp" => nothing(says("commit_group") || says("wait_group") || says("wait_all")),
        "mbarrier" if says("try_wait") || says("test_wait") => {
            Some(format!("setp.eq.u32 {}, 0, 0;", line.operands.first()?))
        }
        "mbarrier" if says("arrive") || says("arrive_drop") || says("expect_tx") => {
            match line.operands.first()?.chars().next()? {
                '_' | '[' => nothing(true),
                _ => Some(format!("mov.b64 {}, 0;", line.operands.first()?)),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::removals;

    const PTX: &str = ".version 8.7
.target sm_90a
.address_size 64
.visible .entry k() {
.reg .pred %p1, %p2;
.reg .b32 %r1;
.reg .b64 %rd1;
.shared .align 8 .b64 b;
@%p1 mbarrier.try_wait.parity.shared::cta.b64 %p2, [b], %r1;
mbarrier.arrive.shared::cta.b64 %rd1, [b];
mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 16;
wgmma.wait_group.sync.aligned 0;
cp.async.bulk.wait_group.read 0;
fence.proxy.async.shared::cta;
bar.sync 0;
barrier.cluster.arrive.aligned;
add.u32 %r1, %r1, 1;
ret;
}
";

    #[test]
    fn every_order_is_listed() {
        let all = removals(PTX, |_| true).unwrap();
        let listed: Vec<_> = all.iter().map(|m| (m.line, m.after.as_str())).collect();
        assert_eq!(
            listed,
            [
                (9, "@%p1 setp.eq.u32 %p2, 0, 0;"),
                (10, "mov.b64 %rd1, 0;"),
                (11, ""),
                (12, ""),
                (13, ""),
                (14, ""),
                (15, ""),
                (16, "")
            ]
        );
    }
}

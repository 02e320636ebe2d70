//! What keeps a kernel's threads and asynchronous operations in order, removed or
//! weakened, instruction by instruction: what somebody who writes a kernel can get
//! wrong, in the forms that PTX has for it.

use super::{Change, Line, Mutant, integer};
use crate::ptx::ParseError;
use crate::ptx::ast::Instruction;

/// Every barrier, fence, arrival, commit and wait of the kernels for whose name `of` holds and of the functions that they
/// call, each removed and in each weaker form, in the order of the text; hints, which order nothing, removed too.
///
/// A wait for an mbarrier is not removed but over at once, since something reads whether it is; an arrival whose token
/// something reads leaves a zero there. A reduction over a barrier stays: its result is read.
///
/// # Errors
/// What the parser says of the text.
pub fn orderings(ptx: &str, of: impl Fn(&str) -> bool) -> Result<Vec<Mutant>, ParseError> {
    super::walk(ptx, of, |walk, i, line| {
        let mut weaker =
            Weaker { words: i.modifiers.iter().map(String::as_str).collect(), i, line, all: vec![] };
        weaker.list(walk.has_clusters);
        for (change, how, after) in weaker.all {
            walk.push(i, change, how, line, after);
        }
    })
}

/// Scopes, the widest first.
const SCOPES: [&str; 4] = ["sys", "gpu", "cluster", "cta"];
/// Bytes of what is counted in bytes: copies move no fewer.
const GRAIN: i64 = 16;
const WARP: i64 = 32;

/// What an instruction can be replaced by.
struct Weaker<'a> {
    i: &'a Instruction,
    line: &'a Line<'a>,
    /// Its modifiers.
    words: Vec<&'a str>,
    all: Vec<(Change, &'static str, String)>,
}

impl<'a> Weaker<'a> {
    fn list(&mut self, has_clusters: bool) {
        match self.i.opcode.as_str() {
            "fence" => self.fence(has_clusters),
            "membar" => self.membar(),
            "bar" | "barrier" if self.says("cluster") => self.cluster_barrier(),
            "bar" | "barrier" => self.barrier(),
            "mbarrier" => self.mbarrier(has_clusters),
            "wgmma" if self.says("fence") || self.says("commit_group") => self.removed(),
            "wgmma" if self.says("wait_group") => self.groups(),
            "cp" => self.copy(),
            "griddepcontrol" if self.says("wait") => self.removed(),
            "ld" | "st" | "atom" | "red" if !self.says("async") => self.access(has_clusters),
            "prefetch" | "prefetchu" | "applypriority" | "nanosleep" | "griddepcontrol" => self.hint(),
            _ => {}
        }
    }

    fn fence(&mut self, has_clusters: bool) {
        self.removed();
        if self.says("sc") {
            self.words(Change::Semantics, "acquire and release", self.replaced("sc", &["acq_rel"]));
        }
        if self.says("proxy") && self.says("async") {
            for (memory, other) in
                [("shared::cta", "global"), ("shared::cluster", "global"), ("global", "shared::cta")]
            {
                if self.says(memory) {
                    self.words(Change::Scope, "of other memory", self.replaced(memory, &[other]));
                }
            }
        }
        // Of these there is one form only.
        if !self.says("mbarrier_init") && !self.words.iter().any(|word| word.starts_with("sync_restrict")) {
            self.narrower(has_clusters);
        }
    }

    fn membar(&mut self) {
        self.removed();
        for (scope, narrower) in [("sys", "gl"), ("gl", "cta")] {
            if self.says(scope) {
                self.words(Change::Scope, "narrower", self.replaced(scope, &[narrower]));
            }
        }
    }

    fn cluster_barrier(&mut self) {
        self.removed();
        if self.says("release") {
            self.words(Change::Semantics, "relaxed", self.replaced("release", &["relaxed"]));
        } else if self.says("arrive") && !self.says("relaxed") {
            self.words(Change::Semantics, "relaxed", self.replaced("arrive", &["arrive", "relaxed"]));
        }
    }

    fn barrier(&mut self) {
        if self.says("red") {
            return;
        }
        self.removed();
        if !self.says("warp") && self.line.operands.len() == 2 {
            if self.says("sync") {
                self.words(Change::Wait, "not waited for", self.replaced("sync", &["arrive"]));
            }
            self.counts(1, WARP);
        }
    }

    fn mbarrier(&mut self, has_clusters: bool) {
        let Some(at) = self.line.operands.iter().position(|operand| operand.starts_with('[')) else { return };
        let counted = at + 1;
        match self.words.first().copied() {
            Some("init") => {
                self.removed();
                self.counts(counted, 1);
            }
            Some("expect_tx" | "complete_tx") => {
                self.removed();
                self.counts(counted, GRAIN);
            }
            Some("arrive" | "arrive_drop") => {
                match self.line.operands[0] {
                    token if at > 0 && token != "_" => {
                        self.instead(Change::Removal, "removed", &format!("mov.b64 {token}, 0;"));
                    }
                    _ => self.removed(),
                }
                if self.says("expect_tx") {
                    let words: Vec<_> = self.words.iter().copied().filter(|w| *w != "expect_tx").collect();
                    let operands = self.line.operands[..counted].join(", ");
                    let text = format!("mbarrier.{} {operands};", words.join("."));
                    self.instead(Change::Removal, "nothing expected", &text);
                }
                self.counts(counted, if self.says("expect_tx") { GRAIN } else { 1 });
                if self.line.operands.len() == counted {
                    let text = self.line.text.trim_end_matches(';');
                    self.all.push((Change::Count, "twice", format!("{text}, 2;")));
                }
                if !self.says("noComplete") {
                    self.relaxed("release");
                    self.narrower(has_clusters);
                }
            }
            Some("test_wait" | "try_wait") => {
                let done = self.line.operands[0];
                let over = format!("setp.eq.u32 {done}, 0, 0;");
                self.instead(Change::Removal, "over at once", &over);
                if self.says("try_wait") {
                    let guard = self.line.guard.map(|guard| format!("{guard} ")).unwrap_or_default();
                    self.all.push((
                        Change::Wait,
                        "asked for once",
                        format!("{} {guard}{over}", self.line.text),
                    ));
                }
                if self.says("parity") {
                    self.computed(Change::Wait, "the other phase", counted, "xor.b32", 1);
                }
                self.relaxed("acquire");
                self.narrower(has_clusters);
            }
            _ => {}
        }
    }

    fn copy(&mut self) {
        if self.says("commit_group") || self.says("wait_all") {
            self.removed();
        } else if self.says("wait_group") {
            self.groups();
            if self.says("bulk") && !self.says("read") {
                let words = self.replaced("wait_group", &["wait_group", "read"]);
                self.words(Change::Wait, "for reads only", words);
            }
        } else if self.says("mbarrier") && self.says("arrive") {
            self.removed();
        } else if self.says("prefetch") {
            self.hint();
        }
    }

    /// A load, store or atomic operation that orders others.
    fn access(&mut self, has_clusters: bool) {
        for strong in ["acquire", "release", "acq_rel"] {
            if self.says(strong) {
                self.words(Change::Semantics, "relaxed", self.replaced(strong, &["relaxed"]));
            }
        }
        let is_atomic = matches!(self.i.opcode.as_str(), "atom" | "red");
        if self.says("volatile") {
            self.words(Change::Semantics, "weak", self.replaced("volatile", &[]));
        } else if self.says("relaxed") && !self.says("mmio") && !is_atomic {
            let weak = self.words.iter().copied().filter(|w| *w != "relaxed" && !SCOPES.contains(w));
            self.words(Change::Semantics, "weak", weak.collect());
        }
        self.narrower(has_clusters);
        // One that names no scope has the whole device's.
        let names_scope = self.words.iter().any(|word| SCOPES.contains(word));
        let is_shared = self.words.iter().any(|word| word.starts_with("shared"));
        if is_atomic && !names_scope && !is_shared {
            let sem = ["relaxed", "acquire", "release", "acq_rel"];
            let place = usize::from(self.words.first().is_some_and(|word| sem.contains(word)));
            let mut words = self.words.clone();
            words.insert(place, "cta");
            self.words(Change::Scope, "narrower", words);
        }
    }

    fn says(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    /// The modifiers with others in place of one.
    fn replaced(&self, word: &str, others: &[&'a str]) -> Vec<&'a str> {
        let each = |w: &&'a str| if *w == word { others.to_vec() } else { vec![*w] };
        self.words.iter().flat_map(each).collect()
    }

    fn removed(&mut self) {
        self.all.push((Change::Removal, "removed", String::new()));
    }

    fn hint(&mut self) {
        self.all.push((Change::Hint, "removed", String::new()));
    }

    /// Waits for groups: for none, and for one fewer.
    fn groups(&mut self) {
        self.removed();
        self.computed(Change::Wait, "one group fewer", 0, "add.u32", 1);
    }

    /// An operation on an mbarrier that orders nothing. What it is otherwise may go without saying.
    fn relaxed(&mut self, strong: &str) {
        if self.says("relaxed") {
            return;
        }
        let words = if self.says(strong) {
            self.replaced(strong, &["relaxed"])
        } else {
            let place = self.words.iter().position(|word| word.starts_with("shared") || *word == "b64");
            let mut words = self.words.clone();
            words.splice(place.unwrap_or(0)..place.unwrap_or(0), ["relaxed", "cta"]);
            words
        };
        self.words(Change::Semantics, "relaxed", words);
    }

    /// The next narrower scope, where one is named.
    fn narrower(&mut self, has_clusters: bool) {
        let scopes: Vec<_> = SCOPES.into_iter().filter(|scope| has_clusters || *scope != "cluster").collect();
        for pair in scopes.windows(2) {
            if self.says(pair[0]) {
                self.words(Change::Scope, "narrower", self.replaced(pair[0], &[pair[1]]));
                return;
            }
        }
    }

    /// Some fewer and some more of what the `n`th operand counts, if there is one.
    fn counts(&mut self, n: usize, grain: i64) {
        if n < self.line.operands.len() {
            self.computed(Change::Count, "too few", n, "add.s32", -grain);
            self.computed(Change::Count, "too many", n, "add.s32", grain);
        }
    }

    /// Another `n`th operand: what `operation` makes of it and a number.
    fn computed(&mut self, change: Change, how: &'static str, n: usize, operation: &str, by: i64) {
        let operand = self.line.operands[n];
        let after = match integer(operand) {
            Some(value) if operation.starts_with("xor") => self.line.with(n, &(value ^ by).to_string()),
            Some(value) => self.line.with(n, &(value + by).to_string()),
            None => {
                let guard = self.line.guard.map(|guard| format!("{guard} ")).unwrap_or_default();
                let line = self.line.with(n, "mutated");
                format!("{{ .reg .b32 mutated; {guard}{operation} mutated, {operand}, {by}; {line} }}")
            }
        };
        self.all.push((change, how, after));
    }

    /// Other modifiers.
    fn words(&mut self, change: Change, how: &'static str, words: Vec<&str>) {
        let operands = self.line.operands.join(", ");
        let text = format!("{}.{} {operands}", self.i.opcode, words.join("."));
        self.instead(change, how, &format!("{};", text.trim_end()));
    }

    /// Another instruction, where this one has a guard under the same.
    fn instead(&mut self, change: Change, how: &'static str, text: &str) {
        let after = self.line.guard.map_or(text.to_owned(), |guard| format!("{guard} {text}"));
        self.all.push((change, how, after));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Change::{self, *};
    use super::orderings;
    use crate::code::Program;

    /// A kernel of these instructions.
    fn kernel(target: &str, instructions: &str) -> String {
        format!(
            ".version 8.7
.target {target}
.address_size 64
.visible .entry k(.param .u64 p) {{
.reg .pred %p<3>;
.reg .b32 %r<3>;
.reg .b64 %rd<3>;
.shared .align 8 .b64 b[2];
ld.param.u64 %rd2, [p];
setp.eq.u32 %p1, 0, 0;
mov.b32 %r1, 1;
mov.b32 %r2, 2;
{instructions}
ret;
}}
"
        )
    }

    /// What an instruction becomes. Each is a program.
    fn weaker(target: &str, instruction: &str) -> Vec<(Change, String)> {
        let ptx = kernel(target, instruction);
        let listed = orderings(&ptx, |_| true).unwrap();
        for mutant in &listed {
            assert_eq!(mutant.before, instruction);
            Program::load(&mutant.apply(&ptx), &mut |_| 0)
                .unwrap_or_else(|error| panic!("{mutant}\n{error}"));
        }
        listed.into_iter().map(|mutant| (mutant.change, mutant.after)).collect()
    }

    #[test]
    fn every_ordering_is_removed_and_weakened() {
        let cases: &[(&str, &[(Change, &str)])] = &[
            ("fence.proxy.async.shared::cta;", &[(Removal, ""), (Scope, "fence.proxy.async.global;")]),
            ("fence.proxy.async;", &[(Removal, "")]),
            ("fence.mbarrier_init.release.cluster;", &[(Removal, "")]),
            (
                "@%p1 fence.sc.sys;",
                &[(Removal, ""), (Semantics, "@%p1 fence.acq_rel.sys;"), (Scope, "@%p1 fence.sc.gpu;")],
            ),
            ("fence.acq_rel.gpu;", &[(Removal, ""), (Scope, "fence.acq_rel.cluster;")]),
            ("fence.acq_rel.cta;", &[(Removal, "")]),
            ("membar.gl;", &[(Removal, ""), (Scope, "membar.cta;")]),
            ("bar.sync 0;", &[(Removal, "")]),
            (
                "bar.sync 1, 128;",
                &[
                    (Removal, ""),
                    (Wait, "bar.arrive 1, 128;"),
                    (Count, "bar.sync 1, 96;"),
                    (Count, "bar.sync 1, 160;"),
                ],
            ),
            ("bar.warp.sync -1;", &[(Removal, "")]),
            ("barrier.red.popc.u32 %r1, 0, %p1;", &[]),
            (
                "barrier.cluster.arrive.aligned;",
                &[(Removal, ""), (Semantics, "barrier.cluster.arrive.relaxed.aligned;")],
            ),
            (
                "barrier.cluster.arrive.release.aligned;",
                &[(Removal, ""), (Semantics, "barrier.cluster.arrive.relaxed.aligned;")],
            ),
            ("barrier.cluster.arrive.relaxed.aligned;", &[(Removal, "")]),
            ("barrier.cluster.wait.acquire.aligned;", &[(Removal, "")]),
            (
                "mbarrier.init.shared::cta.b64 [b], 8;",
                &[
                    (Removal, ""),
                    (Count, "mbarrier.init.shared::cta.b64 [b], 7;"),
                    (Count, "mbarrier.init.shared::cta.b64 [b], 9;"),
                ],
            ),
            (
                "@%p1 mbarrier.init.shared::cta.b64 [b], %r1;",
                &[
                    (Removal, ""),
                    (
                        Count,
                        "{ .reg .b32 mutated; @%p1 add.s32 mutated, %r1, -1; \
                         @%p1 mbarrier.init.shared::cta.b64 [b], mutated; }",
                    ),
                    (
                        Count,
                        "{ .reg .b32 mutated; @%p1 add.s32 mutated, %r1, 1; \
                         @%p1 mbarrier.init.shared::cta.b64 [b], mutated; }",
                    ),
                ],
            ),
            (
                "mbarrier.arrive.shared::cta.b64 %rd1, [b];",
                &[
                    (Removal, "mov.b64 %rd1, 0;"),
                    (Count, "mbarrier.arrive.shared::cta.b64 %rd1, [b], 2;"),
                    (Semantics, "mbarrier.arrive.relaxed.cta.shared::cta.b64 %rd1, [b];"),
                ],
            ),
            (
                "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r1], 2;",
                &[
                    (Removal, ""),
                    (Count, "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r1], 1;"),
                    (Count, "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%r1], 3;"),
                    (Semantics, "mbarrier.arrive.relaxed.cluster.shared::cluster.b64 _, [%r1], 2;"),
                    (Scope, "mbarrier.arrive.release.cta.shared::cluster.b64 _, [%r1], 2;"),
                ],
            ),
            (
                "mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 64;",
                &[
                    (Removal, ""),
                    (Removal, "mbarrier.arrive.shared::cta.b64 _, [b];"),
                    (Count, "mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 48;"),
                    (Count, "mbarrier.arrive.expect_tx.shared::cta.b64 _, [b], 80;"),
                    (Semantics, "mbarrier.arrive.expect_tx.relaxed.cta.shared::cta.b64 _, [b], 64;"),
                ],
            ),
            (
                "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [b], 64;",
                &[
                    (Removal, ""),
                    (Count, "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [b], 48;"),
                    (Count, "mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [b], 80;"),
                ],
            ),
            (
                "@%p1 mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [b], %r1;",
                &[
                    (Removal, "@%p1 setp.eq.u32 %p2, 0, 0;"),
                    (
                        Wait,
                        "@%p1 mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [b], %r1; \
                         @%p1 setp.eq.u32 %p2, 0, 0;",
                    ),
                    (
                        Wait,
                        "{ .reg .b32 mutated; @%p1 xor.b32 mutated, %r1, 1; \
                         @%p1 mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %p2, [b], mutated; }",
                    ),
                    (
                        Semantics,
                        "@%p1 mbarrier.try_wait.parity.relaxed.cluster.shared::cta.b64 %p2, [b], %r1;",
                    ),
                    (Scope, "@%p1 mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 %p2, [b], %r1;"),
                ],
            ),
            (
                "mbarrier.test_wait.shared::cta.b64 %p2, [b], %rd1;",
                &[
                    (Removal, "setp.eq.u32 %p2, 0, 0;"),
                    (Semantics, "mbarrier.test_wait.relaxed.cta.shared::cta.b64 %p2, [b], %rd1;"),
                ],
            ),
            ("wgmma.fence.sync.aligned;", &[(Removal, "")]),
            ("wgmma.commit_group.sync.aligned;", &[(Removal, "")]),
            (
                "wgmma.wait_group.sync.aligned 0;",
                &[(Removal, ""), (Wait, "wgmma.wait_group.sync.aligned 1;")],
            ),
            ("cp.async.wait_group 2;", &[(Removal, ""), (Wait, "cp.async.wait_group 3;")]),
            ("cp.async.wait_all;", &[(Removal, "")]),
            ("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [b];", &[(Removal, "")]),
            ("cp.async.bulk.commit_group;", &[(Removal, "")]),
            (
                "cp.async.bulk.wait_group 0;",
                &[
                    (Removal, ""),
                    (Wait, "cp.async.bulk.wait_group 1;"),
                    (Wait, "cp.async.bulk.wait_group.read 0;"),
                ],
            ),
            ("griddepcontrol.wait;", &[(Removal, "")]),
            ("griddepcontrol.launch_dependents;", &[(Hint, "")]),
            ("prefetch.global.L2 [%rd2];", &[(Hint, "")]),
            (
                "ld.acquire.gpu.global.u32 %r1, [%rd2];",
                &[
                    (Semantics, "ld.relaxed.gpu.global.u32 %r1, [%rd2];"),
                    (Scope, "ld.acquire.cluster.global.u32 %r1, [%rd2];"),
                ],
            ),
            ("st.relaxed.cta.global.u32 [%rd2], %r1;", &[(Semantics, "st.global.u32 [%rd2], %r1;")]),
            ("ld.volatile.global.u32 %r1, [%rd2];", &[(Semantics, "ld.global.u32 %r1, [%rd2];")]),
            ("ld.global.u32 %r1, [%rd2];", &[]),
            ("atom.shared.add.u32 %r1, [b], 1;", &[]),
            (
                "atom.acq_rel.global.add.u32 %r1, [%rd2], 1;",
                &[
                    (Semantics, "atom.relaxed.global.add.u32 %r1, [%rd2], 1;"),
                    (Scope, "atom.acq_rel.cta.global.add.u32 %r1, [%rd2], 1;"),
                ],
            ),
            ("add.u32 %r1, %r1, 1;", &[]),
        ];
        for (instruction, expected) in cases {
            let expected: Vec<_> =
                expected.iter().map(|(change, after)| (*change, after.to_string())).collect();
            assert_eq!(weaker("sm_90a", instruction), expected, "{instruction}");
        }
    }

    #[test]
    fn without_clusters_there_is_no_such_scope() {
        let narrower = [(Removal, String::new()), (Scope, "fence.acq_rel.cta;".to_owned())];
        assert_eq!(weaker("sm_80", "fence.acq_rel.gpu;"), narrower);
    }
}

//! What stands between `ld` or `st` and the operands: which words there are, and
//! which go together.

use crate::machine::flags::Semantics;
use crate::machine::ops::type_of;
use crate::machine::order::Scope;
use crate::ptx::ast::{Instruction, Type};

/// What the modifiers of a load or store mean for what it does. The rest, hints
/// for caches and who takes part in an ordering, changes no value here.
pub struct Qualifiers {
    /// The state space as it is written.
    pub space: Option<&'static str>,
    /// What it does to order, unless it is weak.
    pub semantics: Option<Semantics>,
    /// Is there one more operand, a policy for the cache?
    pub hint: bool,
    /// Elements.
    pub count: u32,
    /// Their type.
    pub ty: Type,
}

/// The words by what they say; of each kind there is at most one.
#[derive(Default)]
struct Words<'a> {
    order: Option<&'a str>,
    mmio: Option<&'a str>,
    scope: Option<&'a str>,
    space: Option<&'static str>,
    non_coherent: Option<&'a str>,
    cache: Option<&'a str>,
    eviction: Option<&'a str>,
    hint: Option<&'a str>,
    prefetch: Option<&'a str>,
    vector: Option<&'a str>,
    ty: Option<&'a str>,
}

const SPACES: [&str; 9] = [
    "global",
    "shared",
    "shared::cta",
    "shared::cluster",
    "local",
    "const",
    "param",
    "param::entry",
    "param::func",
];

impl<'a> Words<'a> {
    /// Sorts the words, which may come in any order, as ptxas reads them.
    fn of(i: &'a Instruction) -> Option<Self> {
        let mut words = Self::default();
        for word in &i.modifiers {
            let word = word.as_str();
            if let Some(space) = SPACES.iter().find(|space| **space == word) {
                if words.space.replace(space).is_some() {
                    return None;
                }
                continue;
            }
            let place = match word {
                "weak" | "volatile" | "relaxed" | "acquire" | "release" => &mut words.order,
                "mmio" => &mut words.mmio,
                "cta" | "cluster" | "gpu" | "sys" => &mut words.scope,
                "nc" => &mut words.non_coherent,
                "ca" | "cg" | "cs" | "lu" | "cv" | "wb" | "wt" => &mut words.cache,
                "L1::evict_normal"
                | "L1::evict_unchanged"
                | "L1::evict_first"
                | "L1::evict_last"
                | "L1::no_allocate" => &mut words.eviction,
                "L2::cache_hint" => &mut words.hint,
                "L2::64B" | "L2::128B" | "L2::256B" => &mut words.prefetch,
                "v2" | "v4" | "v8" => &mut words.vector,
                _ if type_of(word).is_some() => &mut words.ty,
                _ => return None,
            };
            if place.replace(word).is_some() {
                return None;
            }
        }
        Some(words)
    }

    /// Do they go together, as the manual has it?
    fn agree(&self, opcode: &str) -> bool {
        let is_global = matches!(self.space, None | Some("global"));
        let is_shared = matches!(self.space, Some("shared" | "shared::cta" | "shared::cluster"));
        let is_load = opcode != "st";
        let space = is_load || !matches!(self.space, Some("const" | "param::entry"));
        // Only these hold for other threads, and so say for which.
        let order = match self.order {
            None => self.scope.is_none(),
            Some("weak") => self.scope.is_none() && self.non_coherent.is_none(),
            Some("volatile") => self.scope.is_none() && (is_global || is_shared),
            Some("acquire") if !is_load => false,
            Some("release") if is_load => false,
            _ => self.scope.is_some() && (is_global || is_shared),
        };
        let is_weak = matches!(self.order, None | Some("weak"));
        let is_volatile = self.order == Some("volatile");
        let mmio = self.mmio.is_none()
            || self.order == Some("relaxed")
                && self.scope == Some("sys")
                && is_global
                && self.vector.is_none();
        let any_mmio = self.mmio.is_some();
        let non_coherent = self.non_coherent.is_none()
            || is_load
                && is_weak
                && self.space == Some("global")
                && matches!(self.cache, None | Some("ca" | "cg" | "cs"));
        let cache = match self.cache {
            None => true,
            Some("wb" | "wt") if is_load => false,
            Some("ca" | "lu" | "cv") if !is_load => false,
            _ => is_weak && self.eviction.is_none(),
        };
        let hints = (self.eviction.is_none() && self.hint.is_none() || !is_volatile)
            && (self.eviction.is_none() && self.hint.is_none() && self.prefetch.is_none()
                || is_global && !any_mmio)
            && (self.prefetch.is_none() || is_load);
        space && order && mmio && non_coherent && cache && hints
    }

    /// `ldu` has a space, a vector and a type, and nothing else.
    fn is_uniform_load(&self) -> bool {
        let others = [self.order, self.mmio, self.scope, self.non_coherent, self.cache, self.eviction];
        others.iter().chain([&self.hint, &self.prefetch]).all(|word| word.is_none())
            && matches!(self.space, None | Some("global"))
            && self.vector != Some("v8")
    }
}

impl Qualifiers {
    /// Those of an `ld`, `ldu` or `st`, if there is such a form.
    pub fn of(i: &Instruction) -> Option<Self> {
        let words = Words::of(i)?;
        if !words.agree(&i.opcode) || i.opcode == "ldu" && !words.is_uniform_load() {
            return None;
        }
        let ty = type_of(words.ty?).filter(|ty| is_fundamental(*ty))?;
        let count = match words.vector {
            Some("v2") => 2,
            Some("v4") => 4,
            Some("v8") => 8,
            _ => 1,
        };
        // Wider ones came with later GPUs; 128 bits are no element of a vector.
        let fits = u64::from(count) * ty.bytes() <= 16;
        // Volatile accesses are relaxed ones among all (PTX ISA, "Volatile Operations").
        let scope =
            if words.order == Some("volatile") { Some(Scope::Gpu) } else { words.scope.and_then(scope_of) };
        let semantics = scope.map(|scope| Semantics {
            scope,
            releases: words.order == Some("release"),
            acquires: words.order == Some("acquire"),
        });
        let hint = words.hint.is_some();
        fits.then_some(Self { space: words.space, semantics, hint, count, ty })
    }
}

/// A scope by its word.
pub fn scope_of(word: &str) -> Option<Scope> {
    Some(match word {
        "cta" => Scope::Cta,
        "cluster" => Scope::Cluster,
        "gpu" | "gl" | "sys" => Scope::Gpu,
        _ => return None,
    })
}

/// Memory holds bits, integers, f32 and f64; an f16 is loaded as bits.
fn is_fundamental(ty: Type) -> bool {
    use Type::*;
    matches!(ty, B8 | B16 | B32 | B64 | B128 | U8 | U16 | U32 | U64 | S8 | S16 | S32 | S64 | F32 | F64)
}

//! What the lanes of a warp do together. A definition sees the operands of the whole warp.

use super::instruction::{Bits, Operands, run};
use super::values::{Values, random_bits};

const LANES: usize = 32;

/// Runs `code` in warps of lanes that have `inputs`, and compares the result of
/// each lane with what `definition` makes of its warp and its number.
#[track_caller]
fn warps<I: Operands, R: Bits>(code: &str, inputs: &[I], definition: impl Fn(&[I], usize) -> R) {
    let results = run::<I, R>(code, inputs);
    for (warp, (inputs, results)) in inputs.chunks(LANES).zip(results.chunks(LANES)).enumerate() {
        for (lane, got) in results.iter().enumerate() {
            let expected = definition(inputs, lane);
            assert_eq!(got.bits(), expected.bits(), "{code}\nwarp {warp}, lane {lane} of {inputs:?}");
        }
    }
}

/// Warps of random operands.
fn random<A: Values>(seed: u64, warps: usize) -> Vec<(A,)> {
    random_bits(seed).map(|bits| (A::random(bits),)).take(LANES * warps).collect()
}

/// The lanes that a mask names.
fn members(mask: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| mask >> lane & 1 == 1)
}

/// Ways to split a warp into groups: each lane computes its group's mask in `%r1`.
const GROUPS: [(&str, fn(usize) -> u32); 4] = [
    ("mov.u32 %r1, -1;", |_| u32::MAX),
    // Even and odd lanes.
    ("mov.u32 %r1, %laneid;\nand.b32 %r1, %r1, 1;\nshl.b32 %r1, 0x55555555, %r1;", |lane| {
        if lane % 2 == 0 { 0x5555_5555 } else { 0xaaaa_aaaa }
    }),
    // Fours.
    ("mov.u32 %r1, %laneid;\nand.b32 %r1, %r1, 28;\nshl.b32 %r1, 15, %r1;", |lane| 15 << (lane / 4 * 4)),
    // Each alone.
    ("mov.u32 %r1, %laneid;\nshl.b32 %r1, 1, %r1;", |lane| 1 << lane),
];

// ---- shfl ------------------------------------------------------------------------------

/// The lane that a shuffle reads, and whether it is in range.
fn source(mode: &str, lane: usize, b: u32, c: u32) -> (usize, bool) {
    // Segments are where the bits of the lane's number that the mask has agree.
    let bit = |x: usize, n: usize| x / (1 << n) % 2;
    let (b, clamp, mask) = (b as usize % 32, c as usize % 32, c as usize / 256 % 32);
    let merge = |inside: usize, outside: usize| -> i64 {
        (0..5)
            .map(|n| if bit(mask, n) == 1 { bit(inside, n) << n } else { bit(outside, n) << n })
            .sum::<usize>() as i64
    };
    let bound = merge(lane, clamp);
    let (lane, b) = (lane as i64, b as i64);
    let (from, holds) = match mode {
        "up" => (lane - b, lane - b >= bound),
        "down" => (lane + b, lane + b <= bound),
        "bfly" => {
            let other =
                (0..5).map(|n| i64::from(bit(lane as usize, n) != bit(b as usize, n)) << n).sum::<i64>();
            (other, other <= bound)
        }
        _ => {
            let from = merge(lane as usize, b as usize);
            (from, from <= bound)
        }
    };
    if holds { (from as usize, true) } else { (lane as usize, false) }
}

#[test]
fn shfl_of_any_operands() {
    // A value, a lane operand and a clamp and segment mask of each lane's own.
    let inputs: Vec<(u32, u32, u32)> = random_bits(21)
        .zip(random_bits(22))
        .map(|(x, y)| (x as u32, if y >> 63 == 0 { y as u32 % 32 } else { y as u32 }, (y >> 32) as u32))
        .take(LANES * 60)
        .collect();
    for mode in ["up", "down", "bfly", "idx"] {
        // Lanes may read only lanes that take part: all do.
        warps(&format!("shfl.sync.{mode}.b32 %d, %a, %b, %c, -1;"), &inputs, |warp, lane| {
            let (_, b, c) = warp[lane];
            warp[source(mode, lane, b, c).0].0
        });
        let code = format!("shfl.sync.{mode}.b32 %d|%p, %a, %b, %c, -1;\nselp.u32 %d, 1, 0, %p;");
        warps(&code, &inputs, |warp, lane| {
            let (_, b, c) = warp[lane];
            source(mode, lane, b, c).1
        });
    }
}

/// The masks that `__shfl_*_sync` makes of a width, with every distance.
#[test]
fn shfl_in_segments() {
    let inputs = random::<u32>(23, 3);
    for (mode, clamp) in [("up", 0), ("down", 31), ("bfly", 31), ("idx", 31)] {
        for width in [1, 2, 4, 8, 16, 32] {
            let c = (32 - width) * 256 + clamp;
            for b in [0, 1, 2, 3, 5, 8, 15, 16, 31, 32, 33] {
                warps(&format!("shfl.sync.{mode}.b32 %d, %a, {b}, {c}, -1;"), &inputs, |warp, lane| {
                    warp[source(mode, lane, b, c).0].0
                });
            }
        }
    }
}

/// Groups shuffle on their own, also when they come one after the other.
#[test]
fn shfl_in_groups() {
    let inputs = random::<u32>(24, 4);
    let expected = |warp: &[(u32,)], lane: usize| warp[lane ^ 2].0;
    let (set, _) = GROUPS[1];
    warps(&format!("{set}\nshfl.sync.bfly.b32 %d, %a, 2, 31, %r1;"), &inputs, expected);
    let apart = "mov.u32 %r1, %laneid;\nand.b32 %r1, %r1, 1;\nsetp.eq.u32 %p, %r1, 0;\n\
                 @%p bra EVEN;\nshfl.sync.bfly.b32 %d, %a, 2, 31, 0xaaaaaaaa;\nbra MET;\n\
                 EVEN:\nshfl.sync.bfly.b32 %d, %a, 2, 31, 0x55555555;\nMET:\n";
    warps(apart, &inputs, expected);
}

// ---- vote, match, redux ----------------------------------------------------------------

#[test]
fn vote() {
    // Warps with no, one, some, all but one, and all predicates set.
    let mut words: Vec<u32> = vec![0, 1, 1 << 31, u32::MAX, u32::MAX - 1, u32::MAX >> 1, 0x5555_5555, 0xf0];
    words.extend(random_bits(25).map(|x| x as u32).take(20));
    let inputs: Vec<(u32,)> = words.iter().flat_map(|w| (0..LANES).map(move |l| (w >> l & 1,))).collect();
    for (groups, group_of) in GROUPS {
        for (q, negated) in [("%q", false), ("!%q", true)] {
            let set = |warp: &[(u32,)], lane: usize| (warp[lane].0 != 0) != negated;
            let holds = move |warp: &[(u32,)], lane: usize| -> (u32, u32) {
                let group = group_of(lane);
                (members(group).filter(|l| set(warp, *l)).map(|l| 1 << l).sum(), group)
            };
            let code = |vote: &str| format!("{groups}\nsetp.ne.u32 %q, %a, 0;\n{vote}");
            let predicate =
                |mode: &str| code(&format!("vote.sync.{mode}.pred %p, {q}, %r1;\nselp.u32 %d, 1, 0, %p;"));
            warps(&code(&format!("vote.sync.ballot.b32 %d, {q}, %r1;")), &inputs, |w, l| holds(w, l).0);
            warps(&predicate("all"), &inputs, |w, l| holds(w, l).0 == holds(w, l).1);
            warps(&predicate("any"), &inputs, |w, l| holds(w, l).0 != 0);
            warps(&predicate("uni"), &inputs, |w, l| [0, holds(w, l).1].contains(&holds(w, l).0));
        }
    }
}

fn matched<T: Values + PartialEq>(ty: &str) {
    // Few different values, so that many match; and warps where all do, or all but one.
    let mut inputs: Vec<(T,)> =
        random_bits(26).map(|x| (T::edges()[x as usize % 5],)).take(LANES * 20).collect();
    let same = T::random(0x0123_4567_89ab_cdef);
    inputs.extend([(same,); LANES]);
    inputs.extend((0..LANES).map(|lane| (if lane == 17 { T::random(1) } else { same },)));
    for (groups, group_of) in GROUPS {
        warps(&format!("{groups}\nmatch.any.sync.{ty} %d, %a, %r1;"), &inputs, |warp, lane| {
            members(group_of(lane)).filter(|l| warp[*l].0 == warp[lane].0).map(|l| 1 << l).sum::<u32>()
        });
        let all = |warp: &[(T,)], lane: usize| members(group_of(lane)).all(|l| warp[l].0 == warp[lane].0);
        warps(&format!("{groups}\nmatch.all.sync.{ty} %d|%p, %a, %r1;"), &inputs, |warp, lane| {
            if all(warp, lane) { group_of(lane) } else { 0 }
        });
        warps(&format!("{groups}\nmatch.all.sync.{ty} %d, %a, %r1;"), &inputs, |warp, lane| {
            if all(warp, lane) { group_of(lane) } else { 0 }
        });
        let code = format!("{groups}\nmatch.all.sync.{ty} _|%p, %a, %r1;\nselp.u32 %d, 1, 0, %p;");
        warps(&code, &inputs, all);
    }
}

#[test]
fn r#match() {
    matched::<u32>("b32");
    matched::<u64>("b64");
}

#[test]
fn redux() {
    let mut inputs = random::<u32>(27, 20);
    inputs.extend(random_bits(28).map(|x| (u32::edges()[x as usize % u32::edges().len()],)).take(LANES * 20));
    type Reduce = fn(Vec<u32>) -> u32;
    let signed = |values: Vec<u32>| values.into_iter().map(|v| v as i32).collect::<Vec<_>>();
    let bits = |values: &[u32], f: fn(usize, usize) -> bool| {
        (0..32)
            .map(|n| u32::from(f(values.iter().filter(|v| **v >> n & 1 == 1).count(), values.len())) << n)
            .sum::<u32>()
    };
    let sum: Reduce = |values| (values.into_iter().map(u64::from).sum::<u64>() % (1 << 32)) as u32;
    for (groups, group_of) in GROUPS {
        let of =
            |warp: &[(u32,)], lane: usize| members(group_of(lane)).map(|l| warp[l].0).collect::<Vec<_>>();
        let code = |op: &str| format!("{groups}\nredux.sync.{op} %d, %a, %r1;");
        warps(&code("add.u32"), &inputs, |w, l| sum(of(w, l)));
        warps(&code("add.s32"), &inputs, |w, l| sum(of(w, l)));
        warps(&code("min.u32"), &inputs, |w, l| of(w, l).into_iter().min().expect("lanes"));
        warps(&code("max.u32"), &inputs, |w, l| of(w, l).into_iter().max().expect("lanes"));
        warps(&code("min.s32"), &inputs, |w, l| signed(of(w, l)).into_iter().min().expect("lanes"));
        warps(&code("max.s32"), &inputs, |w, l| signed(of(w, l)).into_iter().max().expect("lanes"));
        warps(&code("and.b32"), &inputs, |w, l| bits(&of(w, l), |set, all| set == all));
        warps(&code("or.b32"), &inputs, |w, l| bits(&of(w, l), |set, _| set > 0));
        warps(&code("xor.b32"), &inputs, |w, l| bits(&of(w, l), |set, _| set % 2 == 1));
    }
}

// ---- Who is here -----------------------------------------------------------------------

/// Any member may be elected, but one, and the same for all.
#[test]
fn elect() {
    let inputs = random::<u32>(29, 3);
    for (groups, group_of) in GROUPS {
        let leaders: Vec<u32> = run(&format!("{groups}\nelect.sync %d|%p, %r1;"), &inputs);
        let code = format!("{groups}\nelect.sync _|%p, %r1;\nselp.u32 %d, 1, 0, %p;");
        let elected: Vec<bool> = run(&code, &inputs);
        for (leaders, elected) in leaders.chunks(LANES).zip(elected.chunks(LANES)) {
            for lane in 0..LANES {
                let leader = leaders[members(group_of(lane)).next().expect("itself")];
                assert_eq!(leaders[lane], leader);
                assert_eq!(elected[lane], lane == leader as usize);
                assert_eq!(group_of(lane) >> leader & 1, 1, "the leader is a member");
            }
        }
    }
}

#[test]
fn activemask() {
    let inputs: Vec<(u32,)> = random_bits(30).map(|x| (x as u32 % 2,)).take(LANES * 20).collect();
    warps("activemask.b32 %d;", &inputs, |_, _| u32::MAX);
    let code = "setp.ne.u32 %p, %a, 0;\nmov.u32 %d, 0;\n@%p activemask.b32 %d;";
    warps(code, &inputs, |warp, lane| {
        let set = (0..LANES).filter(|l| warp[*l].0 != 0).map(|l| 1 << l).sum::<u32>();
        if warp[lane].0 != 0 { set } else { 0 }
    });
}

/// Lanes that have ended are waited for no more, and give nothing.
#[test]
fn a_warp_that_is_not_full() {
    let inputs = random::<u32>(31, 2)[..40].to_vec();
    let last = |warp: &[(u32,)]| warp.len();
    warps("activemask.b32 %d;", &inputs, |w, _| (0..last(w)).map(|l| 1 << l).sum::<u32>());
    warps("setp.ne.u32 %p, 1, 0;\nvote.sync.ballot.b32 %d, %p, -1;", &inputs, |w, _| {
        (0..last(w)).map(|l| 1 << l).sum::<u32>()
    });
    warps("redux.sync.max.u32 %d, %a, -1;", &inputs, |w, _| w.iter().map(|(a,)| *a).max().expect("lanes"));
    warps("match.any.sync.b32 %d, %a, -1;", &inputs, |_, lane| 1 << lane);
    warps("shfl.sync.up.b32 %d, %a, 1, 0, -1;", &inputs, |w, lane| w[lane.saturating_sub(1)].0);
}

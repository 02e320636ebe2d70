//! What an access of a warp costs a GPU: sectors of global memory, wavefronts
//! of shared memory.
//!
//! Both follow from how the lanes' addresses lie to each other and from the
//! first one's place in a sector or word. An instruction mostly has the same
//! pattern every time, so that looking it up is enough.

/// What memory gives at a time.
const SECTOR: u64 = 32;
/// Shared memory has so many banks
const BANKS: usize = 32;
/// of so many bytes.
const BANK: u64 = 4;

/// The kinds of memory that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Global memory.
    Global,
    /// Shared memory.
    Shared,
}

/// Bytes in global memory, wavefronts in shared memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// What was asked for; the fewest that do.
    pub least: u32,
    /// What it takes.
    pub needed: u32,
}

/// An access of some lanes, each of `size` bytes (a power of two up to 16) at a multiple of that.
pub fn cost(memory: Memory, addresses: &[u64; 32], mask: u32, size: u32) -> Cost {
    match memory {
        Memory::Global => global(addresses, mask, size),
        Memory::Shared => shared(addresses, mask, size),
    }
}

fn global(addresses: &[u64; 32], mask: u32, size: u32) -> Cost {
    let lanes = || (0..32).filter(|l| mask >> l & 1 == 1).map(|l| addresses[l]);
    Cost { least: distinct(lanes()) * size, needed: distinct(lanes().map(|a| a / SECTOR)) * SECTOR as u32 }
}

fn shared(addresses: &[u64; 32], mask: u32, size: u32) -> Cost {
    let bytes = u64::from(size);
    let at_once = (BANKS as u64 * BANK / bytes).min(32) as usize;
    let mut cost = Cost::default();
    for start in (0..32).step_by(at_once) {
        let lanes = (start..start + at_once).filter(|l| mask >> l & 1 == 1);
        let words = lanes.flat_map(|l| {
            let first = addresses[l] / BANK;
            first..first + bytes.div_ceil(BANK)
        });
        let (sorted, count) = sorted(words);
        let mut banks = [0; BANKS];
        for (n, word) in sorted[..count].iter().enumerate() {
            if n == 0 || sorted[n - 1] != *word {
                banks[*word as usize % BANKS] += 1;
            }
        }
        let longest = banks.into_iter().max().unwrap_or(0);
        cost.needed += longest;
        cost.least += longest.min(1);
    }
    cost
}

/// At most 32 numbers, sorted, and how many there are.
fn sorted(numbers: impl Iterator<Item = u64>) -> ([u64; 32], usize) {
    let (mut all, mut count) = ([0; 32], 0);
    for (place, number) in all.iter_mut().zip(numbers) {
        *place = number;
        count += 1;
    }
    all[..count].sort_unstable();
    (all, count)
}

fn distinct(numbers: impl Iterator<Item = u64>) -> u32 {
    let (all, count) = sorted(numbers);
    (0..count).filter(|&n| n == 0 || all[n] != all[n - 1]).count() as u32
}

/// How lanes that are near each other access memory.
#[derive(Debug, Clone, Copy)]
pub struct Lanes<'a> {
    /// Bytes of each lane's access.
    pub size: u32,
    /// Those that take part.
    pub mask: u32,
    /// The address from which distances are counted.
    pub start: u64,
    /// Where each lane's bytes are. Lanes that take no part stand where the first does that takes part.
    pub distances: &'a [u32; 32],
}

/// A pattern that has been seen, and its cost.
#[derive(Clone, Copy)]
struct Seen {
    memory: Memory,
    size: u32,
    mask: u32,
    /// The first lane's place in a sector, or in a word: a shift by whole words changes no conflict.
    low: u32,
    distances: [u32; 32],
    cost: Cost,
}

/// The patterns seen last. A program has few, whichever instruction they are of.
pub struct Patterns {
    seen: [Seen; Self::COUNT],
    /// Which one each instruction had last.
    by_instruction: Vec<u8>,
    /// The one to forget next.
    next: usize,
}

impl Patterns {
    const COUNT: usize = 16;

    /// None, for `code` instructions.
    pub fn new(code: usize) -> Self {
        let (memory, cost) = (Memory::Global, Cost::default());
        let none = Seen { memory, size: 0, mask: 0, low: 0, distances: [0; 32], cost };
        Self { seen: [none; Self::COUNT], by_instruction: vec![0; code], next: 0 }
    }

    /// The cost of an access by the instruction at `pc`.
    #[inline(always)]
    pub fn cost(&mut self, pc: u32, memory: Memory, lanes: Lanes<'_>) -> Cost {
        let seen = &self.seen[self.by_instruction[pc as usize] as usize % Self::COUNT];
        if seen.is(memory, lanes) { seen.cost } else { self.look_up(pc, memory, lanes) }
    }

    #[inline(never)]
    fn look_up(&mut self, pc: u32, memory: Memory, lanes: Lanes<'_>) -> Cost {
        let known = self.seen.iter().position(|seen| seen.is(memory, lanes));
        let index = known.unwrap_or_else(|| {
            self.next = (self.next + 1) % Self::COUNT;
            self.seen[self.next] = Seen::new(memory, lanes);
            self.next
        });
        self.by_instruction[pc as usize] = index as u8;
        self.seen[index].cost
    }
}

impl Seen {
    fn new(memory: Memory, lanes: Lanes<'_>) -> Self {
        let Lanes { size, mask, start, distances } = lanes;
        let (first, low) = lanes.first(memory);
        let addresses = distances.map(|distance| start + u64::from(distance));
        let cost = cost(memory, &addresses, mask, size);
        Self { memory, size, mask, low, distances: distances.map(|d| d.wrapping_sub(first)), cost }
    }

    #[inline(always)]
    fn is(&self, memory: Memory, lanes: Lanes<'_>) -> bool {
        let (first, low) = lanes.first(memory);
        let mut differ = 0;
        for l in 0..32 {
            differ |= lanes.distances[l].wrapping_sub(first) ^ self.distances[l];
        }
        differ == 0 && (self.memory, self.size, self.mask, self.low) == (memory, lanes.size, lanes.mask, low)
    }
}

impl Lanes<'_> {
    /// The distance of the first lane, and its place in what memory gives at a time.
    #[inline(always)]
    fn first(&self, memory: Memory) -> (u32, u32) {
        let first = self.distances[self.mask.trailing_zeros() as usize % 32];
        let grain = match memory {
            Memory::Global => SECTOR,
            Memory::Shared => BANK,
        };
        (first, ((self.start + u64::from(first)) & (grain - 1)) as u32)
    }
}

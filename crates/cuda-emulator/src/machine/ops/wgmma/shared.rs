//! A and B in shared memory: checked when an operation is issued, read when it lands.

use std::ops::Range;

use crate::code::SHARED_START;
use crate::machine::history::{Clash, Touch, may_be_read};
use crate::machine::matrix::descriptor::{Descriptor, Major};
use crate::machine::matrix::fragment::DEPTH;
use crate::machine::ops::tensor::{COLUMNS, Undefined};
use crate::machine::order::Mark;
use crate::machine::order::Side;
use crate::machine::{Cpu, Flow};
use crate::numeric::tensor_core::{Columns, Operation, WIDTH};
use crate::ptx::ast::Space;
use crate::verdict::{Access, Verdict};

/// Bytes of a piece.
const PIECE: u32 = 16;

/// A part of a matrix in shared memory: rows of A, or columns of B.
pub struct Part {
    /// "A" or "B".
    pub name: &'static str,
    /// The descriptor's bits.
    pub bits: u64,
    /// Which dimension is contiguous.
    pub major: Major,
    /// The rows or columns.
    pub lines: Range<u32>,
}

impl Part {
    /// The address of every piece, with two numbers: line and piece where k is
    /// contiguous, k and piece where it is not. Pieces count from the first of the part.
    #[inline(always)]
    fn for_each_piece(&self, mut f: impl FnMut(usize, usize, u32)) {
        let descriptor = Descriptor::new(self.bits);
        let (outer, inner) = match self.major {
            Major::K => (self.lines.clone(), 0..DEPTH as u32 / PIECE),
            // Only 16-bit elements lie so: eight to a piece, sixteen along k.
            Major::Mn => (0..16, self.lines.start / 8..self.lines.end / 8),
        };
        for (n, line) in outer.enumerate() {
            for (m, piece) in inner.clone().enumerate() {
                f(n, m, descriptor.piece(self.major, line, piece));
            }
        }
    }
}

/// B as numbers, eight columns at a time, and which of its columns are not wholly defined.
pub struct Numbers {
    pub columns: Vec<Columns>,
    pub undefined: Undefined,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { columns: Vec::new(), undefined: Undefined::NOTHING }
    }
}

impl Cpu<'_> {
    /// B, of an operation that lands, as numbers.
    #[inline(always)]
    pub fn read_b(&mut self, op: &Operation, part: &Part, numbers: &mut Numbers) {
        let mut codes = [0; COLUMNS * DEPTH];
        let codes = &mut codes[..op.n * DEPTH];
        let mut undefined = Undefined::NOTHING;
        self.read_part(part, codes, |column| undefined.column(column));
        numbers.undefined = undefined;
        numbers.columns.resize(op.n / WIDTH, Columns::ZERO);
        Columns::set(&mut numbers.columns, op, self.launch.arithmetic, codes);
    }

    /// Is the matrix where it may be?
    pub fn check_part(&mut self, part: &Part) -> Result<(), Flow> {
        let descriptor = Descriptor::new(part.bits);
        if let Some(problem) = descriptor.misplaced(part.major) {
            let verdict = Verdict::Descriptor { matrix: part.name.to_owned(), bits: part.bits, problem };
            return Err(self.fault(verdict, u32::MAX));
        }
        let len = self.cluster.shared[self.block.rank as usize].len() as u32;
        let around = descriptor.around(part.lines.end);
        let end = u64::from(SHARED_START) + u64::from(len);
        if part.major == Major::K && around.start >= SHARED_START.into() && around.end <= end {
            return Ok(());
        }
        let inside = |address: u32| address >= SHARED_START && address - SHARED_START + PIECE <= len;
        let (mut lowest, mut highest) = (u32::MAX, 0);
        part.for_each_piece(|_, _, address| {
            lowest = lowest.min(address);
            highest = highest.max(address);
        });
        if inside(lowest) && inside(highest) {
            return Ok(());
        }
        let mut outside = None;
        part.for_each_piece(|_, _, address| {
            if outside.is_none() && !inside(address) {
                outside = Some(address);
            }
        });
        match self.span(Space::Shared, 0, outside.unwrap_or(lowest).into(), PIECE, Access::Read) {
            Ok(_) => Ok(()),
            Err(verdict) => Err(self.fault(verdict, u32::MAX)),
        }
    }

    /// An operation is issued that will read a part. Gives what wrote it.
    pub fn begin_part(&mut self, part: &Part, mark: Mark) -> Result<Vec<Mark>, Flow> {
        let rank = self.block.rank;
        let Some(watch) = &mut self.cluster.shared[rank as usize].watch else { return Ok(Vec::new()) };
        let read = watch.history.read_matrix(mark, &self.warp.clock, |touch| {
            part.for_each_piece(|_, _, address| touch(address - SHARED_START));
        });
        read.map_err(|(offset, clash)| self.unreadable(part, offset, clash))
    }

    /// The same of an operation that another warp of the warpgroup has begun.
    pub fn join_part(&mut self, part: &Part, written: &[Mark]) -> Result<(), Flow> {
        let clock = &self.warp.clock;
        let clash = written.iter().find_map(|written| may_be_read(*written, clock, Side::Shared).err());
        let start = Descriptor::new(part.bits).start - SHARED_START;
        clash.map_or(Ok(()), |clash| Err(self.unreadable(part, start, clash)))
    }

    fn unreadable(&mut self, part: &Part, offset: u32, clash: Clash) -> Flow {
        let what = format!("the matrix {} of a wgmma", part.name);
        let (rank, address) = (Some(self.block.rank), SHARED_START + offset);
        let verdict = self.clash(&what, Touch::AsyncRead, rank, address.into(), PIECE, clash);
        self.fault(verdict, u32::MAX)
    }

    /// The codes of a part that was found to be in shared memory, `DEPTH` bytes a
    /// line. `undefined` is told the lines that are not wholly defined.
    #[inline(always)]
    pub fn read_part(&mut self, part: &Part, to: &mut [u8], mut undefined: impl FnMut(usize)) {
        let (data, shadow) = self.cluster.shared[self.block.rank as usize].start();
        let read = |address: u32| {
            let offset = (address - SHARED_START) as usize;
            // SAFETY: the piece is in bounds, and 16-byte aligned as memory and address are.
            unsafe { (data.add(offset).cast::<u128>().read(), shadow.add(offset).cast::<u128>().read()) }
        };
        match part.major {
            Major::K => part.for_each_piece(
                #[inline(always)]
                |line, piece, address| {
                    let (bytes, defined) = read(address);
                    to[line * DEPTH + piece * 16..][..16].copy_from_slice(&bytes.to_le_bytes());
                    if defined != u128::MAX {
                        undefined(line);
                    }
                },
            ),
            Major::Mn => part.for_each_piece(
                #[inline(always)]
                |k, piece, address| {
                    let (bytes, defined) = read(address);
                    for (line, element) in (8 * piece..).zip(bytes.to_le_bytes().as_chunks::<2>().0) {
                        to[line * DEPTH + 2 * k..][..2].copy_from_slice(element);
                        if defined >> (line % 8 * 16) & 0xffff != 0xffff {
                            undefined(line);
                        }
                    }
                },
            ),
        }
    }
}

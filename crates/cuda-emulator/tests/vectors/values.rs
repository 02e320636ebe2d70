//! Operands: codes of number formats, made of fields.

/// Random numbers that repeat (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// A number format: a sign, an exponent, a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    pub name: &'static str,
    exponent: u32,
    fraction: u32,
}

pub const E4M3: Format = Format { name: "e4m3", exponent: 4, fraction: 3 };
pub const E5M2: Format = Format { name: "e5m2", exponent: 5, fraction: 2 };
pub const F16: Format = Format { name: "f16", exponent: 5, fraction: 10 };
pub const BF16: Format = Format { name: "bf16", exponent: 8, fraction: 7 };
pub const F32: Format = Format { name: "f32", exponent: 8, fraction: 23 };

/// Which numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Whole numbers from -2 to 2: their sums are exact, so that only layouts matter.
    Whole,
    /// Exponents around that of 1: sums in which every product counts.
    Near,
    /// Finite ones, subnormal to large: sums in which products are cut off, or overflow.
    Finite,
    /// Anything: infinities and NaN too.
    Bits,
}

impl Values {
    pub fn name(self) -> &'static str {
        match self {
            Values::Whole => "whole",
            Values::Near => "near",
            Values::Finite => "finite",
            Values::Bits => "bits",
        }
    }
}

impl Format {
    pub fn bytes(self) -> usize {
        (1 + self.exponent + self.fraction) as usize / 8
    }

    fn bias(self) -> u64 {
        (1 << (self.exponent - 1)) - 1
    }

    fn code(self, random: &mut Random, values: Values) -> u64 {
        let (bias, largest) = (self.bias(), (1u64 << self.exponent) - 1);
        let negative = random.below(2);
        let fraction = random.below(1 << self.fraction);
        let (exponent, fraction) = match values {
            Values::Whole => match random.below(3) {
                0 => (0, 0),
                magnitude => (bias + magnitude - 1, 0),
            },
            Values::Near => (bias - 3 + random.below(7), fraction),
            // With eight bits of exponent the products would hardly ever be of one size.
            Values::Finite if self.exponent == 8 => (bias - 20 + random.below(41), fraction),
            // E4M3's largest exponent is a number's, but for one fraction.
            Values::Finite if self == E4M3 => {
                let exponent = random.below(largest + 1);
                (exponent, if exponent == largest { fraction % 7 } else { fraction })
            }
            Values::Finite => (random.below(largest), fraction),
            Values::Bits => (random.below(largest + 1), fraction),
        };
        (negative << self.exponent | exponent) << self.fraction | fraction
    }

    /// So many codes.
    pub fn codes(self, random: &mut Random, values: Values, count: usize) -> Vec<u8> {
        let code = |_| self.code(random, values).to_le_bytes();
        (0..count).map(code).flat_map(|bytes| bytes.into_iter().take(self.bytes())).collect()
    }
}

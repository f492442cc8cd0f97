//! New inputs from old ones: the same seed and pool always give the same input. Pure.

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, and good enough to choose with.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, 0 when there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound.max(1) as u64;
        usize::try_from(self.next_u64() % bound).unwrap_or(0)
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.next_u64().to_le_bytes()[0]
    }
}

/// Longest input that is made.
pub const INPUT_MAX: usize = 16 << 10;

/// What parsers trip over, and what the formats are made of.
const WORDS: &[&[u8]] = &[
    b"null",
    b"true",
    b"-1",
    b"0",
    b"00",
    b"18446744073709551615",
    b"18446744073709551616",
    b"4294967296",
    b"1e999",
    b"1.5",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\0",
    b"\r",
    b")",
    b"(",
    b" ",
    b"\t",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xe2\x80\xae",
    b"\x1b[2J",
    b"..",
    b"/",
    b"_hex\":\"",
    b",\"crc\":\"00000000\"}\n",
    b"{\"seq\":",
    b",\"kind\":\"end\"",
    b"--password",
    b"=",
    b"token",
    b"://u:p@",
    b"-----BEGIN PRIVATE KEY-----",
    b"[redacted]",
    b"'",
    b"$X",
    b"mysql",
    b"-p",
];

/// Changes one input in one to four ways; `other` is what it may be mixed with.
#[must_use]
pub fn mutate(random: &mut Random, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..=random.below(4) {
        change(random, &mut out, other);
    }
    out.truncate(INPUT_MAX);
    out
}

fn change(random: &mut Random, out: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(out.len() + 1);
    let length = random.below(out.len() - at + 1).min(1 << random.below(9));
    match random.below(11) {
        0 => {
            if let Some(byte) = out.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = out.get_mut(at) {
                *byte = random.byte();
            }
        }
        2 => out.insert(at, random.byte()),
        3 => drop(out.drain(at..at + length)),
        4 => out.truncate(at),
        5 => {
            let piece = out[at..at + length].to_vec();
            let to = random.below(out.len() + 1);
            out.splice(to..to, piece);
        }
        6 => {
            let word = WORDS[random.below(WORDS.len())];
            out.splice(at..at, word.iter().copied());
        }
        7 => {
            let word = WORDS[random.below(WORDS.len())];
            let end = (at + word.len()).min(out.len());
            out.splice(at..end, word.iter().copied());
        }
        8 => number(random, out, at),
        9 => {
            // A line or a field of another input.
            let from = random.below(other.len() + 1);
            let take = random.below(other.len() - from + 1);
            out.splice(at..at + length, other[from..from + take].iter().copied());
        }
        _ => {
            // The head of one and the tail of the other.
            out.truncate(at);
            out.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
    }
}

/// Replaces the next number in the text by one at a limit, or the next bytes by those of one.
fn number(random: &mut Random, out: &mut Vec<u8>, at: usize) {
    const LIMITS: &[u64] = &[
        0,
        1,
        9,
        127,
        255,
        32_767,
        65_535,
        2_147_483_647,
        4_294_967_295,
        u64::MAX / 2,
        u64::MAX,
    ];
    let limit = LIMITS[random.below(LIMITS.len())].wrapping_add(random.below(3) as u64);
    let digit = |byte: &u8| byte.is_ascii_digit();
    if let Some(skip) = out[at..].iter().position(digit) {
        let from = at + skip;
        let length = out[from..].iter().take_while(|byte| digit(byte)).count();
        if random.below(2) == 0 {
            out.splice(from..from + length, limit.to_string().into_bytes());
            return;
        }
    }
    let bytes = limit.to_le_bytes();
    let end = (at + (1 << random.below(4))).min(out.len());
    let width = end - at;
    out[at..end].copy_from_slice(&bytes[..width]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_another_seed_others() {
        let inputs = |seed| {
            let mut random = Random::new(seed);
            (0..500)
                .map(|_| mutate(&mut random, b"{\"pid\":12}", b"other"))
                .collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        assert!(inputs(1).iter().any(|input| input != b"{\"pid\":12}"));
    }

    #[test]
    fn nothing_is_made_from_nothing_but_short_inputs() {
        let mut random = Random::new(3);
        for _ in 0..2_000 {
            assert!(mutate(&mut random, b"", b"").len() <= INPUT_MAX);
        }
    }
}

//! A finding as a person reads it, laid out as compilers do:
//!
//! ```text
//! error[conflict]: (1) a load, 4 bytes of shared memory ..., meets (2) an access that has not been waited for
//!   --> scale.cu:31
//!    |
//! 31 |     float x = tile[threadIdx.x];
//!    |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ (1) block (0, 0, 0), warp 0, lanes 0-15
//!    |
//!    = PTX line 52: ld.shared.f32 %f1, [%r4];
//!   ::: scale.cu:27
//!    |
//! 27 |     copy(tile, in, sizeof tile);
//!    |     --------------------------- (2) block (0, 0, 0), warp 0, lane 0
//!    |
//!    = PTX line 40: cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%rd1], 64, [%r2];
//!    = kernel: scale
//!    = help: wait for the asynchronous operation before the memory is used again
//! ```
//!
//! Lines of the source are shown where the PTX has line information (`nvcc -lineinfo`) and the file is there; lines of
//! the PTX otherwise.

use std::fmt::{self, Display, Formatter, Write};

use super::lanes;
use crate::verdict::{Finding, Place, Stand};

/// Threads that wait are listed, but not more than this.
const SHOWN: usize = 8;

/// An instruction to be shown: its line of source or PTX.
struct Snippet<'a> {
    place: &'a Place,
    /// "scale.cu:31", or "PTX line 52".
    at: String,
    number: u32,
    text: String,
    /// The PTX, where it is not the text.
    ptx: Option<String>,
}

impl<'a> Snippet<'a> {
    fn new(place: &'a Place) -> Self {
        let ptx = format!("PTX line {}", place.ptx_line);
        let instruction = place.ptx.split_whitespace().collect::<Vec<_>>().join(" ");
        match (&place.source, place.source_text()) {
            (Some((file, line)), Some(text)) => Snippet {
                place,
                at: format!("{file}:{line}"),
                number: *line,
                text: text.replace('\t', "    "),
                ptx: Some(format!("{ptx}: {instruction}")),
            },
            (source, _) => {
                let at = match source {
                    Some((file, line)) => format!("{file}:{line} ({ptx})"),
                    None => ptx,
                };
                Snippet { place, at, number: place.ptx_line, text: format!("    {instruction}"), ptx: None }
            }
        }
    }

    /// Shows it behind a margin of some width: under `arrow`, with the text underlined by `mark`, and named.
    fn show(&self, f: &mut impl Write, margin: usize, arrow: &str, mark: &str, name: &str) -> fmt::Result {
        let code = self.text.trim_start();
        let indent = self.text.chars().count() - code.chars().count();
        let line = mark.repeat(code.chars().count());
        writeln!(f, "{:margin$}{arrow} {}", "", self.at)?;
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{:>margin$} | {}", self.number, self.text)?;
        writeln!(f, "{:margin$} | {:indent$}{line} {name}{}", "", "", Threads::of(self.place))?;
        writeln!(f, "{:margin$} |", "")?;
        match &self.ptx {
            Some(ptx) => writeln!(f, "{:margin$} = {ptx}", ""),
            None => Ok(()),
        }
    }
}

/// "block (0, 0, 0), warp 1, lane 7".
struct Threads {
    block: [u32; 3],
    warp: u32,
    lanes: u32,
}

impl Threads {
    fn of(place: &Place) -> Self {
        Threads { block: place.block, warp: place.warp, lanes: place.lanes }
    }
}

impl Display for Threads {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.block;
        write!(f, "block ({x}, {y}, {z}), warp {}", self.warp)?;
        match self.lanes {
            // All of them, or nobody knows which.
            0 | u32::MAX => Ok(()),
            one if one.is_power_of_two() => write!(f, ", lane {}", one.trailing_zeros()),
            some => write!(f, ", lanes {}", ranges(some)),
        }
    }
}

/// "0-15, 31"; a mask where that would be long.
fn ranges(mask: u32) -> String {
    const MOST: usize = 4;
    let mut runs: Vec<[u32; 2]> = Vec::new();
    for lane in lanes(mask) {
        match runs.last_mut() {
            Some([_, last]) if *last + 1 == lane => *last = lane,
            _ => runs.push([lane; 2]),
        }
    }
    if runs.len() > MOST {
        return format!("{mask:#010x}");
    }
    let runs = runs.iter().map(|[first, last]| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    runs.collect::<Vec<_>>().join(", ")
}

/// "block (0, 0, 0), warp 1, lanes 0-7 at scale.cu:31 (PTX line 52): barrier 0 (8 of 64 threads arrived)".
fn stand(stand: &Stand) -> String {
    let threads = Threads { block: stand.block, warp: stand.warp, lanes: stand.lanes };
    let ptx = format!("PTX line {}", stand.ptx_line);
    let at = match &stand.source {
        Some((file, line)) => format!("{file}:{line} ({ptx})"),
        None => ptx,
    };
    format!("{threads} at {at}: {}", stand.waits_for)
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sides = [Some(&self.place), self.verdict.other()];
        let instructions = sides.map(|side| side.filter(|place| place.is_known()).map(Snippet::new));
        let widest = instructions.iter().flatten().map(|snippet| snippet.number).max();
        let margin = widest.map_or(1, |number| number.to_string().len());
        // Launches of two kernels may meet.
        let differ = self.verdict.other().is_some_and(|other| other.kernel != self.place.kernel);

        let mut text = format!("error[{}]: {}\n", self.verdict.kind(), self.verdict);
        for (snippet, [arrow, mark, number]) in
            instructions.iter().zip([["-->", "^", "(1) "], [":::", "-", "(2) "]])
        {
            let Some(snippet) = snippet else { continue };
            let mut name = if sides[1].is_some() { number.to_owned() } else { String::new() };
            if differ {
                name += &format!("kernel {}, ", snippet.place.kernel);
            }
            snippet.show(&mut text, margin, arrow, mark, &name)?;
        }
        let mut note = |note: &dyn Display| writeln!(text, "{:margin$} = {note}", "");
        for (side, number) in sides.iter().zip(["(1)", "(2)"]) {
            if let Some(place) = side.filter(|place| !place.is_known() && !place.kernel.is_empty()) {
                note(&format_args!("{number}: {}", place.kernel))?;
            }
        }
        let stands = self.verdict.stands();
        for waiting in stands.iter().take(SHOWN) {
            note(&stand(waiting))?;
        }
        if stands.len() > SHOWN {
            note(&format_args!("and {} more", stands.len() - SHOWN))?;
        }
        if self.place.is_known() && !differ {
            note(&format_args!("kernel: {}", self.place.kernel))?;
        }
        if let Some(help) = self.verdict.help() {
            note(&format_args!("help: {help}"))?;
        }
        f.write_str(text.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn lanes_are_given_as_ranges() {
        assert_eq!(ranges(0b1011), "0-1, 3");
        assert_eq!(ranges(0xffff_0000), "16-31");
        assert_eq!(ranges(0x8000_0003), "0-1, 31");
        assert_eq!(ranges(0x0f0f_0f0f), "0-3, 8-11, 16-19, 24-27");
        assert_eq!(ranges(0x5555_5555), "0x55555555");
    }
}

//! How findings are told: the very text, and the JSON.

use std::path::PathBuf;

use cuda_emulator::verdict::{Access, Finding, Nearest, Place, Stand, Verdict};
use serde_json::{Value, json};

/// A source file with a tab, blanks behind a line, and an empty line.
const SOURCE: &str = "__global__ void scale(float *out, const float *in)\n{\n\tcopy(tile, in, 64);  \n\n    \
                      out[threadIdx.x] = 2 * tile[threadIdx.x];\n}\n";

/// A file of the test's own with the source, which goes with it.
struct File(PathBuf);

impl File {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cuda-emulator-{test}-{}.cu", std::process::id()));
        std::fs::write(&path, SOURCE).unwrap();
        File(path)
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn place(source: Option<(String, u32)>) -> Place {
    Place {
        kernel: "scale".into(),
        ptx_line: 52,
        ptx: "ld.shared.f32 %f1, [%r4];".into(),
        source,
        block: [0, 2, 0],
        warp: 1,
        lanes: 0xffff,
    }
}

/// A copy that is not waited for, and where that shows, each at a line of the file.
fn in_flight(file: &str, lines: [u32; 2]) -> Finding {
    let [load, copy] = lines.map(|line| Some((file.to_owned(), line)));
    let pending = Place {
        ptx_line: 140,
        ptx: "cp.async.bulk [%r1], [%rd1], 64, [%r2];".into(),
        lanes: 1,
        warp: 0,
        ..place(copy)
    };
    let verdict = Verdict::InFlight { what: "the function returns".to_owned(), pending: Box::new(pending) };
    Finding { verdict, place: place(load) }
}

#[test]
fn both_sides_with_their_source() {
    let file = File::new("both_sides");
    let expected = "\
error[in-flight]: (1) the function returns, and (2) may not be over
 --> FILE:5
  |
5 |     out[threadIdx.x] = 2 * tile[threadIdx.x];
  |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ (1) block (0, 2, 0), warp 1, lanes 0-15
  |
  = PTX line 52: ld.shared.f32 %f1, [%r4];
 ::: FILE:3
  |
3 |     copy(tile, in, 64);
  |     ------------------- (2) block (0, 2, 0), warp 0, lane 0
  |
  = PTX line 140: cp.async.bulk [%r1], [%rd1], 64, [%r2];
  = kernel: scale
  = help: wait for it: cp.async.bulk.wait_group, wgmma.wait_group, or a barrier of the cluster";
    assert_eq!(in_flight(&file.name(), [5, 3]).to_string(), expected.replace("FILE", &file.name()));
}

#[test]
fn without_a_source_the_ptx_is_shown() {
    // The file is not there; it ends before the line; the line is empty.
    let file = File::new("without_a_source");
    for (name, line) in [("/nonexistent/scale.cu".to_owned(), 5), (file.name(), 90), (file.name(), 4)] {
        let expected = "\
error[in-flight]: (1) the function returns, and (2) may not be over
   --> FILE:LINE (PTX line 52)
    |
 52 |     ld.shared.f32 %f1, [%r4];
    |     ^^^^^^^^^^^^^^^^^^^^^^^^^ (1) block (0, 2, 0), warp 1, lanes 0-15
    |
   ::: FILE:LINE (PTX line 140)
    |
140 |     cp.async.bulk [%r1], [%rd1], 64, [%r2];
    |     --------------------------------------- (2) block (0, 2, 0), warp 0, lane 0
    |
    = kernel: scale
    = help: wait for it: cp.async.bulk.wait_group, wgmma.wait_group, or a barrier of the cluster";
        let expected = expected.replace("FILE", &name).replace("LINE", &line.to_string());
        assert_eq!(in_flight(&name, [line; 2]).to_string(), expected);
    }
}

fn stand(warp: u32) -> Stand {
    Stand {
        block: [0; 3],
        warp,
        lanes: u32::MAX,
        ptx_line: 7,
        source: (warp == 1).then(|| ("scale.cu".to_owned(), 3)),
        waits_for: "barrier 0 (320 of 352 threads arrived)".into(),
    }
}

#[test]
fn threads_that_wait_are_listed() {
    let verdict = Verdict::Deadlock { stands: (0..10).map(stand).collect() };
    let finding = Finding { verdict, place: Place { lanes: u32::MAX, ..place(None) } };
    let waiting = "barrier 0 (320 of 352 threads arrived)";
    let mut expected = format!(
        "\
error[deadlock]: deadlock: no thread can go on
  --> PTX line 52
   |
52 |     ld.shared.f32 %f1, [%r4];
   |     ^^^^^^^^^^^^^^^^^^^^^^^^^ block (0, 2, 0), warp 1
   |
   = block (0, 0, 0), warp 0 at PTX line 7: {waiting}
   = block (0, 0, 0), warp 1 at scale.cu:3 (PTX line 7): {waiting}\n"
    );
    for warp in 2..8 {
        expected += &format!("   = block (0, 0, 0), warp {warp} at PTX line 7: {waiting}\n");
    }
    expected += "   = and 2 more\n   = kernel: scale\n   \
                 = help: every thread that a barrier counts must reach it, or leave no one waiting";
    assert_eq!(finding.to_string(), expected);
}

/// A copy of the host's, which is at no instruction.
fn of_the_host() -> Finding {
    let verdict = Verdict::OutOfBounds {
        access: Access::Read,
        space: "global".into(),
        address: 0x1000,
        size: 4,
        nearest: Nearest::Nothing,
    };
    Finding { verdict, place: Place::default() }
}

#[test]
fn what_the_host_did_has_no_place() {
    let expected = "\
error[out-of-bounds]: read of 4 bytes at global address 0x1000 is out of bounds: no allocation is near it
  = help: check the index against the shape before the access: ragged edges need a guard";
    assert_eq!(of_the_host().to_string(), expected);
    let trap = Finding { verdict: Verdict::Trap, place: Place::default() };
    assert_eq!(trap.to_string(), "error[trap]: trap");
}

/// A copy in a stream that meets a kernel of another, and the other way round.
#[test]
fn launches_and_copies_that_meet() {
    let copy = Place { kernel: "a copy or fill".into(), ..Place::default() };
    let race = |place: Place, other: Place| {
        let what = "a write".to_owned();
        let other = Box::new(other);
        Finding {
            verdict: Verdict::Race { what, rank: None, address: 16, len: 4, other, writes: true },
            place,
        }
    };
    let headline = "error[race]: (1) a write, 4 bytes of global memory at 0x10, and (2) an earlier write: nothing \
                    orders them\n";
    let text = |finding: &Finding| {
        let text = finding.to_string();
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(format!("{first}\n"), headline);
        rest.split("   = help").next().unwrap().to_owned()
    };
    let kernel = |number: u32| Place { kernel: format!("k{number}"), lanes: 1, ..place(None) };
    let instruction = |arrow: &str, mark: &str, name: &str| {
        let line = mark.repeat(25);
        format!(
            "  {arrow} PTX line 52\n   |\n52 |     ld.shared.f32 %f1, [%r4];\n   |     {line} {name}, block (0, 2, 0), \
             warp 1, lane 0\n   |\n"
        )
    };
    let (first, second) =
        (instruction("-->", "^", "(1) kernel k1"), instruction(":::", "-", "(2) kernel k2"));
    assert_eq!(text(&race(kernel(1), kernel(2))), format!("{first}{second}"));
    assert_eq!(text(&race(kernel(1), copy.clone())), format!("{first}   = (2): a copy or fill\n"));
    assert_eq!(text(&race(copy.clone(), kernel(2))), format!("{second}   = (1): a copy or fill\n"));

    let json: Value = serde_json::from_str(&race(kernel(1), copy).to_json()).unwrap();
    let nothing = Value::Null;
    let other = json!({
        "kernel": "a copy or fill", "file": nothing, "line": nothing, "source": nothing, "ptx_line": nothing,
        "ptx": nothing, "block": nothing, "warp": nothing, "lanes": nothing,
    });
    assert_eq!((&json["other"], &json["place"]["kernel"]), (&other, &json!("k1")));
    assert_eq!(
        json["facts"],
        json!({"what": "a write", "rank": nothing, "address": 16, "len": 4, "writes": true})
    );
}

#[test]
fn json() {
    let file = File::new("json");
    let finding = in_flight(&file.name(), [5, 4]);
    let text = finding.to_json();
    assert!(!text.contains('\n'), "{text}");
    let expected = json!({
        "kind": "in-flight",
        "message": "(1) the function returns, and (2) may not be over",
        "help": "wait for it: cp.async.bulk.wait_group, wgmma.wait_group, or a barrier of the cluster",
        "place": {
            "kernel": "scale",
            "file": file.name(),
            "line": 5,
            "source": "    out[threadIdx.x] = 2 * tile[threadIdx.x];",
            "ptx_line": 52,
            "ptx": "ld.shared.f32 %f1, [%r4];",
            "block": [0, 2, 0],
            "warp": 1,
            "lanes": (0..16).collect::<Vec<u32>>(),
        },
        "other": {
            "kernel": "scale",
            "file": file.name(),
            "line": 4,
            "source": null,
            "ptx_line": 140,
            "ptx": "cp.async.bulk [%r1], [%rd1], 64, [%r2];",
            "block": [0, 2, 0],
            "warp": 0,
            "lanes": [0],
        },
        "stands": [],
        "facts": { "what": "the function returns" },
        "text": finding.to_string(),
    });
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
}

#[test]
fn json_of_the_host_and_of_those_who_wait() {
    let parse = |finding: &Finding| serde_json::from_str::<Value>(&finding.to_json()).unwrap();
    let host = parse(&of_the_host());
    assert_eq!((&host["place"], &host["other"]), (&Value::Null, &Value::Null));
    let facts =
        json!({"access": "Read", "space": "global", "address": 0x1000, "size": 4, "nearest": "Nothing"});
    assert_eq!(host["facts"], facts);

    let verdict = Verdict::Livelock { instructions: 9, stands: vec![stand(1)] };
    let waiting = parse(&Finding { verdict, place: place(None) });
    let expected = json!([{
        "block": [0, 0, 0],
        "warp": 1,
        "lanes": (0..32).collect::<Vec<u32>>(),
        "file": "scale.cu",
        "line": 3,
        "ptx_line": 7,
        "waits_for": "barrier 0 (320 of 352 threads arrived)",
    }]);
    assert_eq!(waiting["stands"], expected);
    assert_eq!(waiting["facts"], json!({ "instructions": 9 }));
    assert_eq!(waiting["place"]["file"], Value::Null);

    let trap = parse(&Finding { verdict: Verdict::Trap, place: place(None) });
    assert_eq!((&trap["kind"], &trap["help"], &trap["facts"]), (&json!("trap"), &Value::Null, &json!({})));
}

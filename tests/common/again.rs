//! The tests of this binary once more, in a process of its own, under other circumstances.

use std::{
    env,
    ffi::OsStr,
    io::Read,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Set in such a process.
const INSIDE: &str = "DEEPKERN_TEST_AGAIN";
/// Tests that have not ended by then never do.
const LIMIT: Duration = Duration::from_secs(120);

/// Whether this is such a process: a test that starts them has nothing to do there.
pub fn is_inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Runs the tests on the emulator with these environment variables: how they ended and what they printed. Nothing if
/// they do not end.
pub fn run(environment: &[(&str, &OsStr)]) -> Option<(ExitStatus, String)> {
    let mut child = Command::new(env::current_exe().expect("this binary"))
        .env(INSIDE, "1")
        .env("DEEPKERN_DEVICE", "emulator")
        // A failure is enough, the smallest one is not asked for; and it is to be the same next time.
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("PROPTEST_RNG_SEED", "1")
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this binary runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    let reader = thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stdout.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        if started.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    };
    Some((status, reader.join().expect("does not panic")))
}

//! A program is tried with its kernel as it is, and with what orders its threads removed. The program is this binary.

use std::ffi::{CString, OsString};
use std::time::Duration;

use cuda_emulator::mutation::{
    Equivalent, Family, Outcome, Score, SurveyError, Trial, TrialError, survey, untrue,
};
use cudarc::driver::{CudaContext, DevicePtr, result};

/// Reverses 64 numbers by way of shared memory. Its second barrier orders nothing.
const PTX: &str = ".version 8.0
.target sm_90
.address_size 64
.visible .entry reverse(.param .u64 numbers)
{
.reg .b32 %r<4>;
.reg .b64 %rd<3>;
.shared .align 4 .b8 turned[256];
ld.param.u64 %rd1, [numbers];
mov.u32 %r1, %tid.x;
mul.wide.u32 %rd2, %r1, 4;
add.u64 %rd1, %rd1, %rd2;
prefetch.global.L2 [%rd1];
ld.global.u32 %r2, [%rd1];
mov.u32 %r3, turned;
mad.lo.u32 %r1, %r1, 4, %r3;
st.shared.u32 [%r1], %r2;
bar.sync 0;
mul.lo.u32 %r3, %r3, 2;
sub.u32 %r1, %r3, %r1;
ld.shared.u32 %r2, [%r1+252];
bar.sync 1;
st.global.u32 [%rd1], %r2;
ret;
}
";

/// Set where this binary is the program.
const CHILD: &str = "MUTATION_TEST_CHILD";

#[test]
fn numbers_are_reversed() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    cuda_emulator::install().unwrap();
    let context = CudaContext::new(0).unwrap();
    let stream = context.default_stream();
    let numbers: Vec<u32> = (0..64).collect();
    let device = stream.clone_htod(&numbers).unwrap();
    let text = CString::new(PTX).unwrap();
    // SAFETY: the kernel takes an address, and reads and writes 64 numbers there, one a thread.
    unsafe {
        let module = result::module::load_data(text.as_ptr().cast()).unwrap();
        let kernel = result::module::get_function(module, CString::new("reverse").unwrap()).unwrap();
        let mut address = device.device_ptr(&stream).0;
        let arguments = &mut [(&raw mut address).cast()];
        result::launch_kernel(kernel, (1, 1, 1), (64, 1, 1), 0, stream.cu_stream(), arguments).unwrap();
    }
    let reversed: Vec<u32> = numbers.into_iter().rev().collect();
    assert_eq!(stream.clone_dtoh(&device).unwrap(), reversed);
}

fn trial() -> Trial {
    let command: [OsString; 3] =
        [std::env::current_exe().unwrap().into(), "numbers_are_reversed".into(), "--exact".into()];
    Trial {
        command: command.to_vec(),
        environment: vec![(CHILD.into(), "1".into())],
        seeds: 2,
        limit: Duration::from_secs(60),
    }
}

fn families() -> Vec<Family> {
    vec![Family::new("rev", PTX, trial(), |_| false).unwrap()]
}

fn list(change: &str) -> Vec<Equivalent> {
    let text = format!("family: rev\nsource: {change};\nchange: bar.sync removed\nbecause: b\nmanual: m\n");
    Equivalent::list(&text).unwrap()
}

#[test]
fn each_change_is_tried() {
    let families = families();
    let tried = survey(&families, &[], |_| {}).unwrap();
    let passed: Vec<_> = tried.iter().map(|one| (one.edit.line, one.outcome == Outcome::Passed)).collect();
    assert_eq!(passed, [(13, true), (18, false), (22, true)]);
    assert_eq!(Score::of(&tried), Score { caught: 1, all: 2, equivalent: 0, hints: 1 });
    assert_eq!(Score::of(&tried).to_string(), "mutants: 1 of 2 caught, 50.0 %");
    assert_eq!(tried[2].to_string(), "SURVIVES   rev: PTX line 22: `bar.sync 1;`: bar.sync removed");
}

#[test]
fn equivalent_changes_are_not_counted() {
    let (families, list) = (families(), list("bar.sync 1"));
    let tried = survey(&families, &list, |_| {}).unwrap();
    assert_eq!(Score::of(&tried), Score { caught: 1, all: 1, equivalent: 1, hints: 1 });
    assert_eq!(untrue(&families, &list, &tried), Vec::<String>::new());
}

#[test]
fn a_list_may_say_nothing_that_is_not_so() {
    let families = families();
    let caught = list("bar.sync 0");
    let tried = survey(&families, &caught, |_| {}).unwrap();
    let said = untrue(&families, &caught, &tried);
    assert!(said.len() == 1 && said[0].starts_with("is said to be equivalent: caught"), "{said:?}");
    let said = untrue(&families, &list("bar.sync 2"), &[]);
    assert_eq!(said, ["the list, line 1: there is no `bar.sync 2;`, bar.sync removed"]);
}

#[test]
fn a_trial_says_what_it_runs() {
    let trial = trial();
    assert_eq!(trial.modules().unwrap(), [PTX]);
    assert_eq!(trial.run(PTX).unwrap(), Outcome::Passed);
    let other = PTX.replace("entry reverse", "entry other");
    assert!(matches!(trial.run(&other), Err(TrialError::NotLoaded)));
    let wrong = trial.run(&PTX.replace("bar.sync 1", "bar.think 1"));
    assert!(matches!(&wrong, Err(TrialError::NoProgram(why)) if why.contains("bar.think")), "{wrong:?}");
    let finding = trial.run(&PTX.replace("ld.global.u32 %r2, [%rd1]", "ld.global.u32 %r2, [%rd1+4]"));
    assert_eq!(finding.unwrap(), Outcome::Found("out-of-bounds".to_owned()));
    assert_eq!(Trial { limit: Duration::ZERO, ..trial }.run(PTX).unwrap(), Outcome::Endless);
}

#[test]
fn a_program_must_pass_with_its_own_kernels() {
    let mut families = families();
    families[0].ptx = PTX.replace("%r1+252", "%r1+248");
    let refused = survey(&families, &[], |_| {});
    assert!(matches!(refused, Err(SurveyError::Unchanged { .. })), "{refused:?}");
}

//! Doubling any one scale makes the demo fail.
//!
//! - In the checkpoint's file: then f64 and golden values part. Tried for all scales in f64, and for a few through the
//!   whole demo.
//! - On its way to the device, or there: then the kernel's product and the reference's part. Tried for a few.
//!
//! The few are drawn by a seed, printed; `DEEPKERN_SEED` repeats one.

use std::{
    collections::HashMap,
    convert::Infallible,
    env,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use deepkern::{
    Device,
    fp8::{BLOCK, ScaleFormat},
    reference::{self, Quantized},
};
use half::bf16;
use indicatif::ProgressBar;
use safetensors::SafeTensors;

use super::{folder, load};
use crate::{
    checked::{Checked, count_differing},
    checkpoint::{Checkpoint, Config, Weight},
    demo::{GOLDEN_ROUNDING_BOUND, run_part},
    engine::Engine,
    exact::Exact,
    golden::Golden,
    layer::{Part, Projections, output},
    matrix::{Matrix, relative_error},
    report::Report,
    tensors::read,
};

/// One scale in the file.
#[derive(Debug, Clone)]
struct Scale {
    /// Of the weight, as in [`Weight::name`].
    weight: String,
    layer: usize,
    part: Part,
    /// Where its four bytes are.
    offset: usize,
}

/// A `model.safetensors`, with a way to double scales in it.
struct File {
    bytes: Vec<u8>,
    config: Config,
    scales: Vec<Scale>,
}

impl File {
    fn read(config: &Config) -> Self {
        let bytes = read(&folder().join("model.safetensors")).expect("the model is part of the repository");
        let mut scales = Vec::new();
        for (name, tensor) in SafeTensors::deserialize(&bytes).expect("the file is sound").iter() {
            let Some(name) = name.strip_suffix(".weight_scale_inv") else { continue };
            let mut words = name.split('.').skip(2);
            let layer = words.next().and_then(|word| word.parse().ok()).expect("model.layers.<layer>");
            let part = words.next().expect("a part of the layer");
            let part =
                Part::ALL.into_iter().find(|candidate| candidate.name() == part).expect("a known part");
            let start = tensor.data().as_ptr().addr() - bytes.as_ptr().addr();
            scales.extend((0..tensor.data().len() / 4).map(|i| Scale {
                weight: name.trim_start_matches("model.").into(),
                layer,
                part,
                offset: start + 4 * i,
            }));
        }
        Self { bytes, config: config.clone(), scales }
    }

    /// The checkpoint with this scale doubled.
    fn doubled(&self, scale: &Scale) -> Checkpoint {
        let mut bytes = self.bytes.clone();
        let (value, _) = bytes[scale.offset..].split_first_chunk_mut().expect("within the file");
        *value = (2.0 * f32::from_le_bytes(*value)).to_le_bytes();
        Checkpoint::parse(self.config.clone(), &folder(), &bytes).expect("only a scale has changed")
    }

    /// One scale of each part of each layer.
    fn sample(&self, draw: &mut impl FnMut(usize) -> usize) -> Vec<Scale> {
        let parts = (0..self.config.num_hidden_layers).flat_map(|layer| Part::ALL.map(|part| (layer, part)));
        let mut pick = |wanted| {
            let mut scales = self.scales.iter().filter(|scale| (scale.layer, scale.part) == wanted);
            let count = scales.clone().count();
            scales.nth(draw(count)).expect("every part has weights").clone()
        };
        parts.map(&mut pick).collect()
    }
}

/// Draws numbers below a limit, by a seed that is printed (splitmix64).
fn draw() -> impl FnMut(usize) -> usize {
    let given = env::var("DEEPKERN_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut state: u64 = given.unwrap_or_else(|| {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(())
    });
    println!("DEEPKERN_SEED={state}");
    move |limit| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

/// [`Exact`], that remembers what it has computed: most of a layer does not depend on a single scale.
#[derive(Default)]
struct Remembering(HashMap<String, (Matrix, Quantized, Matrix)>);

/// Computes only what is not remembered.
struct Recalling<'a>(&'a Remembering);

impl Projections for Remembering {
    type Error = Infallible;

    fn project<const N: usize>(
        &mut self,
        x: &Matrix,
        weights: [&Weight; N],
    ) -> Result<[Matrix; N], Infallible> {
        let products = Exact.project(x, weights)?;
        for (weight, product) in weights.into_iter().zip(&products) {
            let entry = (x.clone(), weight.quantized.clone(), product.clone());
            self.0.insert(weight.name.clone(), entry);
        }
        Ok(products)
    }
}

impl Projections for Recalling<'_> {
    type Error = Infallible;

    fn project<const N: usize>(
        &mut self,
        x: &Matrix,
        weights: [&Weight; N],
    ) -> Result<[Matrix; N], Infallible> {
        Ok(weights.map(|weight| match &self.0.0[&weight.name] {
            (input, quantized, product) if input == x && *quantized == weight.quantized => product.clone(),
            _ => {
                let Ok([product]) = Exact.project(x, [weight]);
                product
            }
        }))
    }
}

#[test]
fn every_scale_of_the_checkpoint_shows_in_f64() {
    let (model, golden) = load();
    let file = File::read(&model.config);
    let mut memory = Remembering::default();
    for layer in 0..model.layers.len() {
        for part in Part::ALL {
            let Ok(ours) = output(&mut memory, &model, &golden, layer, part);
            assert!(relative_error(&ours, golden.layers[layer].part(part)) <= GOLDEN_ROUNDING_BOUND);
        }
    }
    let projected = memory.0.len();
    assert_eq!(projected, model.weights().len(), "the demo uses every projection of the checkpoint");

    let effect = |scale: &Scale| {
        let Scale { layer, part, .. } = *scale;
        let Ok(ours) = output(&mut Recalling(&memory), &file.doubled(scale), &golden, layer, part);
        relative_error(&ours, golden.layers[layer].part(part))
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let effects: Vec<(f64, &Scale)> = thread::scope(|scope| {
        let share = |scales| scope.spawn(move || Vec::from_iter(scales));
        let workers: Vec<_> = file
            .scales
            .chunks(file.scales.len().div_ceil(threads))
            .map(|scales| share(scales.iter().map(|scale| (effect(scale), scale))))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no worker panics")).collect()
    });

    assert_eq!(effects.len(), 402);
    let (least, scale) = effects.iter().min_by(|a, b| a.0.total_cmp(&b.0)).expect("there are scales");
    println!("the least effect of doubling a scale is {least:.2e}: {scale:?}");
    assert!(*least > 20.0 * GOLDEN_ROUNDING_BOUND, "{scale:?} has an effect of {least:e}");
}

/// The failures of the demo, with a model on the device and another on the host.
fn failures(
    device: &Device,
    on_device: &Checkpoint,
    model: &Checkpoint,
    golden: &Golden,
    scale: &Scale,
) -> Vec<String> {
    let mut engine = Engine::new(device, &on_device.weights(), golden.max_rows()).expect("enough memory");
    let mut report = Report::new(ProgressBar::hidden());
    run_part(&mut engine, model, golden, scale.layer, scale.part, &mut report).expect("kernels run");
    report.failures().collect()
}

/// The device, for one test at a time: what was counted is that of its last launch.
fn device() -> (MutexGuard<'static, ()>, Device) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{}", cuda_emulator::choose(env::var("DEEPKERN_DEVICE").ok().as_deref()).expect("a driver"));
    (guard, Device::new(0).expect("a device"))
}

#[test]
fn a_scale_doubled_fails_the_demo() {
    let (_one_at_a_time, device) = device();
    let (model, golden) = load();
    let file = File::read(&model.config);
    let mut draw = draw();

    for scale in file.sample(&mut draw) {
        let doubled = file.doubled(&scale);
        let in_file = failures(&device, &doubled, &doubled, &golden, &scale);
        let golden_part = format!("f64 against golden layers.{}.{}:", scale.layer, scale.part.name());
        assert!(in_file.iter().any(|failure| failure.contains(&golden_part)), "{scale:?}: {in_file:?}");

        let on_device = failures(&device, &doubled, &model, &golden, &scale);
        let rounding = format!("rounding of {}:", scale.weight);
        assert!(on_device.iter().any(|failure| failure.contains(&rounding)), "{scale:?}: {on_device:?}");
    }
}

#[test]
fn a_scale_of_an_activation_doubled_fails_the_demo() {
    let (_one_at_a_time, device) = device();
    let (model, _) = load();
    let weight = &model.layers[0].attention.o;
    let mut engine = Engine::new(&device, &[weight], 7).expect("enough memory");
    let mut draw = draw();

    let (m, k) = (7, weight.k);
    let x: Vec<bf16> = (0..m * k).map(|_| bf16::from_f64(draw(2001) as f64 / 1000.0 - 1.0)).collect();
    let widened: Vec<f32> = x.iter().map(|value| value.to_f32()).collect();
    let expected = reference::quantize(&widened, m, k, (1, BLOCK), ScaleFormat::F32);
    engine.quantize(&x, m, k).expect("the kernel runs");
    let quantized = engine.quantized(m, k).expect("the device answers");
    assert_eq!(quantized, expected);

    let input = Matrix { rows: m, columns: k, values: x.iter().map(|value| value.to_f64()).collect() };
    let mut failures = |expected: &Quantized| {
        let mut report = Report::new(ProgressBar::hidden());
        let mut checked = Checked { engine: &mut engine, report: &mut report };
        checked.gemm(&input, expected, weight).expect("the kernel runs");
        report.failures().collect::<Vec<_>>()
    };
    assert_eq!(failures(&expected), Vec::<String>::new());
    for scale in 0..expected.scales.len() {
        // With half of it expected, the device has the double.
        let mut halved = expected.clone();
        halved.scales[scale] /= 2.0;
        assert_eq!(count_differing(&quantized, &halved), 1);
        let rounding = format!("rounding of {}:", weight.name);
        assert!(failures(&halved).iter().any(|failure| failure.contains(&rounding)), "scale {scale}");
    }
}

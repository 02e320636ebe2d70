//! The device that tests run on: the real one where there is one, the emulator otherwise; `DEEPKERN_DEVICE=cuda` or
//! `emulator` decides.

use std::{env, sync::OnceLock};

use cuda_emulator::Driver;
use deepkern::Device;

/// Chooses the driver. The first call says which it is.
pub fn driver() -> Driver {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    *DRIVER.get_or_init(|| {
        let request = env::var("DEEPKERN_DEVICE").ok();
        let driver = cuda_emulator::choose(request.as_deref()).expect("a driver, real or emulated");
        println!("{driver}");
        driver
    })
}

/// Device 0, with what has been loaded onto it. Where it is emulated, its tensor cores add exactly.
pub fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE
        .get_or_init(|| {
            driver();
            cuda_emulator::set_arithmetic(cuda_emulator::Arithmetic::Exact);
            Device::new(0).expect("a device")
        })
        .clone()
}

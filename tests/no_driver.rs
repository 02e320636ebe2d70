//! Where there is no driver, asking for a device is an error that says what to do, and no panic. No emulator is
//! installed in this program.

use deepkern::{Device, Error, cudarc::driver::sys};

#[test]
fn no_driver_is_an_error() {
    // SAFETY: loads the driver if there is one.
    let there_is_one = unsafe { sys::is_culib_present() };
    match Device::new(0) {
        Err(Error::NoDriver) => assert!(!there_is_one),
        // A machine with a driver, perhaps without a usable GPU.
        outcome => assert!(there_is_one, "{outcome:?}"),
    }
}

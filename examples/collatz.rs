//! collatz(n): how many steps n takes to 1, halved when even and else made 3n + 1; 0 for 0. Exact as long as the
//! numbers on the way fit into 64 bits, and a trap when they do not.
#![no_std]

#[panic_handler]
fn trap(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

#[no_mangle]
pub extern "C" fn collatz(n: u64) -> u32 {
    let (mut value, mut steps) = (n, 0);
    while value > 1 {
        value = if value % 2 == 0 {
            value / 2
        } else {
            value.checked_mul(3).and_then(|tripled| tripled.checked_add(1)).unwrap()
        };
        steps += 1;
    }
    steps
}

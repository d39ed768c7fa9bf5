//! The suite of the port `Clock`.

use backstay_core::ports::clock::Clock;

/// What is now is not before what was now, as long as nobody moves the clock, and it is an instant that rows can keep:
/// whole microseconds. A clock that hands on nanoseconds makes it red.
pub fn exercise(clock: &dyn Clock) {
    let first = clock.now();
    let second = clock.now();
    assert!(second >= first, "{second} is before {first}");
    assert_eq!(first.as_nanosecond() % 1_000, 0, "{first} is no whole microsecond");
    assert!(first.as_second() > 0, "{first} is before 1970");
}

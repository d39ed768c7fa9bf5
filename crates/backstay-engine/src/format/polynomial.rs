//! The irreducible polynomial over GF(2) that a repository's chunk boundaries follow from.
//!
//! A polynomial is a number whose bits are its coefficients. Irreducibility is decided by Ben-Or's test, as restic
//! does when it makes one.

use rand::RngCore;

/// Degree of the polynomials that restic makes.
const DEGREE: u32 = 53;

/// Returns a random irreducible polynomial of degree 53: about one in 27 candidates is one.
pub fn random() -> u64 {
    loop {
        let bits = rand::rng().next_u64() & ((1 << DEGREE) - 1);
        let candidate = bits | 1 << DEGREE | 1;
        if is_irreducible(candidate) {
            return candidate;
        }
    }
}

/// Returns the degree; that of zero is taken for zero.
pub(super) const fn degree(polynomial: u64) -> u32 {
    63u32.saturating_sub(polynomial.leading_zeros())
}

/// Returns the remainder of a division.
pub(super) const fn remainder(mut dividend: u128, divisor: u64) -> u64 {
    let low = degree(divisor);
    while dividend >> low != 0 {
        let high = 127 - dividend.leading_zeros();
        dividend ^= (divisor as u128) << (high - low);
    }
    dividend as u64
}

/// Returns the product of two remainders.
const fn multiply(a: u64, b: u64, modulus: u64) -> u64 {
    let mut product = 0u128;
    let mut bit = 0;
    while bit < 64 {
        if b >> bit & 1 == 1 {
            product ^= (a as u128) << bit;
        }
        bit += 1;
    }
    remainder(product, modulus)
}

/// Returns the greatest common divisor.
const fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, remainder(a as u128, b));
    }
    a
}

/// Says whether a polynomial is irreducible: it shares no factor with x^(2^i) - x for i up to half its degree.
pub const fn is_irreducible(polynomial: u64) -> bool {
    let mut power = 2;
    let mut i = 0;
    while i < degree(polynomial) / 2 {
        power = multiply(power, power, polynomial);
        if common_divisor(polynomial, power ^ 2) != 1 {
            return false;
        }
        i += 1;
    }
    degree(polynomial) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries every smaller polynomial as a divisor.
    fn has_divisor(polynomial: u64) -> bool {
        (2..polynomial)
            .any(|divisor| degree(divisor) < degree(polynomial) && remainder(polynomial.into(), divisor) == 0)
    }

    #[test]
    fn irreducible_is_what_no_smaller_one_divides() {
        for polynomial in 2..2_048 {
            assert_eq!(is_irreducible(polynomial), !has_divisor(polynomial), "{polynomial:b}");
        }
    }

    #[test]
    fn restic_s_own_example_is_irreducible() {
        assert!(is_irreducible(0x003D_A335_8B4D_C173));
        assert!(!is_irreducible(0x003D_A335_8B4D_C172));
        assert!(is_irreducible(random()));
    }
}

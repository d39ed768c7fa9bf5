//! Which files of a snapshot a verify reads back, when it does not read all.
//!
//! Every size class is met, small files are met in number, and the bytes stay bounded: a sample of a petabyte is still
//! read in an hour. The choice follows from a seed, so that a report can be repeated.

/// The classes by size in which files are counted: each fails in ways of its own (no blob, one blob in a shared pack,
/// several blobs, several packs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SizeClass {
    /// No byte.
    Empty,
    /// Up to 4 KiB.
    Tiny,
    /// Up to 64 KiB.
    Small,
    /// Up to 1 MiB: mostly one blob.
    Medium,
    /// Up to 16 MiB: several blobs.
    Large,
    /// Beyond: several packs.
    Huge,
}

super::job::words!(SizeClass: Empty = "empty", Tiny = "tiny", Small = "small", Medium = "medium", Large = "large", Huge = "huge");

impl SizeClass {
    /// Returns the class of a file of this many bytes.
    pub const fn of(bytes: u64) -> Self {
        match bytes {
            0 => Self::Empty,
            1..=0x1000 => Self::Tiny,
            0x1001..=0x1_0000 => Self::Small,
            0x1_0001..=0x10_0000 => Self::Medium,
            0x10_0001..=0x100_0000 => Self::Large,
            _ => Self::Huge,
        }
    }
}

/// How much is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRule {
    /// At least so many files, or all when there are fewer.
    pub files_min: u64,
    /// At least this share of the bytes, in hundredths; 100 and more means everything.
    pub bytes_percent: u8,
    /// The choice follows from it.
    pub seed: u64,
}

impl SampleRule {
    /// The sample that proves a first backup: 200 files, 1 % of the bytes, each size class.
    pub const fn first_sample(seed: u64) -> Self {
        Self { files_min: 200, bytes_percent: 1, seed }
    }

    /// Everything.
    pub const fn everything() -> Self {
        Self { files_min: u64::MAX, bytes_percent: 100, seed: 0 }
    }
}

/// Returns the places of the chosen files in `sizes`, in rising order.
///
/// Classes take turns, each in an order that follows from the seed, until both marks of the rule are met. Once the
/// bytes suffice, files beyond 1 MiB are no longer taken for the sake of the number, except one of each class.
pub fn choose(sizes: &[u64], rule: SampleRule) -> Vec<usize> {
    if rule.bytes_percent >= 100 {
        return (0..sizes.len()).collect();
    }
    let mut classes: Vec<Vec<usize>> = SizeClass::ALL.iter().map(|class| places_of(sizes, *class, rule.seed)).collect();
    let bytes_wanted = sizes.iter().map(|size| u128::from(*size)).sum::<u128>() * u128::from(rule.bytes_percent) / 100;
    let mut chosen = Vec::new();
    let mut bytes = 0u128;
    loop {
        let first_round = chosen.is_empty();
        let before = chosen.len();
        for (class, places) in SizeClass::ALL.iter().zip(&mut classes) {
            let files_missing = (chosen.len() as u64) < rule.files_min;
            let bytes_missing = bytes < bytes_wanted;
            let for_number = files_missing && *class <= SizeClass::Medium;
            if !(first_round || bytes_missing || for_number) {
                continue;
            }
            if let Some(place) = places.pop() {
                bytes += u128::from(sizes[place]);
                chosen.push(place);
            }
        }
        if chosen.len() == before {
            break;
        }
    }
    chosen.sort_unstable();
    chosen
}

/// How much a restore drill may bring back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrillRule {
    /// At most so many files.
    pub files_max: usize,
    /// At most so many bytes in all.
    pub bytes_max: u64,
    /// The choice follows from it.
    pub seed: u64,
}

/// Returns the places of the files that a drill restores, in rising order, and how many are too large for any drill.
///
/// Classes take turns, each in an order that follows from the seed; a file that does not fit into what is left is passed
/// over.
pub fn choose_drill(sizes: &[u64], rule: DrillRule) -> (Vec<usize>, u64) {
    let mut classes: Vec<Vec<usize>> = SizeClass::ALL.iter().map(|class| places_of(sizes, *class, rule.seed)).collect();
    let too_large = sizes.iter().filter(|size| **size > rule.bytes_max).count() as u64;
    let (mut chosen, mut left) = (Vec::new(), rule.bytes_max);
    while chosen.len() < rule.files_max && classes.iter().any(|places| !places.is_empty()) {
        for place in classes.iter_mut().filter_map(Vec::pop) {
            if sizes[place] <= left && chosen.len() < rule.files_max {
                left -= sizes[place];
                chosen.push(place);
            }
        }
    }
    chosen.sort_unstable();
    (chosen, too_large)
}

/// Returns the places of one class, shuffled by the seed.
fn places_of(sizes: &[u64], class: SizeClass, seed: u64) -> Vec<usize> {
    let mut places: Vec<usize> = (0..sizes.len()).filter(|&place| SizeClass::of(sizes[place]) == class).collect();
    places.sort_by_key(|&place| mix(seed ^ place as u64));
    places
}

/// Scrambles a number (the finaliser of splitmix64).
const fn mix(seed: u64) -> u64 {
    let seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    seed ^ (seed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(sizes: &[u64], seed: u64) -> (usize, u64, Vec<&'static str>) {
        let chosen = choose(sizes, SampleRule::first_sample(seed));
        let mut classes: Vec<_> = chosen.iter().map(|&place| SizeClass::of(sizes[place])).collect();
        classes.sort_unstable();
        classes.dedup();
        (
            chosen.len(),
            chosen.iter().map(|&place| sizes[place]).sum(),
            classes.iter().map(|class| class.word()).collect(),
        )
    }

    #[test]
    fn a_small_tree_is_read_whole() {
        assert_eq!(taken(&[0, 10, 70_000], 1), (3, 70_010, vec!["empty", "tiny", "medium"]));
        assert_eq!(taken(&[], 1), (0, 0, vec![]));
    }

    #[test]
    fn many_small_files_are_met_in_number_and_each_class_once() {
        let mut sizes = vec![100; 50_000];
        sizes.extend([5_000_000_000, 10_000_000, 0]);
        let (files, _, classes) = taken(&sizes, 7);
        assert_eq!((files, classes), (200, vec!["empty", "tiny", "large", "huge"]));
    }

    #[test]
    fn large_files_are_not_taken_for_the_sake_of_the_number() {
        let sizes = vec![1_000_000_000; 500];
        assert_eq!(taken(&sizes, 3).0, 5);
    }

    #[test]
    fn one_percent_of_the_bytes_is_reached() {
        let sizes = vec![50_000; 100_000];
        let (files, bytes, _) = taken(&sizes, 3);
        assert_eq!((files, bytes), (1_000, 50_000_000));
    }

    fn drilled(sizes: &[u64], files_max: usize, bytes_max: u64) -> (usize, u64, u64) {
        let (chosen, too_large) = choose_drill(sizes, DrillRule { files_max, bytes_max, seed: 5 });
        assert!(chosen.is_sorted_by(|a, b| a < b), "each once");
        (chosen.len(), chosen.iter().map(|&place| sizes[place]).sum(), too_large)
    }

    #[test]
    fn a_drill_takes_what_fits_and_names_what_never_does() {
        assert_eq!(drilled(&[], 10, 100), (0, 0, 0));
        assert_eq!(drilled(&[0, 40, 60], 10, 100), (3, 100, 0));
        assert_eq!(drilled(&[101, 1_000_000, 7], 10, 100), (1, 7, 2));
        assert_eq!(drilled(&[10; 50], 10, 10_000), (10, 100, 0));
        assert_eq!(drilled(&[30; 50], 100, 100), (3, 90, 0));
        let mut sizes = vec![100; 1_000];
        sizes.extend([20_000_000, 70_000]);
        assert!(drilled(&sizes, 12, 100_000_000).1 > 20_070_000, "each class has its turn");
    }

    #[test]
    fn another_seed_takes_other_files_and_the_same_seed_the_same() {
        let sizes = vec![100; 10_000];
        let rule = SampleRule::first_sample;
        assert_eq!(choose(&sizes, rule(1)), choose(&sizes, rule(1)));
        assert_ne!(choose(&sizes, rule(1)), choose(&sizes, rule(2)));
        assert_eq!(choose(&sizes, SampleRule::everything()).len(), 10_000);
    }
}

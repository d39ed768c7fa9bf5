//! A sorted list of records of always the same bytes, as the blobs of an index: in memory while it is short, else in a
//! file without a name.
//!
//! ```text
//!  push ─> a run in memory ─(full)─> sorted, appended to a file ─┐
//!                                            sort: all runs merged into a second file, and one number a block in memory
//!  find ─> the numbers say which block ─> one read of 4 KiB, out of the page cache
//! ```
//!
//! Memory is so bounded whatever the repository; what the kernel caches it can take back. No memory is mapped, because
//! that needs `unsafe` and would count as the process's own. Where no file can be written, all stays in memory.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

/// Bytes of a block: what one read takes out of the page cache at once.
const BLOCK_BYTES: usize = 4_096;

/// Bytes that are read ahead of each run while runs are merged.
const AHEAD_BYTES: usize = 256 << 10;

/// Where files without a name are made when `TMPDIR` says nothing: on a disk, where `/tmp` may be memory.
const FOLDER: &str = "/var/tmp";

/// Something of always the same bytes in a file, and with an order.
pub(crate) trait Record: Copy + Ord + 'static {
    /// Its bytes in a file.
    const BYTES: usize;

    /// Writes it to so many bytes.
    fn write(&self, into: &mut [u8]);

    /// Reads it from so many bytes.
    fn read(from: &[u8]) -> Self;

    /// Returns a number that sorts as records do; several records may have the same one.
    fn prefix(&self) -> u64;
}

/// Reads a number of a record.
pub(crate) fn number_at(bytes: &[u8], at: usize) -> u32 {
    let number = bytes[at..].first_chunk().expect("a record has all of its numbers");
    u32::from_le_bytes(*number)
}

const fn block_records<R: Record>() -> usize {
    BLOCK_BYTES / R::BYTES
}

/// A list of records; [`SortedList::sort`] must stand between the last that is added and the first that is looked up.
#[derive(Debug)]
pub(crate) struct SortedList<R> {
    /// The run that is being filled; everything, when nothing lies in a file.
    run: Vec<R>,
    /// Most records of a run.
    run_records: usize,
    /// Earlier runs, one behind another, and where each ends. None while there is none, or when no file can be made.
    runs: Option<(File, Vec<u64>)>,
    /// Whether a file could not be made or written.
    memory_only: bool,
    merged: Option<Merged<R>>,
}

/// All records, sorted, in a file.
#[derive(Debug)]
struct Merged<R> {
    file: File,
    count: usize,
    /// The prefix of each block's first record.
    fences: Vec<u64>,
    /// The block that was asked for last by its place: whoever goes over all places reads each block once.
    recent: Mutex<(usize, Vec<R>)>,
}

impl<R: Record> SortedList<R> {
    /// Makes an empty one that keeps so many records in memory, and more in a file.
    pub(crate) fn with_run(run_records: usize) -> Self {
        Self { run: Vec::new(), run_records, runs: None, memory_only: false, merged: None }
    }

    /// Returns how many records it has.
    pub(crate) fn len(&self) -> usize {
        let runs = self.runs.as_ref().and_then(|(_, ends)| ends.last()).map_or(0, |end| *end as usize / R::BYTES);
        self.merged.as_ref().map_or(runs + self.run.len(), |merged| merged.count)
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, record: R) {
        if self.run.len() >= self.run_records && !self.memory_only {
            self.run.sort_unstable();
            match self.write_run() {
                Ok(()) => self.run.clear(),
                Err(error) => self.stay_in_memory(&error),
            }
        }
        self.run.push(record);
    }

    fn stay_in_memory(&mut self, error: &io::Error) {
        tracing::warn!(%error, "a large index cannot be kept in a file; it takes memory");
        self.memory_only = true;
    }

    /// Appends the run in memory, which is sorted, to the file of runs.
    fn write_run(&mut self) -> io::Result<()> {
        let (file, ends) = match &mut self.runs {
            Some(runs) => runs,
            None => self.runs.insert((nameless()?, Vec::new())),
        };
        // A run that was cut short by an error lies beyond the last end, and is written over.
        let begin = ends.last().copied().unwrap_or(0);
        file.seek(SeekFrom::Start(begin))?;
        let mut out = RecordWriter::new(file);
        self.run.iter().try_for_each(|record| out.write(record))?;
        out.finish()?;
        ends.push(begin + (self.run.len() * R::BYTES) as u64);
        Ok(())
    }

    /// Sorts it.
    pub(crate) fn sort(&mut self) {
        self.run.sort_unstable();
        let Some((runs, ends)) = &self.runs else {
            self.run.shrink_to_fit();
            return;
        };
        match merge(runs, ends, &self.run) {
            Ok(merged) => {
                self.merged = Some(merged);
                (self.run, self.runs) = (Vec::new(), None);
            }
            Err(error) => {
                let mut all: Vec<R> = std::mem::take(&mut self.run);
                all.extend(readers::<R>(runs, ends).flatten());
                all.sort_unstable();
                (self.run, self.runs) = (all, None);
                self.stay_in_memory(&error);
            }
        }
    }

    /// Returns the record at a place.
    pub(crate) fn get(&self, place: usize) -> R {
        let Some(merged) = &self.merged else { return self.run[place] };
        assert!(place < merged.count, "place {place} of {}", merged.count);
        let (block, within) = (place / block_records::<R>(), place % block_records::<R>());
        match merged.recent.try_lock() {
            Ok(mut recent) => {
                if recent.1.is_empty() || recent.0 != block {
                    *recent = (block, merged.block(block));
                }
                recent.1[within]
            }
            Err(_) => merged.block(block)[within],
        }
    }

    /// Returns the records at places that follow each other, read at once.
    pub(crate) fn stretch(&self, places: Range<usize>) -> Vec<R> {
        match &self.merged {
            None => self.run[places].to_vec(),
            Some(merged) => merged.stretch(places),
        }
    }

    /// Returns the places of the records that `compare` finds equal; it must agree with the order of the list, and finds
    /// equal only what has this prefix.
    pub(crate) fn equal(&self, prefix: u64, compare: impl Fn(&R) -> Ordering) -> Range<usize> {
        let Some(merged) = &self.merged else {
            let first = self.run.partition_point(|record| compare(record).is_lt());
            let same = self.run[first..].iter().take_while(|record| compare(record).is_eq());
            return first..first + same.count();
        };
        // From the block before the first that begins with this prefix: its end may have it too.
        let first_block = merged.fences.partition_point(|fence| *fence < prefix).saturating_sub(1);
        let (mut begin, mut count) = (0, 0);
        for block in first_block..merged.fences.len() {
            if merged.fences[block] > prefix {
                break;
            }
            let records = merged.block(block);
            let first = records.partition_point(|record| compare(record).is_lt());
            let same = records[first..].iter().take_while(|record| compare(record).is_eq()).count();
            if count == 0 {
                begin = block * block_records::<R>() + first;
            }
            count += same;
            if first + same < records.len() {
                break;
            }
        }
        begin..begin + count
    }

    /// Returns all records, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = R> {
        let step = AHEAD_BYTES / R::BYTES;
        let begins = (0..self.len()).step_by(step);
        begins.flat_map(move |begin| self.stretch(begin..self.len().min(begin + step)))
    }
}

impl<R: Record> Merged<R> {
    fn block(&self, block: usize) -> Vec<R> {
        let begin = block * block_records::<R>();
        self.fetch(begin..self.count.min(begin + block_records::<R>()), &mut [0; BLOCK_BYTES])
    }

    fn stretch(&self, places: Range<usize>) -> Vec<R> {
        let mut bytes = vec![0; places.len() * R::BYTES];
        self.fetch(places, &mut bytes)
    }

    fn fetch(&self, places: Range<usize>, bytes: &mut [u8]) -> Vec<R> {
        let bytes = &mut bytes[..places.len() * R::BYTES];
        // To go on with what is not the index would lose data; nothing else can be done than to end.
        let read = self.file.read_exact_at(bytes, (places.start * R::BYTES) as u64);
        read.expect("the machine reads back what it wrote to its temporary file");
        bytes.chunks_exact(R::BYTES).map(R::read).collect()
    }
}

/// Writes records to where a file stands.
struct RecordWriter<'a> {
    out: BufWriter<&'a File>,
    bytes: Vec<u8>,
}

impl<'a> RecordWriter<'a> {
    fn new(file: &'a File) -> Self {
        Self { out: BufWriter::with_capacity(AHEAD_BYTES, file), bytes: Vec::new() }
    }

    fn write<R: Record>(&mut self, record: &R) -> io::Result<()> {
        self.bytes.resize(R::BYTES, 0);
        record.write(&mut self.bytes);
        self.out.write_all(&self.bytes)
    }

    fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads one run from its beginning to its end.
struct RunReader<'a, R>(BufReader<io::Take<At<'a>>>, PhantomData<R>);

/// A file that is read from a place of its own.
struct At<'a>(&'a File, u64);

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(into, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

impl<R: Record> Iterator for RunReader<'_, R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        let mut bytes = [0; BLOCK_BYTES];
        let bytes = &mut bytes[..R::BYTES];
        let ended =
            std::io::BufRead::fill_buf(&mut self.0).is_ok_and(<[u8]>::is_empty) && self.0.get_ref().limit() == 0;
        (!ended).then(|| {
            // As for blocks: a run that cannot be read back must not be a shorter index.
            self.0.read_exact(bytes).expect("the machine reads back what it wrote to its temporary file");
            R::read(bytes)
        })
    }
}

fn readers<'a, R>(runs: &'a File, ends: &'a [u64]) -> impl Iterator<Item = RunReader<'a, R>> {
    let begins = std::iter::once(0).chain(ends.iter().copied());
    begins.zip(ends).map(|(begin, end)| {
        RunReader(BufReader::with_capacity(AHEAD_BYTES, At(runs, begin).take(end - begin)), PhantomData)
    })
}

/// Writes all runs, and the one in memory, into one file.
fn merge<R: Record>(runs: &File, ends: &[u64], last: &[R]) -> io::Result<Merged<R>> {
    let file = nameless()?;
    let mut out = RecordWriter::new(&file);
    let mut sources: Vec<Box<dyn Iterator<Item = R> + '_>> =
        readers::<R>(runs, ends).map(|reader| Box::new(reader) as Box<dyn Iterator<Item = R>>).collect();
    sources.push(Box::new(last.iter().copied()));
    let mut heads = BinaryHeap::with_capacity(sources.len());
    for (number, source) in sources.iter_mut().enumerate() {
        heads.extend(source.next().map(|record| Reverse((record, number))));
    }
    let (mut count, mut fences) = (0, Vec::new());
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((record, number)) = *head;
        if count % block_records::<R>() == 0 {
            fences.push(record.prefix());
        }
        out.write(&record)?;
        count += 1;
        match sources[number].next() {
            Some(next) => *head = Reverse((next, number)),
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
    }
    out.finish()?;
    Ok(Merged { file, count, fences, recent: Mutex::new((0, Vec::new())) })
}

/// Makes a file without a name: it goes with the process, however that ends. Where a file system cannot make one (NFS,
/// FUSE), it has a name for a moment.
fn nameless() -> io::Result<File> {
    tempfile::tempfile_in(std::env::var_os("TMPDIR").unwrap_or_else(|| FOLDER.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record of five bytes whose prefix says half of it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Pair(u32, u8);

    impl Record for Pair {
        const BYTES: usize = 5;

        fn write(&self, into: &mut [u8]) {
            into[..4].copy_from_slice(&self.0.to_le_bytes());
            into[4] = self.1;
        }

        fn read(from: &[u8]) -> Self {
            Self(number_at(from, 0), from[4])
        }

        fn prefix(&self) -> u64 {
            u64::from(self.0 / 2)
        }
    }

    fn filled(run_records: usize, records: &[Pair]) -> SortedList<Pair> {
        let mut list = SortedList::with_run(run_records);
        records.iter().for_each(|record| list.push(*record));
        list.sort();
        list
    }

    #[test]
    fn a_list_that_lies_in_a_file_holds_little_memory() {
        let records: Vec<Pair> = (0..10_000).rev().map(|number| Pair(number, 0)).collect();
        let list = filled(500, &records);
        let merged = list.merged.as_ref().unwrap();
        assert_eq!(
            (list.len(), list.run.capacity(), merged.fences.len()),
            (10_000, 0, 10_000_usize.div_ceil(block_records::<Pair>()))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn in_a_file_it_is_what_it_is_in_memory(numbers in proptest::collection::vec((0u32..400, 0u8..200), 0..4_000)) {
            let records: Vec<Pair> = numbers.iter().map(|(one, other)| Pair(*one, *other)).collect();
            let (memory, file) = (filled(usize::MAX, &records), filled(150, &records));
            prop_assert_eq!(file.merged.is_some(), records.len() > 150);
            prop_assert_eq!(memory.len(), file.len());
            let all: Vec<Pair> = memory.iter().collect();
            prop_assert_eq!(&file.iter().collect::<Vec<_>>(), &all);
            prop_assert_eq!(&(0..file.len()).map(|place| file.get(place)).collect::<Vec<_>>(), &all);
            let (begin, end) = (file.len() / 3, file.len() - file.len() / 4);
            prop_assert_eq!(&file.stretch(begin..end)[..], &all[begin..end]);
            for number in 0..410 {
                let find = |list: &SortedList<Pair>| list.equal(u64::from(number / 2), |found| found.0.cmp(&number));
                let (one, other) = (find(&memory), find(&file));
                prop_assert_eq!(one.len(), other.len(), "number {}", number);
                if !one.is_empty() {
                    prop_assert_eq!(one, other);
                }
            }
        }
    }
}

//! A sorted list of the blobs of an index: in memory while it is short, else in a file without a name.
//!
//! ```text
//!  push ─> a run in memory ─(full)─> sorted, appended to a file ─┐
//!                                            sort: all runs merged into a second file, and one number a block in memory
//!  find ─> the numbers say which block ─> one read of 4 KiB, out of the page cache
//! ```
//!
//! Memory is so bounded whatever the repository; what the kernel caches it can take back. No memory is mapped, because
//! that needs `unsafe` and would count as the process's own. Where no file can be written, all stays in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

use rustix::fs::{CWD, Mode, OFlags};

use super::id::Id;

/// Bytes of a record in a file.
const RECORD_BYTES: usize = 48;

/// Records of a run: 48 MiB, and a repository of a terabyte of usual files stays in memory.
const RUN_RECORDS: usize = 1 << 20;

/// Records of a block: what one read takes out of the page cache at once.
const BLOCK_RECORDS: usize = 4_096 / RECORD_BYTES;

/// Bytes that are read ahead of each run while runs are merged.
const AHEAD_BYTES: usize = 256 << 10;

/// Where files without a name are made when `TMPDIR` says nothing: on a disk, where `/tmp` may be memory.
const FOLDER: &str = "/var/tmp";

/// 48 bytes a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Record {
    pub(super) id: Id,
    pub(super) pack: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
    /// Zero when it is not compressed.
    pub(super) plain_length: u32,
}

impl Record {
    fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..32].copy_from_slice(&self.id.0);
        for (at, number) in [self.pack, self.offset, self.length, self.plain_length].into_iter().enumerate() {
            bytes[32 + 4 * at..][..4].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; RECORD_BYTES]) -> Self {
        let number = |at: usize| {
            u32::from_le_bytes([bytes[32 + 4 * at], bytes[33 + 4 * at], bytes[34 + 4 * at], bytes[35 + 4 * at]])
        };
        let (id, _) = bytes.split_first_chunk().expect("a record begins with an id");
        Self { id: Id(*id), pack: number(0), offset: number(1), length: number(2), plain_length: number(3) }
    }

    /// Returns the beginning of its id, which sorts as ids do.
    fn prefix(&self) -> u64 {
        prefix(&self.id)
    }
}

fn prefix(id: &Id) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A list of records; [`SortedList::sort`] must stand between the last that is added and the first that is looked up.
#[derive(Debug)]
pub(super) struct SortedList {
    /// The run that is being filled; everything, when nothing lies in a file.
    run: Vec<Record>,
    /// Most records of a run.
    run_records: usize,
    /// Earlier runs, one behind another, and where each ends. None while there is none, or when no file can be made.
    runs: Option<(File, Vec<u64>)>,
    /// Whether a file could not be made or written.
    memory_only: bool,
    merged: Option<Merged>,
}

/// All records, sorted, in a file.
#[derive(Debug)]
struct Merged {
    file: File,
    count: usize,
    /// The prefix of each block's first record.
    fences: Vec<u64>,
    /// The block that was asked for last by its place: whoever goes over all places reads each block once.
    recent: Mutex<(usize, Vec<Record>)>,
}

impl Default for SortedList {
    fn default() -> Self {
        Self::with_run(RUN_RECORDS)
    }
}

impl SortedList {
    fn with_run(run_records: usize) -> Self {
        Self { run: Vec::new(), run_records, runs: None, memory_only: false, merged: None }
    }

    /// Returns how many records it has.
    pub(super) fn len(&self) -> usize {
        let runs = self.runs.as_ref().and_then(|(_, ends)| ends.last()).map_or(0, |end| *end as usize / RECORD_BYTES);
        self.merged.as_ref().map_or(runs + self.run.len(), |merged| merged.count)
    }

    /// Adds a record.
    pub(super) fn push(&mut self, record: Record) {
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
        let mut out = BufWriter::with_capacity(AHEAD_BYTES, &*file);
        self.run.iter().try_for_each(|record| out.write_all(&record.to_bytes()))?;
        out.flush()?;
        drop(out);
        ends.push(begin + (self.run.len() * RECORD_BYTES) as u64);
        Ok(())
    }

    /// Sorts it.
    pub(super) fn sort(&mut self) {
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
                let mut all: Vec<Record> = std::mem::take(&mut self.run);
                all.extend(readers(runs, ends).flatten());
                all.sort_unstable();
                (self.run, self.runs) = (all, None);
                self.stay_in_memory(&error);
            }
        }
    }

    /// Returns the record at a place.
    pub(super) fn get(&self, place: usize) -> Record {
        let Some(merged) = &self.merged else { return self.run[place] };
        assert!(place < merged.count, "place {place} of {}", merged.count);
        let (block, within) = (place / BLOCK_RECORDS, place % BLOCK_RECORDS);
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

    /// Returns the places of the records that `compare` finds equal; it must agree with the order of the list, and finds
    /// equal only what has this id.
    pub(super) fn equal(&self, id: &Id, compare: impl Fn(&Record) -> std::cmp::Ordering) -> Range<usize> {
        let Some(merged) = &self.merged else {
            let first = self.run.partition_point(|record| compare(record).is_lt());
            let same = self.run[first..].iter().take_while(|record| compare(record).is_eq());
            return first..first + same.count();
        };
        // From the block before the first that begins with this prefix: its end may have it too.
        let prefix = prefix(id);
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
                begin = block * BLOCK_RECORDS + first;
            }
            count += same;
            if first + same < records.len() {
                break;
            }
        }
        begin..begin + count
    }

    /// Hands each record to `each`, in order.
    pub(super) fn for_each(&self, mut each: impl FnMut(&Record)) {
        match &self.merged {
            None => self.run.iter().for_each(each),
            Some(merged) => (0..merged.fences.len()).for_each(|block| merged.block(block).iter().for_each(&mut each)),
        }
    }
}

impl Merged {
    fn block(&self, block: usize) -> Vec<Record> {
        let begin = block * BLOCK_RECORDS;
        let count = BLOCK_RECORDS.min(self.count - begin);
        let mut bytes = [0; BLOCK_RECORDS * RECORD_BYTES];
        let bytes = &mut bytes[..count * RECORD_BYTES];
        // To go on with what is not the index would lose data; nothing else can be done than to end.
        let read = self.file.read_exact_at(bytes, (begin * RECORD_BYTES) as u64);
        read.expect("the machine reads back what it wrote to its temporary file");
        bytes.as_chunks().0.iter().map(Record::from_bytes).collect()
    }
}

/// Reads one run from its beginning to its end.
struct RunReader<'a>(BufReader<io::Take<At<'a>>>);

/// A file that is read from a place of its own.
struct At<'a>(&'a File, u64);

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(into, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

impl Iterator for RunReader<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let mut bytes = [0; RECORD_BYTES];
        let ended =
            std::io::BufRead::fill_buf(&mut self.0).is_ok_and(<[u8]>::is_empty) && self.0.get_ref().limit() == 0;
        (!ended).then(|| {
            // As for blocks: a run that cannot be read back must not be a shorter index.
            self.0.read_exact(&mut bytes).expect("the machine reads back what it wrote to its temporary file");
            Record::from_bytes(&bytes)
        })
    }
}

fn readers<'a>(runs: &'a File, ends: &'a [u64]) -> impl Iterator<Item = RunReader<'a>> {
    let begins = std::iter::once(0).chain(ends.iter().copied());
    begins
        .zip(ends)
        .map(|(begin, end)| RunReader(BufReader::with_capacity(AHEAD_BYTES, At(runs, begin).take(end - begin))))
}

/// Writes all runs, and the one in memory, into one file.
fn merge(runs: &File, ends: &[u64], last: &[Record]) -> io::Result<Merged> {
    let file = nameless()?;
    let mut out = BufWriter::with_capacity(AHEAD_BYTES, &file);
    let mut sources: Vec<Box<dyn Iterator<Item = Record> + '_>> =
        readers(runs, ends).map(|reader| Box::new(reader) as Box<dyn Iterator<Item = Record>>).collect();
    sources.push(Box::new(last.iter().copied()));
    let mut heads = BinaryHeap::with_capacity(sources.len());
    for (number, source) in sources.iter_mut().enumerate() {
        heads.extend(source.next().map(|record| Reverse((record, number))));
    }
    let (mut count, mut fences) = (0, Vec::new());
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((record, number)) = *head;
        if count % BLOCK_RECORDS == 0 {
            fences.push(record.prefix());
        }
        out.write_all(&record.to_bytes())?;
        count += 1;
        match sources[number].next() {
            Some(next) => *head = Reverse((next, number)),
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
    }
    out.flush()?;
    drop(out);
    Ok(Merged { file, count, fences, recent: Mutex::default() })
}

/// Makes a file without a name: it goes with the process, however that ends.
fn nameless() -> io::Result<File> {
    let folder = std::env::var_os("TMPDIR").unwrap_or_else(|| FOLDER.into());
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::openat(CWD, &folder, flags, Mode::RUSR | Mode::WUSR)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(number: u64, pack: u32) -> Record {
        Record { id: Id::of(&number.to_be_bytes()), pack, offset: pack ^ 7, length: 9, plain_length: number as u32 }
    }

    fn filled(mut list: SortedList, records: &[Record]) -> SortedList {
        records.iter().for_each(|record| list.push(*record));
        list.sort();
        list
    }

    #[test]
    fn a_record_comes_back() {
        let record = Record { id: Id::of(b"x"), pack: 1 << 31 | 5, offset: 2, length: 3, plain_length: u32::MAX };
        assert_eq!(Record::from_bytes(&record.to_bytes()), record);
        assert_eq!(size_of::<Record>(), RECORD_BYTES);
    }

    #[test]
    fn a_list_that_lies_in_a_file_holds_little_memory() {
        let records: Vec<Record> = (0..10_000).map(|number| record(number, 0)).collect();
        let list = filled(SortedList::with_run(500), &records);
        let merged = list.merged.as_ref().unwrap();
        assert_eq!(
            (list.len(), list.run.capacity(), merged.fences.len()),
            (10_000, 0, 10_000_usize.div_ceil(BLOCK_RECORDS))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn in_a_file_it_is_what_it_is_in_memory(numbers in proptest::collection::vec((0u64..400, 0u32..300), 0..2_000)) {
            let records: Vec<Record> = numbers.iter().map(|(number, pack)| record(*number, *pack)).collect();
            let memory = filled(SortedList::default(), &records);
            let file = filled(SortedList::with_run(150), &records);
            prop_assert_eq!(memory.len(), file.len());
            let (mut one, mut other) = (Vec::new(), Vec::new());
            memory.for_each(|record| one.push(*record));
            file.for_each(|record| other.push(*record));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!((0..file.len()).map(|place| file.get(place)).collect::<Vec<_>>(), one);
            for number in 0..410 {
                let id = Id::of(&u64::to_be_bytes(number));
                let (one, other) = (memory.equal(&id, |found| found.id.cmp(&id)), file.equal(&id, |found| found.id.cmp(&id)));
                prop_assert_eq!(one.len(), other.len(), "number {}", number);
                if !one.is_empty() {
                    prop_assert_eq!(one, other);
                }
            }
        }
    }
}

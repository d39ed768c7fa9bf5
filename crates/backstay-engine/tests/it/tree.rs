//! Trees to back up, and whether two trees are the same.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use backstay_engine::format::id::Id;
use rand::{RngCore, SeedableRng};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

/// What is looked at when trees are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bits {
    /// All of a mode.
    All,
    /// A mode without setuid and setgid, which our restore leaves out.
    NoRights,
}

/// Bytes that nothing compresses and no two seeds share.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut data: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| word()).collect();
    data.truncate(bytes);
    data
}

/// Words, as logs and sources have them: they compress, and no block of them comes twice.
pub(crate) fn text(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let words = ["snapshot", "lease", "blob", "the", "of", "pack", "tree", "and", "index", "a", "\n"];
    let mut data = Vec::with_capacity(bytes + 16);
    while data.len() < bytes {
        data.extend_from_slice(words[random.next_u32() as usize % words.len()].as_bytes());
        data.push(b' ');
    }
    data.truncate(bytes);
    data
}

/// Writes files of sizes around every boundary that the format has.
pub(crate) fn sizes(root: &Path) {
    const KIB: usize = 1 << 10;
    let sizes = [0, 1, 4_095, 511 * KIB, 512 * KIB - 1, 512 * KIB, 512 * KIB + 1, 513 * KIB, 3 << 20];
    for (at, size) in sizes.into_iter().enumerate() {
        fs::write(root.join(format!("noise-{size}")), noise(at as u64, size)).unwrap();
    }
    fs::write(root.join("noise-20m"), noise(77, 20 << 20)).unwrap();
    fs::write(root.join("text-20m"), text(78, 20 << 20)).unwrap();
    fs::write(root.join("zeros-9m"), vec![0; 9 << 20]).unwrap();
}

/// Names that are hard to say.
pub(crate) fn hard_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "quote\"s",
        "back\\slash",
        "\\x41",
        "new\nline",
        "tab\tcr\r",
        "bell\x07\x0b",
        "\x01\x7f",
        " ",
        "-rf",
        "~",
        "$(x)",
        "été",
        "日本",
        "😀.txt",
        "a\u{300}",
        "\u{feff}bom",
        "\u{a0}",
        "\u{202e}",
        ".hidden",
        "...",
        "trailing ",
        "%s",
        "*?[]",
        "<a&b>",
        "it's",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.extend([b"bad\xff\xfe".to_vec(), b"\xc3".to_vec(), b"\xed\xa0\x80surrogate".to_vec(), vec![b'n'; 255]]);
    names.push([b"\xf0\x9f\x98\x80".repeat(63), b"end".to_vec()].concat());
    names
}

/// Writes entries of every sort that is saved: names, modes, owners, times, links, deep and empty folders.
pub(crate) fn sorts(root: &Path) {
    let odd = root.join("names");
    fs::create_dir(&odd).unwrap();
    for (at, name) in hard_names().iter().enumerate() {
        fs::write(odd.join(OsStr::from_bytes(name)), format!("file {at}")).unwrap();
        let folder = root.join(OsStr::from_bytes(&[b"d", &name[..name.len().min(200)]].concat()));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(OsStr::from_bytes(name)), b"below").unwrap();
    }
    fs::create_dir_all(root.join("deep/a/b/c/d/e/f/g/h/i/j")).unwrap();
    fs::write(root.join("deep/a/b/c/d/e/f/g/h/i/j/file"), b"deep").unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    for mode in [0o000, 0o400, 0o444, 0o600, 0o644, 0o755, 0o777, 0o1777, 0o2755, 0o4755, 0o6711] {
        let (file, folder) = (root.join(format!("mode-{mode:o}")), root.join(format!("folder-{mode:o}")));
        fs::write(&file, mode.to_string()).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("inside"), b"x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    }
    for (name, uid, gid) in [("owner-1", 1, 2), ("owner-none", 54_321, 12_345), ("owner-max", u32::MAX - 1, 0)] {
        fs::write(root.join(name), b"owned").unwrap();
        chown(root.join(name), Some(uid), Some(gid)).unwrap();
    }
    for (name, to) in
        [("link", "mode-644"), ("link-up", "../.."), ("link-abs", "/etc/passwd"), ("link-none", "no\n\"where")]
    {
        symlink(to, root.join(name)).unwrap();
    }
    symlink("x".repeat(4_000), root.join("link-long")).unwrap();
    lchown(root.join("link"), Some(7), Some(8)).unwrap();
    fs::hard_link(root.join("mode-644"), root.join("hard-link")).unwrap();
    let times = [
        ("time-0", 0, 0),
        ("time-old", -1, 999_999_999),
        ("time-ns", 1_600_000_000, 123_456_789),
        ("time-late", 4_102_444_800, 1),
    ];
    for (name, seconds, nanoseconds) in times {
        fs::write(root.join(name), name).unwrap();
        set_time(&root.join(name), seconds, nanoseconds);
    }
    set_time(&root.join("link"), 1_500_000_000, 5);
    set_time(&root.join("empty"), 1_400_000_000, 7);
}

/// Sets the modification of an entry, a link itself too.
pub(crate) fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Says in a line what an entry is and holds.
fn describe(path: &Path, bits: Bits) -> String {
    let known = fs::symlink_metadata(path).unwrap();
    let mode = match bits {
        Bits::NoRights if !known.is_symlink() => known.mode() & !0o6000,
        _ => known.mode(),
    };
    let holds = if known.is_symlink() {
        format!("{:?}", fs::read_link(path).unwrap())
    } else if known.is_file() {
        format!("{} {}", known.len(), Id::of(&fs::read(path).unwrap()))
    } else {
        String::new()
    };
    let (seconds, nanoseconds) = (known.mtime(), known.mtime_nsec());
    format!("{mode:o} {}:{} {seconds}.{nanoseconds:09} {holds}", known.uid(), known.gid())
}

/// Describes all entries below a folder, and the folder itself.
pub(crate) fn contents(root: &Path, bits: Bits) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::from([(Vec::new(), describe(root, bits))]);
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            found.insert(below, describe(&path, bits));
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// Asserts that two trees are the same, but for these paths, which only the first may have.
pub(crate) fn assert_same_but(original: &Path, restored: &Path, bits: Bits, lost: &[&[u8]]) {
    let (mut left, right) = (contents(original, bits), contents(restored, bits));
    for path in lost {
        assert!(left.remove(*path).is_some(), "{} was never there", String::from_utf8_lossy(path));
        assert!(!right.contains_key(*path), "{} is there", String::from_utf8_lossy(path));
    }
    let mut differences = Vec::new();
    for (path, then) in &left {
        match right.get(path) {
            Some(now) if now == then => {}
            now => differences.push(format!("{:?}: {then} became {now:?}", String::from_utf8_lossy(path))),
        }
    }
    let more = right.keys().filter(|path| !left.contains_key(*path));
    differences.extend(more.map(|path| format!("{:?} is new", String::from_utf8_lossy(path))));
    assert!(differences.is_empty(), "{} differences: {differences:#?}", differences.len());
}

/// Asserts that two trees are the same.
pub(crate) fn assert_same(original: &Path, restored: &Path, bits: Bits) {
    assert_same_but(original, restored, bits, &[]);
}

//! Trees: the entries of one folder, sorted by the bytes of their names, as JSON with a newline at its end.

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;

use super::FormatError;
use super::compression::PieceDecompressor;
use super::node::{NewNode, Node, WireNode, push_node};

/// Largest tree that is read: a folder of two million entries. restic has none; a crafted repository must not take all
/// memory.
pub const TREE_BYTES_MAX: u64 = 1 << 30;

/// Blobs that the files of one folder are cut into at the most: each is named by 67 bytes of its tree, and there is some
/// room for names. Eight terabytes of holes, sixteen or more of anything else.
pub const FILE_BLOBS_MAX: usize = ((TREE_BYTES_MAX - (1 << 20)) / 67) as usize;

/// Writes a tree entry by entry.
#[derive(Debug)]
pub struct TreeWriter {
    text: Vec<u8>,
    first: bool,
}

impl TreeWriter {
    /// Begins a tree in a buffer.
    pub fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(b"{\"nodes\":[");
        Self { text: buffer, first: true }
    }

    /// Adds an entry. Entries come sorted by the bytes of their names.
    pub fn push(&mut self, node: &NewNode<'_>) {
        if !self.first {
            self.text.push(b',');
        }
        self.first = false;
        push_node(&mut self.text, node);
    }

    /// Returns how many bytes are held.
    pub fn held_bytes(&self) -> usize {
        self.text.len()
    }

    /// Hands over the bytes that are held, and goes on without them.
    pub fn hand_over(&mut self, each: impl FnOnce(&[u8])) {
        each(&self.text);
        self.text.clear();
    }

    /// Adds an entry by its text, as somebody wrote it.
    pub fn push_text(&mut self, text: &[u8]) {
        if !self.first {
            self.text.push(b',');
        }
        self.first = false;
        self.text.extend_from_slice(text);
    }

    /// Returns the tree's bytes that are left.
    pub fn finish(mut self) -> Vec<u8> {
        self.text.extend_from_slice(b"]}\n");
        self.text
    }
}

#[derive(Deserialize)]
struct WireTree<'a> {
    #[serde(borrow)]
    nodes: Vec<WireNode<'a>>,
}

/// Reads a tree. Names are unique and sorted: a tree with one name twice is refused.
///
/// # Errors
/// [`FormatError::Shape`].
pub fn read(text: &[u8]) -> Result<Vec<Node<'_>>, FormatError> {
    let tree: WireTree<'_> = serde_json::from_slice(text).map_err(|error| FormatError::shape("tree", error))?;
    let nodes = tree.nodes.into_iter().map(WireNode::into_node).collect::<Result<Vec<_>, _>>()?;
    match nodes.windows(2).find(|pair| pair[0].name >= pair[1].name) {
        None => Ok(nodes),
        Some(pair) => Err(after(&pair[1].name, &pair[0].name)),
    }
}

fn after(name: &[u8], before: &[u8]) -> FormatError {
    let [name, before] = [name, before].map(String::from_utf8_lossy);
    FormatError::shape("tree", format!("`{name}` stands after `{before}`"))
}

/// What a tree's text begins with, as restic and we write it.
const BEGIN: &[u8] = b"{\"nodes\":[";

/// Bytes of a tree's text that are added at least where it is read in pieces.
const PIECE_BYTES: usize = 1 << 20;

/// Reads a tree entry by entry, in order, and holds little of it.
#[derive(Debug)]
pub struct TreeReader {
    rest: PieceDecompressor,
    text: Vec<u8>,
    /// Where the next entry begins, or what stands before it.
    at: usize,
    /// An entry that was looked at and lies ahead.
    ahead: Option<Range<usize>>,
}

impl TreeReader {
    /// Begins with a tree's compressed text.
    ///
    /// # Errors
    /// [`FormatError::Shape`], also for text that nobody writes who writes such trees.
    pub fn new(packed: Bytes) -> Result<Self, FormatError> {
        let (mut rest, mut text) = (PieceDecompressor::new(packed)?, Vec::new());
        rest.read(PIECE_BYTES, &mut text)?;
        match text.starts_with(BEGIN) {
            true => Ok(Self { rest, text, at: BEGIN.len(), ahead: None }),
            false => Err(FormatError::shape("tree", "it does not begin with its entries")),
        }
    }

    /// Returns the entry of a name, when it is there and lies ahead; names are asked for in their order.
    ///
    /// # Errors
    /// [`FormatError::Shape`].
    pub fn find(&mut self, name: &[u8]) -> Result<Option<Node<'_>>, FormatError> {
        loop {
            let place = match self.ahead.take() {
                Some(place) => place,
                None => match self.next()? {
                    Some(place) => place,
                    None => return Ok(None),
                },
            };
            match read_node(&self.text[place.clone()])?.name[..].cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return read_node(&self.text[place]).map(Some),
                Ordering::Greater => {
                    self.ahead = Some(place);
                    return Ok(None);
                }
            }
        }
    }

    /// Hands every entry that is left to `each`, and refuses names that are not in order, as [`read`] does.
    ///
    /// # Errors
    /// [`FormatError::Shape`], or what `each` returns.
    pub fn each<E: From<FormatError>>(&mut self, mut each: impl FnMut(&Node<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut before: Option<Vec<u8>> = None;
        while let Some(place) = self.next()? {
            let node = read_node(&self.text[place])?;
            if let Some(before) = before.as_ref().filter(|before| ***before >= *node.name) {
                return Err(after(&node.name, before).into());
            }
            each(&node)?;
            before = Some(node.name.to_vec());
        }
        Ok(())
    }

    /// Returns the text of the next entry; none at the end.
    ///
    /// # Errors
    /// [`FormatError::Shape`].
    pub fn next_text(&mut self) -> Result<Option<&[u8]>, FormatError> {
        Ok(self.next()?.map(|place| &self.text[place]))
    }

    /// Returns where the next entry lies in the text that is held; none at the end.
    fn next(&mut self) -> Result<Option<Range<usize>>, FormatError> {
        loop {
            let skipped = self.text[self.at..].iter().take_while(|byte| b", \n\r\t".contains(byte)).count();
            let begin = self.at + skipped;
            if self.text.get(begin) == Some(&b']') {
                return Ok(None);
            }
            if let Some(bytes) = object_bytes(&self.text[begin..]) {
                self.at = begin + bytes;
                return Ok(Some(begin..self.at));
            }
            self.text.drain(..self.at);
            self.at = 0;
            // As much again as is held: an entry of any length is looked through a few times at most.
            if self.rest.read(PIECE_BYTES.max(self.text.len()), &mut self.text)? == 0 {
                return Err(FormatError::shape("tree", "it ends in the middle"));
            }
        }
    }
}

/// Returns the entry that a text of a tree says, as [`TreeReader::next_text`] returns it.
///
/// # Errors
/// [`FormatError::Shape`].
pub fn read_node(text: &[u8]) -> Result<Node<'_>, FormatError> {
    let node: WireNode<'_> = serde_json::from_slice(text).map_err(|error| FormatError::shape("tree", error))?;
    node.into_node()
}

/// Returns how many bytes the object has that text begins with; none when its end is not there.
fn object_bytes(text: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{') => depth += 1,
            (false, b'}') => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::id::Id;
    use super::super::node::{Content, ExtendedAttribute, Metadata, NodeKind};
    use super::super::time::FileTime;
    use super::*;

    fn metadata() -> Metadata {
        let time = FileTime { seconds: 1_700_000_000, nanoseconds: 120_000_000 };
        Metadata {
            mode: 0o4755,
            modified: time,
            accessed: time,
            changed: time,
            uid: 1,
            gid: 2,
            inode: 3,
            device_id: 4,
            size: 5,
            links: 1,
            device: 0,
        }
    }

    fn node<'a>(name: &'a [u8], metadata: &'a Metadata, content: Content<'a>) -> NewNode<'a> {
        NewNode { name, metadata, user: "", group: "", extended_attributes: &[], content }
    }

    #[test]
    fn a_tree_is_written_as_restic_writes_it() {
        let mut writer = TreeWriter::new(Vec::new());
        let id = Id::of(b"x");
        writer.push(&NewNode { user: "ada", ..node(b"a\n", &metadata(), Content::File(&[id])) });
        let plain = Metadata { size: 0, mode: 0o777, ..metadata() };
        writer.push(&node(b"l", &plain, Content::Symlink(b"/to")));
        let text = String::from_utf8(writer.finish()).unwrap();
        let times =
            r#""mtime":"2023-11-14T22:13:20.12Z","atime":"2023-11-14T22:13:20.12Z","ctime":"2023-11-14T22:13:20.12Z""#;
        let expected = format!(
            "{{\"nodes\":[{{\"name\":\"a\\\\n\",\"type\":\"file\",\"mode\":8389101,{times},\"uid\":1,\"gid\":2,\
             \"user\":\"ada\",\"inode\":3,\"device_id\":4,\"size\":5,\"links\":1,\"content\":[\"{id}\"]}},\
             {{\"name\":\"l\",\"type\":\"symlink\",\"mode\":134218239,{times},\"uid\":1,\"gid\":2,\"inode\":3,\
             \"device_id\":4,\"links\":1,\"linktarget\":\"/to\",\"content\":null}}]}}\n"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_tree_is_read_back() {
        let mut writer = TreeWriter::new(Vec::new());
        writer.push(&node(b"d", &metadata(), Content::Dir(Id::of(b"t"))));
        writer.push(&node(b"l\xff", &metadata(), Content::Symlink(b"to<\n\xff")));
        let text = writer.finish();
        assert!(String::from_utf8_lossy(&text).contains(r#""linktarget":"to\u003c\n\ufffd","linktarget_raw":"#));
        let nodes = read(&text).unwrap();
        assert_eq!((nodes[0].kind, nodes[0].subtree), (NodeKind::Dir, Some(Id::of(b"t"))));
        assert_eq!((&*nodes[1].name, &*nodes[1].target), (&b"l\xff"[..], &b"to<\n\xff"[..]));
        assert_eq!(nodes[0].metadata, Metadata { size: 0, links: 0, ..metadata() });
    }

    /// As restic 0.14 and 0.19 wrote them, by `restic cat blob`.
    #[test]
    fn entries_without_content_are_written_as_restic_writes_them() {
        let times =
            r#""mtime":"2023-11-14T22:13:20.12Z","atime":"2023-11-14T22:13:20.12Z","ctime":"2023-11-14T22:13:20.12Z""#;
        let facts = format!(r#"{times},"uid":1,"gid":2,"inode":3,"device_id":4"#);
        let attribute = |name: &[u8], value: &[u8]| ExtendedAttribute { name: name.to_vec(), value: value.to_vec() };
        let attributes = [attribute(b"user.b", b"\0\xff"), attribute(b"user.<a>", b"")];
        let written =
            r#""extended_attributes":[{"name":"user.b","value":"AP8="},{"name":"user.\u003ca\u003e","value":""}]"#;
        for (content, expected) in [
            (Content::BlockDevice, format!(r#""dev","mode":67109284,{facts},"links":1,{written},"device":1797"#)),
            (Content::CharDevice, format!(r#""chardev","mode":69206436,{facts},"links":1,{written},"device":1797"#)),
            (Content::Fifo, format!(r#""fifo","mode":33554852,{facts},{written}"#)),
            (Content::Socket, format!(r#""socket","mode":16777636,{facts},{written}"#)),
        ] {
            let mut writer = TreeWriter::new(Vec::new());
            let metadata = Metadata { mode: 0o644, size: 9, device: 1_797, ..metadata() };
            writer.push(&NewNode { extended_attributes: &attributes, ..node(b"n", &metadata, content) });
            let text = writer.finish();
            let whole = format!("{{\"nodes\":[{{\"name\":\"n\",\"type\":{expected},\"content\":null}}]}}\n");
            assert_eq!(String::from_utf8_lossy(&text), whole);
            let nodes = read(&text).unwrap();
            assert_eq!(nodes[0].extended_attributes, attributes);
            let (device, known) = match content {
                Content::BlockDevice => (1_797, NodeKind::BlockDevice),
                Content::CharDevice => (1_797, NodeKind::CharDevice),
                Content::Fifo => (0, NodeKind::Fifo),
                _ => (0, NodeKind::Socket),
            };
            assert_eq!((nodes[0].kind, nodes[0].metadata.device, nodes[0].metadata.mode), (known, device, 0o644));
        }
    }

    #[test]
    fn a_tree_is_read_in_pieces_as_it_is_read_whole() {
        let name = |at: u32| format!("{at:05}{{\"\\").into_bytes();
        let mut writer = TreeWriter::new(Vec::new());
        let blobs = [Id::of(b"x"); 100];
        for at in (0..20_000).step_by(2) {
            let many = if at == 9_998 { &[Id::of(b"y"); 40_000][..] } else { &blobs[..at as usize % 100] };
            writer.push(&node(&name(at), &metadata(), Content::File(many)));
        }
        let text = writer.finish();
        let compressed = |text: &[u8]| {
            let mut out = Vec::new();
            let mut compressor = super::super::compression::PieceCompressor::new(&mut out);
            compressor.push(text);
            compressor.finish();
            Bytes::from(out)
        };
        let packed = compressed(&text);
        let whole = read(&text).unwrap();
        let by_name: std::collections::BTreeMap<&[u8], &Node<'_>> =
            whole.iter().map(|node| (&*node.name, node)).collect();
        let mut pieces = TreeReader::new(packed.clone()).unwrap();
        // Names that are not there lie between; some are never asked for.
        for at in (0..20_002).filter(|at| at % 7 != 0) {
            let wanted = by_name.get(&*name(at)).map(|node| (&node.name, &node.content));
            let found = pieces.find(&name(at)).unwrap();
            assert!(found.as_ref().map(|node| (&node.name, &node.content)) == wanted, "{at}");
        }
        assert!(pieces.text.len() < 8 << 20);
        let mut cut = TreeReader::new(compressed(&text[..text.len() - 5])).unwrap();
        assert!(cut.find(b"~").is_err());
    }

    #[test]
    fn what_a_later_restic_says_is_read_over() {
        let text =
            br#"{"nodes":[{"name":"x","type":"whiteout","error":"e","generic_attributes":{"a":[1]},"later":{"b":2},
            "user":"ada","group":"staff","atime":"1970-01-01T00:00:01Z","extended_attributes":null}],"also":1}"#;
        let nodes = read(text).unwrap();
        assert_eq!((nodes[0].kind, &*nodes[0].user, &*nodes[0].group), (NodeKind::Other, "ada", "staff"));
        assert_eq!({ nodes[0].metadata.accessed.seconds }, 1);
        for attribute in
            [r#"{"name":"","value":""}"#, r#"{"name":"a\u0000b","value":""}"#, r#"{"name":"a","value":"?"}"#]
        {
            let text = format!(r#"{{"nodes":[{{"name":"x","type":"file","extended_attributes":[{attribute}]}}]}}"#);
            assert!(read(text.as_bytes()).is_err(), "{attribute}");
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        let node = |name: &str| format!(r#"{{"name":"{name}","type":"file"}}"#);
        for nodes in [node(".."), node("a/b"), node(""), node("\\\\x00"), format!("{},{}", node("a"), node("a"))] {
            assert!(read(format!(r#"{{"nodes":[{nodes}]}}"#).as_bytes()).is_err(), "{nodes}");
        }
        assert!(read(br#"{"nodes":[{"name":"d","type":"dir"}]}"#).is_err());
        assert!(read(br#"{"nodes":[{"name":"f","type":"file","mtime":"never"}]}"#).is_err());
    }
}

//! Trees: the entries of one folder, sorted by the bytes of their names, as JSON with a newline at its end.

use serde::Deserialize;

use super::FormatError;
use super::node::{Content, Metadata, Node, WireNode, push_node};

/// Largest tree that is read: a folder of two million entries. restic has none; a crafted repository must not take all
/// memory.
pub const TREE_BYTES_MAX: u64 = 1 << 30;

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
    pub fn push(&mut self, name: &[u8], metadata: &Metadata, user: &str, group: &str, content: Content<'_>) {
        if !self.first {
            self.text.push(b',');
        }
        self.first = false;
        push_node(&mut self.text, name, metadata, user, group, content);
    }

    /// Returns the tree's bytes.
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
        Some(pair) => {
            let names = [&pair[0].name, &pair[1].name].map(|name| String::from_utf8_lossy(name).into_owned());
            Err(FormatError::shape("tree", format!("`{}` stands after `{}`", names[1], names[0])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::Id;
    use super::super::node::NodeKind;
    use super::super::time::FileTime;
    use super::*;

    fn metadata() -> Metadata {
        let time = FileTime { seconds: 1_700_000_000, nanoseconds: 120_000_000 };
        Metadata {
            mode: 0o4755,
            modified: time,
            changed: time,
            uid: 1,
            gid: 2,
            inode: 3,
            device_id: 4,
            size: 5,
            links: 1,
        }
    }

    #[test]
    fn a_tree_is_written_as_restic_writes_it() {
        let mut writer = TreeWriter::new(Vec::new());
        let id = Id::of(b"x");
        writer.push(b"a\n", &metadata(), "ada", "", Content::File(&[id]));
        writer.push(b"l", &Metadata { size: 0, mode: 0o777, ..metadata() }, "", "", Content::Symlink(b"/to"));
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
        writer.push(b"d", &metadata(), "", "", Content::Dir(Id::of(b"t")));
        writer.push(b"l\xff", &metadata(), "", "", Content::Symlink(b"to<\n\xff"));
        let text = writer.finish();
        assert!(String::from_utf8_lossy(&text).contains(r#""linktarget":"to\u003c\n\ufffd","linktarget_raw":"#));
        let nodes = read(&text).unwrap();
        assert_eq!((nodes[0].kind, nodes[0].subtree), (NodeKind::Dir, Some(Id::of(b"t"))));
        assert_eq!((&*nodes[1].name, &*nodes[1].target), (&b"l\xff"[..], &b"to<\n\xff"[..]));
        assert_eq!(nodes[0].metadata, Metadata { size: 0, links: 0, ..metadata() });
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

//! Names of users and groups, looked up once each.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::{Arc, RwLock};

use uzers::{get_group_by_gid, get_user_by_uid};

/// Names by number; an empty name when the system has none.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: RwLock<HashMap<u32, Arc<str>>>,
    groups: RwLock<HashMap<u32, Arc<str>>>,
}

impl Owners {
    /// Returns a user's name.
    pub(super) fn user(&self, uid: u32) -> Arc<str> {
        look_up(&self.users, uid, || get_user_by_uid(uid).map(|user| text(user.name())))
    }

    /// Returns a group's name.
    pub(super) fn group(&self, gid: u32) -> Arc<str> {
        look_up(&self.groups, gid, || get_group_by_gid(gid).map(|group| text(group.name())))
    }
}

fn text(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

fn look_up(known: &RwLock<HashMap<u32, Arc<str>>>, id: u32, ask: impl FnOnce() -> Option<String>) -> Arc<str> {
    if let Some(name) = known.read().expect("no holder panics").get(&id) {
        return Arc::clone(name);
    }
    let name: Arc<str> = ask().unwrap_or_default().into();
    known.write().expect("no holder panics").insert(id, Arc::clone(&name));
    name
}

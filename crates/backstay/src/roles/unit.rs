//! The unit of systemd for `backstay up`, as text.
//!
//! It is as narrow as a backup allows. What reads everything must see what others see: no hiding of `/home`, `/tmp`,
//! `/dev` or `/usr/lib/modules` (a backup would save emptiness without a word), no other owners than those of the disk
//! (`PrivateUsers`), and a restore must be able to set the bits that files had (`RestrictSUIDSGID`).

use std::fmt::Write as _;
use std::path::Path;

/// The first line, by which a file is known as ours.
pub(crate) const MARK: &str = "# Written by `backstay install`, which writes it anew.";

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The machine's: it runs as root and reads everything.
    Machine,
    /// A user's: it reads what the user may.
    User,
}

/// What a unit says.
#[derive(Debug)]
pub(crate) struct Unit<'a> {
    pub(crate) whose: Whose,
    /// What is started.
    pub(crate) program: &'a Path,
    /// The file of settings.
    pub(crate) config: &'a Path,
    /// Folders that it may write, beside its own: local storages, and where restores go.
    /// Each the line that [`write_line`] returns.
    pub(crate) writes: &'a [String],
}

/// Returns an argument as a unit wants it written.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{text}\"")
}

/// Returns the line that lets a service write below a folder.
pub(crate) fn write_line(folder: &str) -> String {
    // No expansion of `$` here, other than in commands.
    let text = format!("-{folder}").replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("{WRITE_KEY}\"{text}\"")
}

/// How such a line begins.
pub(crate) const WRITE_KEY: &str = "ReadWritePaths=";

/// What holds for every service: it needs none of this.
const NARROW: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
UMask=0077
";

/// What only the system's manager can do. The capabilities: read and write past modes, and give restored files their
/// owners, modes, devices and capabilities back; a port below 1024.
const OF_MACHINE: &str = "\
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_MKNOD CAP_SETFCAP CAP_NET_BIND_SERVICE
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
";

/// Where dumps and drills lie for a while. `PrivateTmp` would hide `/tmp` from backups.
const SCRATCH: &str = "\
CacheDirectory=backstay
CacheDirectoryMode=0700
Environment=TMPDIR=/var/cache/backstay
ExecStartPre=-/usr/bin/find /var/cache/backstay -mindepth 1 -delete
";

impl Unit<'_> {
    /// Returns its text.
    pub(crate) fn text(&self) -> String {
        let mut out = format!(
            "{MARK}\n# What you say otherwise belongs in a file of your own beside it: systemctl{} edit backstay\n\n",
            if self.whose == Whose::User { " --user" } else { "" }
        );
        let words = |path: &Path| quoted(&path.display().to_string());
        let _ = write!(
            out,
            "[Unit]\nDescription=Backstay: backups, and the proof that they can be restored\n\
             Wants=network-online.target\nAfter=network-online.target time-sync.target\n\n\
             [Service]\nType=notify\nNotifyAccess=main\nExecStart={} --config {} up\nExecReload=/bin/kill -HUP $MAINPID\n\
             Restart=on-failure\nRestartSec=5s\n",
            words(self.program),
            words(self.config),
        );
        out.push_str("# A new version may have a large database to bring up to date.\nTimeoutStartSec=15min\n");
        out.push_str("# Jobs go back to the queue first.\nTimeoutStopSec=30s\nWatchdogSec=5min\n");
        out.push_str("# Files of repositories, and connections.\nLimitNOFILE=65536\n\n");
        out.push_str("# As narrow as a backup allows: it must see all files as they are.\n");
        out.push_str(NARROW);
        if self.whose == Whose::Machine {
            out.push_str(OF_MACHINE);
            out.push_str("StateDirectory=backstay\nStateDirectoryMode=0700\n");
            out.push_str("# Dumps and drills lie here for a while, since it may not write to /tmp. What a kill left goes first.\n");
            out.push_str(SCRATCH);
            out.push_str("# It reads everything and writes only here. Local storages, and where restores go, need a line each;\n");
            out.push_str("# `backstay install --writes DIR` adds one, `-` before a folder lets it be away.\n");
            out.push_str("ProtectSystem=strict\n");
            for line in self.writes {
                out.push_str(line);
                out.push('\n');
            }
        }
        let wanted = if self.whose == Whose::User { "default.target" } else { "multi-user.target" };
        let _ = write!(out, "\n[Install]\nWantedBy={wanted}\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(whose: Whose, writes: &[String]) -> String {
        Unit { whose, program: Path::new("/opt/a b/100%"), config: Path::new("/etc/backstay/backstay.yaml"), writes }
            .text()
    }

    /// Red when a line hides files from a backup, or keeps a restore from giving them back as they were.
    #[test]
    fn nothing_is_hidden_from_a_backup() {
        for whose in [Whose::Machine, Whose::User] {
            let text = text(whose, &[]);
            let hiding = [
                "ProtectHome",
                "PrivateTmp",
                "PrivateDevices",
                "PrivateUsers",
                "ProtectKernelModules",
                "RestrictSUIDSGID",
                "InaccessiblePaths",
                "TemporaryFileSystem",
                "DynamicUser",
            ];
            for word in hiding {
                assert!(!text.contains(word), "{word} in {text}");
            }
            assert!(text.contains("ExecStart=\"/opt/a b/100%%\" --config "), "{text}");
            assert!(text.starts_with(MARK));
        }
        let user = text(Whose::User, &[]);
        // These need a namespace of users, in which all other owners are nobody.
        assert!(!user.contains("Protect") && !user.contains("Capability"), "{user}");
    }

    #[test]
    fn what_is_to_be_written_has_its_line() {
        let text = text(Whose::Machine, &[write_line("/srv/backup"), write_line("/mnt")]);
        assert!(
            text.contains("ProtectSystem=strict\nReadWritePaths=\"-/srv/backup\"\nReadWritePaths=\"-/mnt\"\n"),
            "{text}"
        );
        // What is written for a while by drills and dumps is written where the unit may write.
        assert!(text.contains("CacheDirectory=backstay\n") && text.contains("TMPDIR=/var/cache/backstay\n"), "{text}");
    }
}

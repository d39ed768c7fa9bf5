//! Who may do what to whose data: five roles, one table, and the rules of tokens.
//!
//! A grant is a role for one tenant or for all. What is of one tenant never follows from a grant for another. An operator
//! keeps the installation going and sees no tenant's data: browsing and restoring are not theirs. Absent on purpose:
//! reading headers, storing hashes, people's passwords.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::id::TenantId;

/// What somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everything.
    Admin,
    /// Keeps the installation going.
    Operator,
    /// Everything of a tenant but its limits.
    TenantAdmin,
    /// Looks into a tenant's snapshots and restores them.
    Restorer,
    /// Sees that backups happen, not what is in them.
    Reader,
}

super::job::words!(Role: Admin = "admin", Operator = "operator", TenantAdmin = "tenant-admin", Restorer = "restorer", Reader = "reader");

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// See rows: plans, jobs, snapshots, events, quotas.
    Read,
    /// See what a snapshot holds.
    Browse,
    /// Restore a snapshot.
    Restore,
    /// Ask for a backup, a verify, a discovery; cancel a job; lift a parked one.
    Request,
    /// Make and change sources, plans, templates, channels, repositories.
    Declare,
    /// Forget snapshots, prune, lift a pin.
    Forget,
    /// Put or lift a legal hold.
    Hold,
    /// Make and revoke tokens.
    Token,
    /// Pause, silence, acknowledge.
    Pause,
    /// Make tenants, change quotas, caps and weights.
    Tenant,
    /// Lease jobs and report on them: what an agent does.
    Lease,
}

super::job::words!(Action: Read = "read", Browse = "browse", Restore = "restore", Request = "request", Declare = "declare",
    Forget = "forget", Hold = "hold", Token = "token", Pause = "pause", Tenant = "tenant", Lease = "lease");

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The installation's: all tenants, agents, maintenance windows.
    Installation,
    /// One tenant's.
    Tenant(TenantId),
}

/// A role and where it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// For what.
    pub scope: Scope,
}

/// Says whether a role has an action within its scope. The only table.
pub const fn may(role: Role, action: Action) -> bool {
    use Action::*;
    match role {
        Role::Admin => true,
        Role::Operator => matches!(action, Read | Request | Pause | Lease),
        Role::TenantAdmin => {
            matches!(action, Read | Browse | Restore | Request | Declare | Forget | Token | Pause)
        }
        Role::Restorer => matches!(action, Read | Browse | Restore),
        Role::Reader => matches!(action, Read),
    }
}

/// Says whether these grants allow an action on what is of `scope`.
pub fn allows(grants: &[Grant], action: Action, scope: Scope) -> bool {
    let covers = |grant: &Grant| grant.scope == Scope::Installation || grant.scope == scope;
    grants.iter().any(|grant| covers(grant) && may(grant.role, action))
}

/// Longest life of a token: who still needs it shows so once a year.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(366 * 86_400);

/// First letters of each token, so that it is known when it is found where it should not be.
pub const TOKEN_PREFIX: &str = "bks_";

/// A token's row: its text is shown once and stored nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// SHA-256 of its text, as hexadecimal digits.
    pub hash: String,
    /// What it allows.
    pub grants: Vec<Grant>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was taken back; none while it was not.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last; none when it never was.
    pub last_used_at: Option<Timestamp>,
}

/// Why a token does not open, or cannot be made. What a stranger is told does not say which of the first two.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Its time is over.
    #[error("the token expired")]
    Expired,
    /// Somebody took it back.
    #[error("the token was revoked")]
    Revoked,
    /// It would allow what its maker may not give.
    #[error("a token with the role {} cannot be given by you there", role.word())]
    Beyond {
        /// The role that was asked for.
        role: Role,
    },
    /// It would live too long, or end before it begins.
    #[error("a token lives for up to 366 days from now; give a moment in that time")]
    Life,
    /// It would allow nothing.
    #[error("a token needs at least one role")]
    Empty,
}

/// Returns the text of a new token from 32 random bytes.
pub fn token_text(random: [u8; 32]) -> String {
    format!("{TOKEN_PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&random).to_ascii_lowercase())
}

/// Returns the hash by which a token is found. Its text has 256 random bits: no salt, no slow hash is needed.
pub fn token_hash(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

/// Returns what a token allows now.
///
/// # Errors
/// [`TokenError::Expired`] or [`TokenError::Revoked`].
pub fn open(token: &Token, now: Timestamp) -> Result<&[Grant], TokenError> {
    if token.revoked_at.is_some() {
        // Whenever that was: a clock that went back gives nothing again.
        return Err(TokenError::Revoked);
    }
    if now >= token.expires_at {
        return Err(TokenError::Expired);
    }
    Ok(&token.grants)
}

/// Returns the row of a new token that a holder of `maker` makes: nobody gives what they do not have.
///
/// # Errors
/// [`TokenError::Beyond`], [`TokenError::Life`] or [`TokenError::Empty`].
pub fn mint(
    maker: &[Grant],
    grants: Vec<Grant>,
    text: &str,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Token, TokenError> {
    if grants.is_empty() {
        return Err(TokenError::Empty);
    }
    let longest = now.saturating_add(TOKEN_LIFE_MAX).unwrap_or(Timestamp::MAX);
    if expires_at <= now || expires_at > longest {
        return Err(TokenError::Life);
    }
    for grant in &grants {
        let has_all = Action::ALL.iter().all(|action| !may(grant.role, *action) || allows(maker, *action, grant.scope));
        if !has_all || !allows(maker, Action::Token, grant.scope) {
            return Err(TokenError::Beyond { role: grant.role });
        }
    }
    let hash = token_hash(text);
    Ok(Token { hash, grants, created_at: now, expires_at, revoked_at: None, last_used_at: None })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(number: u8) -> TenantId {
        TenantId::new(Timestamp::UNIX_EPOCH, [number; 10])
    }

    /// `restorer@1` for tenant 1, `operator@*` for all.
    fn grant(text: &str) -> Grant {
        let (role, scope) = text.split_once('@').unwrap();
        let scope = scope.parse().map_or(Scope::Installation, |number| Scope::Tenant(tenant(number)));
        Grant { role: Role::from_word(role).unwrap(), scope }
    }

    fn check(role: &str, expected: &str) {
        let role = Role::from_word(role).unwrap();
        let found: Vec<&str> =
            Action::ALL.iter().filter(|action| may(role, **action)).map(|action| action.word()).collect();
        assert_eq!(found.join(" "), expected, "{}", role.word());
    }

    #[test]
    fn the_table() {
        check("admin", "read browse restore request declare forget hold token pause tenant lease");
        check("operator", "read request pause lease");
        check("tenant-admin", "read browse restore request declare forget token pause");
        check("restorer", "read browse restore");
        check("reader", "read");
    }

    fn check_allows(grants: &str, action: Action, scope: &str, expected: bool) {
        let grants: Vec<Grant> = grants.split_whitespace().map(grant).collect();
        let scope = grant(&format!("reader@{scope}")).scope;
        assert_eq!(allows(&grants, action, scope), expected, "{grants:?} {action:?}");
    }

    #[test]
    fn tenants_are_apart() {
        check_allows("tenant-admin@1", Action::Restore, "1", true);
        check_allows("tenant-admin@1", Action::Read, "2", false);
        check_allows("tenant-admin@1", Action::Read, "*", false);
        check_allows("tenant-admin@1 reader@2", Action::Restore, "2", false);
        check_allows("reader@*", Action::Read, "2", true);
        check_allows("operator@*", Action::Browse, "1", false);
        check_allows("", Action::Read, "1", false);
    }

    fn check_mint(maker: &str, wanted: &str, days: i64, expected: &str) {
        let read = |text: &str| text.split_whitespace().map(grant).collect::<Vec<_>>();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let expires_at = Timestamp::from_second(1_700_000_000 + days * 86_400).unwrap();
        let answer = mint(&read(maker), read(wanted), "bks_x", expires_at, now);
        assert!(
            answer.map_or_else(|error| error.to_string(), |_| "made".to_owned()).starts_with(expected),
            "{maker}: {wanted}"
        );
    }

    #[test]
    fn nobody_gives_what_they_do_not_have() {
        check_mint("admin@*", "admin@*", 366, "made");
        check_mint("tenant-admin@1", "restorer@1 reader@1", 30, "made");
        check_mint("tenant-admin@1", "tenant-admin@1", 30, "made");
        check_mint("tenant-admin@1", "reader@2", 30, "a token with the role reader cannot");
        check_mint("tenant-admin@1", "reader@*", 30, "a token with the role reader cannot");
        check_mint("tenant-admin@1", "operator@1", 30, "a token with the role operator cannot");
        check_mint("restorer@1", "reader@1", 30, "a token with the role reader cannot");
        check_mint("admin@*", "reader@1", 367, "a token lives for up to");
        check_mint("admin@*", "reader@1", 0, "a token lives for up to");
        check_mint("admin@*", "", 30, "a token needs at least one role");
    }

    #[test]
    fn a_token_opens_until_it_ends() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let token = mint(&[grant("admin@*")], vec![grant("reader@1")], &token_text([7; 32]), at(200), at(100)).unwrap();
        assert_eq!(open(&token, at(199)), Ok(&[grant("reader@1")][..]));
        assert_eq!(open(&token, at(200)), Err(TokenError::Expired));
        let revoked = Token { revoked_at: Some(at(150)), ..token.clone() };
        assert_eq!(open(&revoked, at(100)), Err(TokenError::Revoked));
        assert_eq!((token_text([7; 32]).len(), &token_text([7; 32])[..4]), (56, "bks_"));
        assert_eq!(token.hash, token_hash(&token_text([7; 32])));
        assert_ne!(token_hash(&token_text([7; 32])), token_hash(&token_text([8; 32])));
    }

    fn any_grant() -> impl Strategy<Value = Grant> {
        let scope = prop_oneof![Just(Scope::Installation), (1u8..4).prop_map(|number| Scope::Tenant(tenant(number)))];
        (prop::sample::select(Role::ALL), scope).prop_map(|(role, scope)| Grant { role, scope })
    }

    proptest! {
        #[test]
        fn a_token_never_allows_more_than_its_maker(maker in prop::collection::vec(any_grant(), 0..4), wanted in prop::collection::vec(any_grant(), 1..4)) {
            let at = |second| Timestamp::from_second(second).unwrap();
            if let Ok(token) = mint(&maker, wanted, "bks_x", at(200), at(100)) {
                let scopes = (1..4).map(|number| Scope::Tenant(tenant(number))).chain([Scope::Installation]);
                for (scope, action) in scopes.flat_map(|scope| Action::ALL.iter().map(move |action| (scope, *action))) {
                    prop_assert!(!allows(&token.grants, action, scope) || allows(&maker, action, scope));
                }
            }
        }
    }
}

//! Tokens from their making to their end, and the record of who asked for a change.

use jiff::Timestamp;

use super::context::Context;
use crate::domain::access::Scope;
use crate::domain::change::{self, Asked, ChangeBreak, ChangeFault, ChangeRecord, SigningKeys, first_break};
use crate::domain::id::{ChangeId, TokenId};
use crate::domain::name::Name;
use crate::domain::secret::Secret;
use crate::domain::token::{ApiToken, token_hash, token_text};
use crate::ports::access::AccessStore;
use crate::ports::store::{PAGE_ROWS_MAX, StoreError};

/// How often a record is chained anew when another one took its place: each try means that somebody else got on.
const CHAIN_TRIES: u32 = 16;

/// Pages of records that are looked at for one answer: some thousand signatures, a moment's work.
const CHAIN_PAGES_MAX: u32 = 8;

/// What a token is to be.
#[derive(Debug, Clone)]
pub struct TokenDeclaration {
    /// Its name.
    pub name: Name,
    /// What it is good for.
    pub scope: Scope,
    /// When it expires; none for never.
    pub expires_at: Option<Timestamp>,
}

/// Makes a token and returns its row and its text, which nobody can learn again.
///
/// # Errors
/// [`StoreError`].
pub async fn token_issue(
    context: &Context,
    access: &dyn AccessStore,
    wish: TokenDeclaration,
) -> Result<(ApiToken, Secret), StoreError> {
    let mut random = [0; 32];
    context.random.fill(&mut random);
    let (text, now) = (token_text(&random), context.now());
    let token = ApiToken {
        id: TokenId::new(now, context.ten()),
        name: wish.name,
        hash: token_hash(&text),
        scope: wish.scope,
        created_at: now,
        expires_at: wish.expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    access.token_add(&token).await?;
    Ok((token, Secret::from(text)))
}

/// Returns the token with this text if it is good now, and notes its use.
///
/// # Errors
/// [`StoreError`].
pub async fn token_authenticate(
    context: &Context,
    access: &dyn AccessStore,
    text: &str,
) -> Result<Option<ApiToken>, StoreError> {
    let Some(token) = access.token_by_hash(&token_hash(text)).await? else { return Ok(None) };
    // When it is over the store's clock says, which all replicas share; of one without an end nobody need be asked.
    let now = match token.expires_at {
        Some(_) => context.schedules.clock_read().await?,
        None => context.now(),
    };
    if !token.is_good(now) {
        return Ok(None);
    }
    if token.use_is_news(now) {
        access.token_used(token.id, now).await?;
    }
    Ok(Some(token))
}

/// Who asks, for the record.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Which token; none for the installation's own.
    pub token_id: Option<TokenId>,
    /// What it is good for.
    pub scope: &'a Scope,
}

/// Why a change was not recorded. It may not be made then.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Others took the chain's next place each time. It passes.
    #[error("too many changes are recorded at this moment")]
    Crowded,
    /// The store said something else.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records who asks for what, chained to the record before and signed.
///
/// # Errors
/// [`RecordError`]; nothing may be changed then.
pub async fn change_record(
    context: &Context,
    access: &dyn AccessStore,
    asker: Asker<'_>,
    operation: &str,
    path: &str,
) -> Result<(), RecordError> {
    let now = context.now();
    let asked = Asked {
        id: ChangeId::new(now, context.ten()),
        at: now,
        token_id: asker.token_id,
        role: asker.scope.role,
        tenant_id: asker.scope.tenant_id,
        operation: operation.to_owned(),
        path: path.to_owned(),
    };
    let mut tries_left = CHAIN_TRIES;
    loop {
        let newest = access.change_newest().await?;
        let sequence = newest.as_ref().map_or(1, |newest| newest.sequence + 1);
        let previous_hash = newest.map(|newest| newest.hash);
        let document = change::document(&asked, sequence, previous_hash.as_deref());
        let signature = data_encoding::HEXLOWER.encode(&context.signer.sign(document.as_bytes()));
        let hash = change::hash(&document);
        let record = ChangeRecord { asked: asked.clone(), sequence, previous_hash, hash, signature };
        tries_left -= 1;
        match access.change_add(&record).await {
            Err(StoreError::Taken { .. }) if tries_left > 0 => {}
            Err(StoreError::Taken { .. }) => return Err(RecordError::Crowded),
            answer => return Ok(answer?),
        }
    }
}

/// What was found of the chain of changes, from a place on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainChecked {
    /// Records that are right.
    pub checked: u64,
    /// Place and hash of the last one of them: who notes it elsewhere sees when records behind it are gone.
    pub last: Option<(i64, String)>,
    /// From where on more is to be looked at; none when the end was reached, or something is wrong.
    pub next: Option<i64>,
    /// The first place at which something is wrong.
    pub broken: Option<ChangeBreak>,
}

/// Recomputes the chain of changes from a place on: places, hashes and signatures, as many as one answer may take.
///
/// # Errors
/// [`StoreError`].
pub async fn change_verify(
    context: &Context,
    access: &dyn AccessStore,
    from: i64,
    former: &[[u8; 32]],
) -> Result<ChainChecked, StoreError> {
    let from = from.max(1);
    let mut found = ChainChecked::default();
    let mut keys = SigningKeys::new(former, context.signer.public_key());
    let before = match from {
        1 => None,
        // It was looked at before; where it is gone, the next one does not follow it.
        _ => access.change_chain(from - 1, 1).await?.into_iter().find(|row| row.sequence == from - 1),
    };
    if let Some(record) = &before {
        keys = keys.after(record);
    }
    let mut previous = before.map(|record| record.hash);
    let mut place = from;
    for _ in 0..CHAIN_PAGES_MAX {
        let (page, unreadable) = readable(access, place).await?;
        found.broken = first_break(&page, place, previous.as_deref(), &mut keys);
        let right = found.broken.as_ref().map_or(page.len(), |at| usize::try_from(at.sequence - place).unwrap_or(0));
        found.checked += right as u64;
        if let Some(last) = page[..right].last() {
            found.last = Some((last.sequence, last.hash.clone()));
            previous = Some(last.hash.clone());
        }
        let end = place + i64::try_from(page.len()).unwrap_or(0);
        let fault = unreadable.map(|problem| ChangeBreak { sequence: end, fault: ChangeFault::Unreadable { problem } });
        found.broken = found.broken.or(fault);
        if found.broken.is_some() || page.len() < PAGE_ROWS_MAX as usize {
            return Ok(found);
        }
        place = end;
    }
    found.next = Some(place);
    Ok(found)
}

/// Returns a page of records from a place on, up to the first one whose row cannot be read, and what is wrong with that.
async fn readable(access: &dyn AccessStore, from: i64) -> Result<(Vec<ChangeRecord>, Option<String>), StoreError> {
    match access.change_chain(from, PAGE_ROWS_MAX).await {
        Err(StoreError::Unreadable { .. }) => {}
        answer => return Ok((answer?, None)),
    }
    let mut rows = Vec::new();
    for place in from..from.saturating_add(i64::from(PAGE_ROWS_MAX)) {
        match access.change_chain(place, 1).await {
            Err(StoreError::Unreadable { problem, .. }) => return Ok((rows, Some(problem))),
            answer => match answer?.pop() {
                Some(row) => rows.push(row),
                None => break,
            },
        }
    }
    Ok((rows, None))
}

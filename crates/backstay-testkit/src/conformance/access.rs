//! The suite of the port `AccessStore`.

use std::time::Duration;

use backstay_core::domain::access::{Role, Scope};
use backstay_core::domain::change::{self, Asked, ChangeRecord};
use backstay_core::domain::id::{ChangeId, TokenId};
use backstay_core::domain::job::JobKind;
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::token::{ApiToken, token_hash};
use backstay_core::ports::access::{AccessStore, Begun, Remembered};
use backstay_core::ports::store::{DeclarationStore, Page, StoreError};
use jiff::Timestamp;

/// Holds a store, empty, against all promises.
pub async fn exercise(access: &dyn AccessStore, declarations: &dyn DeclarationStore) {
    tokens_are_found_by_their_hash_and_end_once(access, declarations).await;
    a_request_is_answered_once(access).await;
    a_chain_has_one_record_a_place(access).await;
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

async fn tokens_are_found_by_their_hash_and_end_once(access: &dyn AccessStore, declarations: &dyn DeclarationStore) {
    let tenant = Tenant { id: backstay_core::domain::id::TenantId::new(at(0), [9; 10]), name: "door".parse().unwrap() };
    declarations.tenant_add(&tenant).await.unwrap();
    assert_eq!(declarations.tenant_get(tenant.id).await.unwrap(), tenant);
    let token = |number: u8, scope: Scope| ApiToken {
        id: TokenId::new(at(i64::from(number)), [number; 10]),
        name: format!("token-{number}").parse().unwrap(),
        hash: token_hash(&format!("bk_{number}")),
        scope,
        created_at: at(1),
        expires_at: Some(at(100)),
        last_used_at: None,
        revoked_at: None,
    };
    let agent = token(1, Scope::new(Role::Agent, None, vec![JobKind::Backup, JobKind::Verify]).unwrap());
    let reader = token(2, Scope::new(Role::Reader, Some(tenant.id), vec![]).unwrap());
    for token in [&agent, &reader] {
        access.token_add(token).await.unwrap();
        assert_eq!(access.token_by_hash(&token.hash).await.unwrap().as_ref(), Some(token));
        assert_eq!(&access.token_get(token.id).await.unwrap(), token);
    }
    assert_eq!(access.token_by_hash(&token_hash("bk_3")).await.unwrap(), None);
    let twin = ApiToken { id: TokenId::new(at(9), [9; 10]), ..agent.clone() };
    assert!(matches!(access.token_add(&twin).await, Err(StoreError::Taken { .. })));
    assert_eq!(access.token_list(None, Page::first()).await.unwrap(), [reader.clone(), agent.clone()]);
    assert_eq!(access.token_list(Some(tenant.id), Page::first()).await.unwrap(), std::slice::from_ref(&reader));
    let older = Page { before: Some(reader.id), rows_max: 9 };
    assert_eq!(access.token_list(None, older).await.unwrap(), std::slice::from_ref(&agent));
    access.token_used(agent.id, at(7)).await.unwrap();
    access.token_revoke(agent.id, at(8)).await.unwrap();
    access.token_revoke(agent.id, at(9)).await.unwrap();
    let ended = ApiToken { last_used_at: Some(at(7)), revoked_at: Some(at(8)), ..agent };
    assert_eq!(access.token_get(ended.id).await.unwrap(), ended);
    assert_eq!(access.token_get(reader.id).await.unwrap(), reader, "the other one is as it was");
}

async fn a_request_is_answered_once(access: &dyn AccessStore) {
    let wish = |key: &str, second| Remembered {
        caller: "a".to_owned(),
        key: key.to_owned(),
        request_hash: "00".to_owned(),
        asked_at: at(second),
        answer: None,
    };
    let begin = async |wish: &Remembered, forget, abandoned| {
        access.answer_begin(wish, at(forget), at(abandoned)).await.unwrap()
    };
    let first = wish("one", 10);
    assert_eq!(begin(&first, 0, 0).await, Begun::New);
    let again = Remembered { request_hash: "11".to_owned(), ..wish("one", 11) };
    assert_eq!(begin(&again, 0, 0).await, Begun::Known(first.clone()));
    let other = Remembered { caller: "b".to_owned(), ..again.clone() };
    assert_eq!(begin(&other, 0, 0).await, Begun::New, "another caller's key is another key");
    access.answer_end("a", "one", Some((201, "{}"))).await.unwrap();
    let told = Remembered { answer: Some((201, "{}".to_owned())), ..first };
    assert_eq!(begin(&again, 10, 99).await, Begun::Known(told));
    assert_eq!(begin(&again, 11, 0).await, Begun::New, "what is old is forgotten");
    access.answer_end("a", "one", None).await.unwrap();
    assert_eq!(begin(&again, 0, 0).await, Begun::New, "a failed request may be made again");
    assert_eq!(begin(&wish("one", 50), 0, 12).await, Begun::New, "an abandoned one too");
}

async fn a_chain_has_one_record_a_place(access: &dyn AccessStore) {
    assert_eq!(access.change_newest().await.unwrap(), None);
    let mut made: Vec<ChangeRecord> = Vec::new();
    for sequence in 1..=3 {
        let moment = at(0).saturating_add(Duration::from_millis(sequence)).unwrap();
        let asked = Asked {
            id: ChangeId::new(moment, [1; 10]),
            at: moment,
            token_id: (sequence == 2).then(|| TokenId::new(at(1), [1; 10])),
            role: Role::Admin,
            tenant_id: None,
            operation: "plan_create".to_owned(),
            path: "/api/v1/plans".to_owned(),
        };
        let previous_hash = made.last().map(|before| before.hash.clone());
        let sequence = i64::try_from(sequence).unwrap();
        let hash = change::hash(&change::document(&asked, sequence, previous_hash.as_deref()));
        let record = ChangeRecord { asked, sequence, previous_hash, hash, signature: "ab".repeat(64) };
        access.change_add(&record).await.unwrap();
        let thief = Asked { id: ChangeId::new(moment, [2; 10]), ..record.asked.clone() };
        let taken = access.change_add(&ChangeRecord { asked: thief, ..record.clone() }).await;
        assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
        assert_eq!(access.change_newest().await.unwrap().as_ref(), Some(&record));
        made.push(record);
        let newest_first: Vec<ChangeRecord> = made.iter().rev().cloned().collect();
        assert_eq!(access.change_list(Page::first()).await.unwrap(), newest_first);
    }
    let older = Page { before: Some(made[2].asked.id), rows_max: 1 };
    assert_eq!(access.change_list(older).await.unwrap(), [made[1].clone()]);
}

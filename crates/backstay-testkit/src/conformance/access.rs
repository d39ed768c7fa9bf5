//! The suite of the port `AccessStore`.

use std::time::Duration;

use backstay_core::domain::access::{Role, Scope};
use backstay_core::domain::attempt::{AttemptToken, LeaseKey};
use backstay_core::domain::change::{self, Asked, ChangeRecord};
use backstay_core::domain::id::{ChangeId, TokenId};
use backstay_core::domain::job::JobKind;
use backstay_core::domain::tenant::Tenant;
use backstay_core::domain::token::{ApiToken, token_hash};
use backstay_core::ports::access::{AccessStore, Answer, Begun, Remembered};
use backstay_core::ports::store::{DeclarationStore, Page, StoreError};
use jiff::Timestamp;

use super::world::{World, key_of};

/// Holds a store, empty, against all promises.
pub async fn exercise(access: &dyn AccessStore, declarations: &dyn DeclarationStore) {
    tokens_are_found_by_their_hash_and_end_once(access, declarations).await;
    a_request_is_answered_once(access).await;
    a_chain_has_one_record_a_place(access).await;
}

/// Holds a store of a world's against what it promises about agents and their tokens.
pub async fn agents(access: &dyn AccessStore, world: &World) {
    let token = |number: u8| TokenId::new(at(0), [number; 10]);
    let (agent, own) = (world.agent(), world.agent());
    assert!(access.agent_bind(agent, token(1), at(1)).await.unwrap());
    assert!(access.agent_bind(agent, token(1), at(2)).await.unwrap(), "it comes again");
    assert!(!access.agent_bind(agent, token(2), at(3)).await.unwrap(), "another token is refused");
    world.queued(0).await;
    world.queued(1).await;
    let lease = key_of(&world.claim(agent, 1).await[0]);
    assert_eq!(access.lease_token(lease).await.unwrap(), Some(token(1)));
    let later = LeaseKey { token: AttemptToken(lease.token.0 + 1), ..lease };
    assert_eq!(access.lease_token(later).await.unwrap(), None, "nobody took it yet");
    let lease = key_of(&world.claim(own, 1).await[0]);
    assert_eq!(access.lease_token(lease).await.unwrap(), None, "who came without a token has none");
    assert!(!access.agent_bind(own, token(1), at(4)).await.unwrap(), "and gets none");
    assert_eq!(access.lease_token(lease).await.unwrap(), None);
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
    let answer = |status, body: &str| Answer { status, body: body.to_owned(), etag: None };
    let first = wish("one", 10);
    assert_eq!(begin(&first, 0, 0).await, Begun::New(at(10)));
    let again = Remembered { request_hash: "11".to_owned(), ..wish("one", 11) };
    assert_eq!(begin(&again, 0, 0).await, Begun::Known(first.clone()));
    let other = Remembered { caller: "b".to_owned(), ..again.clone() };
    assert_eq!(begin(&other, 0, 0).await, Begun::New(at(11)), "another caller's key is another key");
    let made = Answer { etag: Some("\"2f\"".to_owned()), ..answer(201, "{}") };
    access.answer_end(&first, Some(&made)).await.unwrap();
    let told = Remembered { answer: Some(made), ..first.clone() };
    assert_eq!(begin(&again, 10, 99).await, Begun::Known(told));
    assert_eq!(begin(&again, 11, 0).await, Begun::New(at(11)), "what is old is forgotten");
    access.answer_end(&again, None).await.unwrap();
    assert!(matches!(begin(&wish("one", 12), 0, 0).await, Begun::Known(_)), "it is another request's key still");
    let run = |second| Remembered { asked_at: at(second), ..again.clone() };
    assert_eq!(begin(&run(50), 0, 0).await, Begun::New(at(11)), "a failed request is made again as what it was");
    assert!(matches!(begin(&run(51), 0, 50).await, Begun::Known(Remembered { answer: None, .. })));
    assert_eq!(begin(&run(70), 0, 51).await, Begun::New(at(11)), "an abandoned one too");
    access.answer_end(&run(50), None).await.unwrap();
    assert!(
        matches!(begin(&run(71), 0, 60).await, Begun::Known(Remembered { answer: None, .. })),
        "not ended by another"
    );
    access.answer_end(&run(50), Some(&answer(202, "late"))).await.unwrap();
    access.answer_end(&run(70), Some(&answer(409, "later"))).await.unwrap();
    let told = Remembered { answer: Some(answer(202, "late")), asked_at: at(11), ..again.clone() };
    assert_eq!(begin(&run(90), 0, 90).await, Begun::Known(told), "the first answer stays");
}

/// Of eight who bring one key at once, one answers.
pub async fn one_key_at_once<A: AccessStore + Clone + 'static>(access: &A) {
    for round in 0..8 {
        let ask = |number: i64| {
            let wish = Remembered {
                caller: "a".to_owned(),
                key: format!("at-once-{round}"),
                request_hash: "00".to_owned(),
                asked_at: at(number),
                answer: None,
            };
            let access = access.clone();
            tokio::spawn(async move { access.answer_begin(&wish, at(0), at(0)).await })
        };
        let asked: Vec<_> = (10..18).map(ask).collect();
        let mut begun = Vec::new();
        for one in asked {
            begun.push(one.await.unwrap().unwrap());
        }
        assert_eq!(begun.iter().filter(|one| matches!(one, Begun::New(_))).count(), 1, "{begun:?}");
    }
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

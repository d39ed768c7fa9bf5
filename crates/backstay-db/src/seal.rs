//! Secrets in rows: sealed under a master key that is not in the database.
//!
//! ```text
//!  sealed = 1 | length of key id | key id | nonce (24) | XChaCha20-Poly1305(secret, associated data)
//!  associated data = the same head | table | column | row, each with its length
//! ```
//!
//! The associated data ties a secret to its place: one that somebody copies to another row does not open there. The key
//! id says which key opens it, so that keys can be changed: give the new one first and the old ones after it, then
//! [`SealedSecrets::rotate`] seals all anew. A nonce is 24 random bytes, which never repeat. Absent on purpose: where the
//! master key comes from; a caller reads it from a file or the environment.

use std::fmt;
use std::sync::Arc;

use backstay_core::domain::secret::Secret;
use backstay_core::ports::random::Random;
use backstay_core::ports::store::StoreError;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, ConnectionTrait as _, DbBackend, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::{Digest as _, Sha256};

use crate::Database;
use crate::database::commit;
use crate::dialect::insert_unless_taken;
use crate::entity::secret;
use crate::error::{insert_error, store_error};

/// The only form so far.
const FORM: u8 = 1;

/// Bytes of a nonce.
const NONCE_BYTES: usize = 24;

/// Rows that one turn of [`SealedSecrets::rotate`] reads at once.
const ROTATE_ROWS_MAX: u64 = 200;

/// A key of 32 bytes. It prints as its id.
#[derive(Clone)]
pub struct MasterKey {
    id: String,
    bytes: Arc<SecretBox<[u8; 32]>>,
}

/// A text that is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 32 bytes, as 64 hexadecimal digits or as Base64; make one with `openssl rand -hex 32`")]
pub struct MasterKeyError;

impl MasterKey {
    /// Makes a key of bytes. Its id follows from them, so nobody has to name keys.
    pub fn new(bytes: [u8; 32]) -> Self {
        let hash = Sha256::new().chain_update(b"backstay master key id\0").chain_update(bytes).finalize();
        Self {
            id: HEXLOWER.encode(hash.get(..8).unwrap_or_default()),
            bytes: Arc::new(SecretBox::new(Box::new(bytes))),
        }
    }

    /// Reads a key as it stands in a file or in the environment, white space around it aside.
    ///
    /// # Errors
    /// [`MasterKeyError`], which does not repeat the text.
    pub fn parse(text: &Secret) -> Result<Self, MasterKeyError> {
        let text = text.expose_secret().trim().as_bytes();
        let decoded = HEXLOWER_PERMISSIVE.decode(text).or_else(|_| BASE64.decode(text)).map_err(|_| MasterKeyError)?;
        <[u8; 32]>::try_from(decoded).map(Self::new).map_err(|_| MasterKeyError)
    }

    /// Returns the id under which rows name it.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.bytes.expose_secret()))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// The key that seals, and older ones that still open.
#[derive(Debug, Clone)]
pub struct MasterKeys {
    current: MasterKey,
    older: Vec<MasterKey>,
}

/// Where a sealed value stands.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    table: &'a str,
    column: &'a str,
    row: &'a str,
}

impl MasterKeys {
    /// Puts keys together.
    pub fn new(current: MasterKey, older: Vec<MasterKey>) -> Self {
        Self { current, older }
    }

    fn ids(&self) -> Vec<String> {
        std::iter::once(&self.current).chain(&self.older).map(|key| key.id.clone()).collect()
    }

    fn find(&self, id: &str) -> Option<&MasterKey> {
        std::iter::once(&self.current).chain(&self.older).find(|key| key.id == id)
    }

    fn seal(&self, place: Place<'_>, value: &Secret, random: &dyn Random) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce);
        let mut sealed = head(&self.current.id);
        let data = associated_data(&sealed, place);
        let payload = Payload { msg: value.expose_secret().as_bytes(), aad: &data };
        let secret = self.current.cipher().encrypt(&XNonce::from(nonce), payload);
        // The cipher refuses what is longer than a quarter of a terabyte.
        let secret = secret.map_err(|_| SealError::broken(place, &self.current.id))?;
        sealed.extend_from_slice(&nonce);
        sealed.extend(secret);
        Ok(sealed)
    }

    fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Secret, SealError> {
        let (key_id, nonce, secret) = parts(sealed).ok_or_else(|| SealError::broken(place, "unknown"))?;
        let key = self.find(key_id).ok_or_else(|| SealError::Key {
            row: place.row.to_owned(),
            key_id: key_id.to_owned(),
            known: self.ids(),
        })?;
        let data = associated_data(&head(key_id), place);
        let opened = key.cipher().decrypt(&XNonce::from(nonce), Payload { msg: secret, aad: &data });
        let text = opened.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(Secret::from).ok_or_else(|| SealError::broken(place, key_id))
    }
}

/// Returns what stands before the nonce. Ids of keys are 16 letters.
fn head(key_id: &str) -> Vec<u8> {
    let length = u8::try_from(key_id.len()).unwrap_or(u8::MAX);
    [&[FORM, length], key_id.as_bytes()].concat()
}

/// Returns key id, nonce and ciphertext; none when this is no sealed value.
fn parts(sealed: &[u8]) -> Option<(&str, [u8; NONCE_BYTES], &[u8])> {
    let (&form, rest) = sealed.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (key_id, rest) = rest.split_at_checked(length.into())?;
    let (nonce, secret) = rest.split_at_checked(NONCE_BYTES)?;
    (form == FORM).then_some((std::str::from_utf8(key_id).ok()?, nonce.try_into().ok()?, secret))
}

fn associated_data(head: &[u8], place: Place<'_>) -> Vec<u8> {
    let mut data = head.to_vec();
    for part in [place.table, place.column, place.row] {
        data.extend_from_slice(&(part.len() as u64).to_le_bytes());
        data.extend_from_slice(part.as_bytes());
    }
    data
}

/// Why a sealed secret could not be had. Never carries the value.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There is no such secret.
    #[error("there is no sealed secret {row}")]
    Missing {
        /// Its name.
        row: String,
    },
    /// It was sealed under a master key that was not given.
    #[error(
        "the secret {row} is sealed under the master key {key_id}, which was not given (given: {}); give that key too, as an \
         older one", known.join(", ")
    )]
    Key {
        /// Its name.
        row: String,
        /// The id of the key that opens it.
        key_id: String,
        /// The ids of the keys that there are.
        known: Vec<String>,
    },
    /// The key is the right one and it does not open: it was changed, or copied here from another row.
    #[error("the secret {row} (master key {key_id}) was changed or copied from another row: it does not open")]
    Broken {
        /// Its name.
        row: String,
        /// The id of the key that it names.
        key_id: String,
    },
    /// The database did not answer.
    #[error("the store of secrets did not answer")]
    Store(#[from] StoreError),
}

impl SealError {
    fn broken(place: Place<'_>, key_id: &str) -> Self {
        Self::Broken { row: place.row.to_owned(), key_id: key_id.to_owned() }
    }
}

/// Secrets by name, in the table `secret`. Debug shows ids of keys and nothing else.
#[derive(Clone)]
pub struct SealedSecrets {
    database: Database,
    keys: MasterKeys,
    random: Arc<dyn Random>,
}

impl fmt::Debug for SealedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecrets").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl SealedSecrets {
    /// Puts the table, the keys and a source of randomness that is good enough for keys together.
    pub fn new(database: Database, keys: MasterKeys, random: Arc<dyn Random>) -> Self {
        Self { database, keys, random }
    }

    const fn place(row: &str) -> Place<'_> {
        Place { table: "secret", column: "sealed", row }
    }

    /// Seals a secret under the current key and keeps it, in the place of an earlier one of this name.
    ///
    /// # Errors
    /// [`SealError::Store`].
    pub async fn put(&self, name: &str, value: &Secret) -> Result<(), SealError> {
        let sealed = self.keys.seal(Self::place(name), value, &*self.random)?;
        let row = secret::Model::of(name, &self.keys.current.id, sealed);
        let replace = OnConflict::column(secret::Column::Id)
            .update_columns([
                secret::Column::TenantId,
                secret::Column::Name,
                secret::Column::KeyId,
                secret::Column::Sealed,
            ])
            .to_owned();
        let insert = secret::Entity::insert(row.into_active_model()).on_conflict(replace);
        let done = insert.exec_without_returning(&self.database.writer).await;
        done.map(drop).map_err(|error| insert_error(error, "secret", name).into())
    }

    /// Seals a secret under the current key and keeps it, unless there is one of this name; says whether it did.
    ///
    /// # Errors
    /// [`SealError::Store`].
    pub async fn put_first(&self, name: &str, value: &Secret) -> Result<bool, SealError> {
        let sealed = self.keys.seal(Self::place(name), value, &*self.random)?;
        let row = secret::Model::of(name, &self.keys.current.id, sealed);
        let tx = self.database.begin().await?;
        let inserted = insert_unless_taken(&tx, row.into_active_model()).await;
        let inserted = inserted.map_err(|error| insert_error(error, "secret", name))?;
        commit(tx).await?;
        Ok(inserted)
    }

    pub(crate) const fn database(&self) -> &Database {
        &self.database
    }

    /// Returns the ids of the keys that were given.
    pub(crate) fn key_ids(&self) -> Vec<String> {
        self.keys.ids()
    }

    /// Returns a secret.
    ///
    /// # Errors
    /// [`SealError`].
    pub async fn get(&self, name: &str) -> Result<Secret, SealError> {
        let row = secret::Entity::find_by_id(name).one(&self.database.reader).await.map_err(store_error)?;
        let row = row.ok_or_else(|| SealError::Missing { row: name.to_owned() })?;
        self.keys.open(Self::place(name), &row.sealed)
    }

    /// Forgets a secret; one that is not there is forgotten already. SQLite overwrites its bytes, in the log too; what other
    /// databases keep of old rows, they keep as long as they do.
    ///
    /// # Errors
    /// [`SealError::Store`].
    pub async fn remove(&self, name: &str) -> Result<(), SealError> {
        let tx = self.database.begin().await?;
        let is_sqlite = tx.get_database_backend() == DbBackend::Sqlite;
        if is_sqlite {
            tx.execute_unprepared("PRAGMA secure_delete = ON").await.map_err(store_error)?;
        }
        secret::Entity::delete_by_id(name).exec(&tx).await.map_err(store_error)?;
        if is_sqlite {
            tx.execute_unprepared("PRAGMA secure_delete = OFF").await.map_err(store_error)?;
        }
        commit(tx).await?;
        if is_sqlite {
            let cut = self.database.writer.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await;
            cut.map_err(store_error)?;
        }
        Ok(())
    }

    /// Seals all that older keys sealed under the current one, and returns how many. When it returns without an error
    /// the older keys are needed no more. Safe to repeat, and while secrets are read and written.
    ///
    /// # Errors
    /// The first [`SealError`] of a row that does not open; all others were sealed anew.
    pub async fn rotate(&self) -> Result<u64, SealError> {
        let (mut count, mut after, mut refused) = (0, String::new(), Ok(()));
        loop {
            let rows = secret::Entity::find()
                .filter(secret::Column::KeyId.ne(&self.keys.current.id))
                .filter(secret::Column::Id.gt(&after))
                .order_by_asc(secret::Column::Id)
                .limit(ROTATE_ROWS_MAX)
                .all(&self.database.reader)
                .await
                .map_err(store_error)?;
            let Some(last) = rows.last() else { return refused.map(|()| count) };
            after.clone_from(&last.id);
            for row in rows {
                match self.keys.open(Self::place(&row.id), &row.sealed) {
                    Ok(value) => count += u64::from(self.reseal(&row, &value).await?),
                    Err(error) => refused = refused.and(Err(error)),
                }
            }
        }
    }

    /// Seals a row anew, if it still is the one that was read.
    async fn reseal(&self, row: &secret::Model, value: &Secret) -> Result<bool, SealError> {
        let sealed = self.keys.seal(Self::place(&row.id), value, &*self.random)?;
        let tx = self.database.begin().await?;
        let found = secret::Entity::find_by_id(&row.id).lock_exclusive().one(&tx).await.map_err(store_error)?;
        if found.as_ref() != Some(row) {
            return Ok(false);
        }
        let new = secret::Model::of(&row.id, &self.keys.current.id, sealed);
        secret::Entity::update(new.into_active_model().reset_all()).exec(&tx).await.map_err(store_error)?;
        commit(tx).await?;
        Ok(true)
    }
}

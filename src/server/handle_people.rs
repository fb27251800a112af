//! What an application can do with the people of a running server.

use super::alias::{NotRenamed, rename};
use super::attach::banned;
use super::books;
use super::conn::Close;
use super::handle::{HandleError, Page, ServerHandle, is_reason, note};
use super::login;
use super::moderation::find;
use super::people;
use super::requests;
use super::shared::Clock;
use crate::auth::password;
use crate::id::{Alias, PrincipalId, Timestamp};
use crate::protocol::Code;
use crate::protocol::message::Whom;
use crate::room::BanTarget;
use crate::store::{AccountRecord, AuditRecord, BanRecord, Change};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccountInfo {
    /// Who.
    pub principal: PrincipalId,
    /// The alias.
    pub alias: Alias,
    /// Keeps order on the whole server.
    pub admin: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When a session of it ended last.
    pub seen: Timestamp,
}

/// People. What changes something is kept when it resolves, and is an entry of the audit log.
impl ServerHandle {
    /// Make an account.
    ///
    /// # Errors
    ///
    /// The alias is taken, or was an account's; it is one that nobody [may take](Alias::unreserved); the password is too short or too long; the store failed; the server has
    /// stopped.
    pub async fn create_account(&self, alias: &Alias, password: &str) -> Result<PrincipalId, HandleError> {
        let shared = self.running()?;
        is_free(alias)?;
        if !password::fits(password) {
            return Err(HandleError::Password);
        }
        let hash = shared.login.hash(None, password.to_owned()).await.map_err(|_| HandleError::Full)?;
        let account = AccountRecord::new(alias.clone(), Some(hash), Clock::timestamp());
        if shared.sessions.unless_claimed(alias, || shared.people.put(account.clone())) != Some(true) {
            return Err(HandleError::AliasTaken);
        }
        let principal = account.principal;
        if let Err(e) = note(shared, "account", None, alias.as_str(), "", vec![Change::PutAccount(account)]).await {
            shared.people.forget(principal);
            return Err(e);
        }
        Ok(principal)
    }

    /// Delete an account: it leaves its rooms, its sessions end, its alias stays reserved.
    ///
    /// # Errors
    ///
    /// There is no such account; the store failed; the server has stopped.
    pub async fn delete_account(&self, alias: &Alias) -> Result<(), HandleError> {
        let shared = self.running()?;
        let account = shared.people.named(alias.as_str()).ok_or(HandleError::NoSuchPerson)?;
        let deleted = requests::delete(shared, account.principal).await;
        deleted.map_err(|refusal| HandleError::Store(refusal.text))?;
        note(shared, "delete", None, alias.as_str(), "", Vec::new()).await
    }

    /// Call an account otherwise: as if it had asked for that itself, without its limits and without the application's say.
    /// It logs in by the new alias from then on.
    ///
    /// # Errors
    ///
    /// There is no such account; the alias is somebody's, or looks like it; it is one that nobody
    /// [may take](Alias::unreserved); the store failed; the server has stopped.
    pub async fn rename_account(&self, alias: &Alias, new: &Alias) -> Result<(), HandleError> {
        let shared = self.running()?;
        is_free(new)?;
        let account = shared.people.named(alias.as_str()).ok_or(HandleError::NoSuchPerson)?;
        rename(shared, &people::author(&account), new, None).await.map_err(|e| match e {
            NotRenamed::Taken(_) => HandleError::AliasTaken,
            NotRenamed::Gone => HandleError::NoSuchPerson,
            NotRenamed::Busy => HandleError::Store("it is being renamed already; try again".into()),
            NotRenamed::Store(e) => HandleError::Store(e.to_string()),
        })?;
        note(shared, "rename", None, alias.as_str(), new.as_str(), Vec::new()).await
    }

    /// A page of accounts in the order of their aliases: those behind `after`, at most `limit` (and at most 1000).
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub async fn accounts(&self, after: Option<&Alias>, limit: usize) -> Result<Page<AccountInfo>, HandleError> {
        let (accounts, more) = self.running()?.people.page(after.map(Alias::as_str), limit.clamp(1, 1000));
        let info = |account: AccountRecord| {
            let AccountRecord { principal, alias, admin, created, seen, .. } = account;
            AccountInfo { principal, alias, admin, created, seen }
        };
        Ok(Page { items: accounts.into_iter().map(info).collect(), more })
    }

    /// Make an account an admin of the server, or none any more.
    ///
    /// # Errors
    ///
    /// There is no such account; the store failed; the server has stopped.
    pub async fn set_admin(&self, alias: &Alias, admin: bool) -> Result<(), HandleError> {
        let shared = self.running()?;
        let account = shared.people.named(alias.as_str()).ok_or(HandleError::NoSuchPerson)?;
        let change = shared.people.change(account.principal, |account| account.admin = admin);
        let act = if admin { "grant" } else { "revoke" };
        note(shared, act, None, alias.as_str(), "", change.into_iter().collect()).await
    }

    /// A code that makes one account, where that needs one. Good for a week.
    ///
    /// # Errors
    ///
    /// The store failed; the server has stopped.
    pub async fn invite_code(&self) -> Result<String, HandleError> {
        let shared = self.running()?;
        let (code, changes) = shared.people.make_code(None, Clock::timestamp());
        note(shared, "invite code", None, "", "", changes).await?;
        Ok(code)
    }

    /// A code with which the owner of an account sets a new password, once. Good for a week, or until there is a newer
    /// one, or another password.
    ///
    /// # Errors
    ///
    /// There is no such account; the store failed; the server has stopped.
    pub async fn reset_code(&self, alias: &Alias) -> Result<String, HandleError> {
        let shared = self.running()?;
        let account = shared.people.named(alias.as_str()).ok_or(HandleError::NoSuchPerson)?;
        let (code, changes) = shared.people.make_code(Some(account.principal), Clock::timestamp());
        note(shared, "reset code", None, alias.as_str(), "", changes).await?;
        Ok(code)
    }

    /// Keep somebody off the server: an alias, a mask (`spam*`) or an address prefix (`203.0.113.0/24`), for some time or
    /// until it is taken back. Their sessions end. Admins are not affected. Of a guest the ban holds for whatever guest shows
    /// that alias, as [`BanTarget::Guest`] says. Resolves to the ban.
    ///
    /// # Errors
    ///
    /// Nobody is known by this name; the mask is none, or the reason is none, by the rules for texts: at most 1024 bytes,
    /// one line, without control characters; the store failed; the server has stopped.
    pub async fn ban(
        &self,
        whom: &str,
        reason: &str,
        duration: Option<std::time::Duration>,
    ) -> Result<BanRecord, HandleError> {
        let shared = self.running()?;
        is_reason(shared, reason)?;
        let target = match BanTarget::pattern(whom) {
            Some(pattern) => {
                pattern.check().map_err(|e| HandleError::Text(e.to_string()))?;
                pattern
            }
            None => {
                let who = find(shared, &Whom::Name(whom.to_owned())).ok_or(HandleError::NoSuchPerson)?;
                BanTarget::of(&who, None)
            }
        };
        let now = Clock::timestamp();
        let ms = duration.map(|duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        let until = ms.map(|ms| Timestamp::from_millis(now.as_millis().saturating_add(ms)));
        let made = BanRecord { room: None, target, by: shared.app.alias.clone(), reason: reason.to_owned(), until };
        let changes = shared.people.ban(made.clone());
        note(shared, "ban", None, &made.target.to_string(), &books::until(until, reason), changes).await?;
        for session in shared.sessions.every() {
            let address = session.conn().and_then(|conn| conn.address).map(|address| address.ip());
            if let Some(ban) = shared.people.ban_of(&session.author(), address, now) {
                login::revoke(shared, &session, Close::bye(Code::BANNED, banned(&ban))).await;
            }
        }
        // A session that is about to have its first connection, or another one, doesn't say from where yet.
        for conn in shared.sessions.all() {
            let address = conn.address.map(|address| address.ip());
            let author = conn.identity().map(|identity| identity.session.author());
            if let Some(ban) = author.and_then(|author| shared.people.ban_of(&author, address, now)) {
                conn.request_close(Close::bye(Code::BANNED, banned(&ban)));
            }
        }
        Ok(made)
    }

    /// Take a ban back.
    ///
    /// # Errors
    ///
    /// There is no such ban; the store failed; the server has stopped.
    pub async fn unban(&self, whom: &str) -> Result<(), HandleError> {
        let shared = self.running()?;
        let changes = shared.people.unban(whom, find(shared, &Whom::Name(whom.to_owned())).as_deref());
        if changes.is_empty() {
            return Err(HandleError::NoSuchBan);
        }
        note(shared, "unban", None, whom, "", changes).await
    }

    /// Every ban from the server.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub async fn bans(&self) -> Result<Vec<BanRecord>, HandleError> {
        Ok(self.running()?.people.bans())
    }

    /// What was done to keep order, newest first, with the entries' numbers: at most `limit` before number `before`.
    ///
    /// # Errors
    ///
    /// The store failed; the server has stopped.
    pub async fn audit(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, AuditRecord)>, HandleError> {
        let shared = self.running()?;
        let found = shared.store.audit(before.unwrap_or(u64::MAX >> 1), limit.clamp(1, 1000)).await;
        found.map_err(|e| HandleError::Store(e.to_string()))
    }
}

/// Whether an account may be given this alias.
fn is_free(alias: &Alias) -> Result<(), HandleError> {
    alias.clone().unreserved().map(drop).map_err(|e| HandleError::Text(e.to_string()))
}

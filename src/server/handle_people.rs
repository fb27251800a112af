//! What an application can do with the people of a running server.

use std::sync::Arc;

use super::alias::{NotRenamed, rename};
use super::attach::banned;
use super::conn::Close;
use super::handle::{HandleError, Page, ServerHandle};
use super::login;
use super::moderation::find;
use super::people;
use super::requests;
use super::shared::{Clock, Shared};
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
    /// The alias is taken, or was an account's; the password is too short or too long; the store failed; the server has
    /// stopped.
    pub async fn create_account(&self, alias: &Alias, password: &str) -> Result<PrincipalId, HandleError> {
        let shared = self.running()?;
        if !password::fits(password) {
            return Err(HandleError::Password);
        }
        let hash = shared.login.hash(None, password.to_owned()).await.map_err(|_| HandleError::Full)?;
        let account = AccountRecord::new(alias.clone(), Some(hash), Clock::timestamp());
        if shared.sessions.unless_claimed(alias, || shared.people.put(account.clone())) != Some(true) {
            return Err(HandleError::AliasTaken);
        }
        let principal = account.principal;
        if let Err(e) = keep(shared, "account", alias.as_str(), "", vec![Change::PutAccount(account)]).await {
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
        keep(shared, "delete", alias.as_str(), "", Vec::new()).await
    }

    /// Call an account otherwise: as if it had asked for that itself, without its limits and without the application's say.
    /// It logs in by the new alias from then on.
    ///
    /// # Errors
    ///
    /// There is no such account; the alias is somebody's, or looks like it; the store failed; the server has stopped.
    pub async fn rename_account(&self, alias: &Alias, new: &Alias) -> Result<(), HandleError> {
        let shared = self.running()?;
        let account = shared.people.named(alias.as_str()).ok_or(HandleError::NoSuchPerson)?;
        rename(shared, &people::author(&account), new, None).await.map_err(|e| match e {
            NotRenamed::Taken(_) => HandleError::AliasTaken,
            NotRenamed::Gone => HandleError::NoSuchPerson,
            NotRenamed::Busy => HandleError::Store("it is being renamed already; try again".into()),
            NotRenamed::Store(e) => HandleError::Store(e.to_string()),
        })?;
        keep(shared, "rename", alias.as_str(), new.as_str(), Vec::new()).await
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
        keep(shared, act, alias.as_str(), "", change.into_iter().collect()).await
    }

    /// A code that makes one account, where that needs one. Good for a week.
    ///
    /// # Errors
    ///
    /// The store failed; the server has stopped.
    pub async fn invite_code(&self) -> Result<String, HandleError> {
        let shared = self.running()?;
        let (code, change) = shared.people.make_code(None, Clock::timestamp());
        keep(shared, "invite code", "", "", vec![change]).await?;
        Ok(code)
    }

    /// A code with which the owner of an account sets a new password, once. Good for a week.
    ///
    /// # Errors
    ///
    /// There is no such account; the store failed; the server has stopped.
    pub async fn reset_code(&self, alias: &Alias) -> Result<String, HandleError> {
        let shared = self.running()?;
        let account = shared.people.named(alias.as_str()).ok_or(HandleError::NoSuchPerson)?;
        let (code, change) = shared.people.make_code(Some(account.principal), Clock::timestamp());
        keep(shared, "reset code", alias.as_str(), "", vec![change]).await?;
        Ok(code)
    }

    /// Keep somebody off the server: an alias, a mask (`spam*`) or an address prefix (`203.0.113.0/24`), for some time or
    /// until it is taken back. Their sessions end. Admins are not affected.
    ///
    /// # Errors
    ///
    /// Nobody is known by this name; the store failed; the server has stopped.
    pub async fn ban(
        &self,
        whom: &str,
        reason: &str,
        duration: Option<std::time::Duration>,
    ) -> Result<(), HandleError> {
        let shared = self.running()?;
        let pattern = BanTarget::pattern(whom).map(Ok);
        let somebody = || {
            let author = find(shared, &Whom::Name(whom.to_owned())).ok_or(HandleError::NoSuchPerson)?;
            Ok(BanTarget::Principal(author.principal, author.alias.clone()))
        };
        let target = pattern.unwrap_or_else(somebody)?;
        let now = Clock::timestamp();
        let ms = duration.map(|duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        let until = ms.map(|ms| Timestamp::from_millis(now.as_millis().saturating_add(ms)));
        let reason = crate::text::display_line(reason).into_owned();
        let ban = BanRecord { room: None, target, by: shared.app.alias.clone(), reason: reason.clone(), until };
        let change = shared.people.ban(ban);
        keep(shared, "ban", whom, &reason, vec![change]).await?;
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
        Ok(())
    }

    /// Take a ban back.
    ///
    /// # Errors
    ///
    /// There is no such ban; the store failed; the server has stopped.
    pub async fn unban(&self, whom: &str) -> Result<(), HandleError> {
        let shared = self.running()?;
        let change = shared.people.unban(whom).ok_or(HandleError::NoSuchBan)?;
        keep(shared, "unban", whom, "", vec![change]).await
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

/// Keep what the application has done, with its entry of the audit log.
async fn keep(
    shared: &Arc<Shared>,
    act: &str,
    whom: &str,
    text: &str,
    mut changes: Vec<Change>,
) -> Result<(), HandleError> {
    changes.push(Change::Audit(AuditRecord {
        at: Clock::timestamp(),
        by: shared.app.principal,
        alias: shared.app.alias.clone(),
        act: act.to_owned(),
        room: String::new(),
        whom: whom.to_owned(),
        text: text.to_owned(),
    }));
    shared.keep_surely(changes).await.map_err(|e| HandleError::Store(e.to_string()))
}

//! Who a client says it is, and what its account asks for.

use super::Client;
use super::error::RequestError;
use super::requests::decode;
use crate::id::{Alias, SessionId};
use crate::protocol::message::{
    Auth, ChangeAlias, ChangePassword, Credentials, DeleteAccount, Done, EndSession, ListSessions, Renamed, Secret,
    SessionEntry, SessionsPage,
};
use crate::protocol::to_frame;

/// How a client says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Login {
    /// By an alias, and nothing else.
    #[default]
    Guest,
    /// By an alias, and the server's password.
    GuestPassword(Secret),
    Password(Secret),
    /// As an account that is to be made.
    Register {
        password: Secret,
        code: Option<Secret>,
    },
    /// With a code, for a lost password.
    Reset {
        password: Secret,
        code: Secret,
    },
}

impl Login {
    /// Whether something goes over the connection that nobody else may read.
    pub(super) fn is_secret(&self) -> bool {
        *self != Self::Guest
    }

    /// Whether it is an account's: its alias can't be another one.
    pub(super) fn is_account(&self) -> bool {
        !matches!(self, Self::Guest | Self::GuestPassword(_))
    }

    /// What the server is told.
    pub(super) fn auth(&self, alias: &str) -> Auth {
        let with = |mechanism: &str, secret: &Secret, code: Option<&Secret>| {
            let credentials = Credentials { name: alias.to_owned(), secret: secret.clone(), code: code.cloned() };
            let data = minicbor::to_vec(&credentials).unwrap_or_default();
            Auth { mechanism: mechanism.into(), data: data.into() }
        };
        match self {
            Self::Guest => Auth { mechanism: "guest".into(), data: alias.as_bytes().to_vec().into() },
            Self::GuestPassword(secret) => with("guest-password", secret, None),
            Self::Password(secret) => with("password", secret, None),
            Self::Register { password, code } => with("register", password, code.as_ref()),
            Self::Reset { password, code } => with("reset", password, Some(code)),
        }
    }

    /// It worked: what is said the next time.
    pub(super) fn worked(&mut self) {
        if let Self::Register { password, .. } | Self::Reset { password, .. } = self {
            *self = Self::Password(password.clone());
        }
    }
}

/// A session of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnSession {
    /// Which.
    pub session: SessionId,
    /// It is this client's.
    pub current: bool,
    /// It has a connection.
    pub connected: bool,
    /// Where that comes from.
    pub address: Option<String>,
    /// What the client there calls itself.
    pub agent: String,
}

/// One's own account. A call waits for a connection if there is none; one that changes something is not made again when
/// a connection is lost meanwhile, see [`RequestError::Unknown`].
impl Client {
    /// Give this account another password. Its other sessions end.
    ///
    /// # Errors
    ///
    /// The old one is wrong, the new one is too short or too long, others could read them on the way, or the connection has ended.
    pub async fn change_password(&self, old: &str, new: &str) -> Result<(), RequestError> {
        let (old, new) = (Secret::from(old), Secret::from(new));
        let given = new.clone();
        let make = move |request, _| to_frame(&ChangePassword { request, old: old.clone(), new: new.clone() });
        decode::<Done>(self.secretly(None, true, make).await?)?;
        // What is said when the session is lost.
        self.inner.link.lock().settings.login = Login::Password(given);
        Ok(())
    }

    /// Be called otherwise, on all devices and in all rooms, which are told. An account logs in by the new alias from then
    /// on. Returns the alias as the server took it. A direct keeps its name here until this client connects anew.
    ///
    /// # Errors
    ///
    /// The alias breaks the rules, or is in use, or looks like one that is; one is muted somewhere; the server doesn't
    /// let people change it so often; the application refuses; or the connection has ended.
    pub async fn change_alias(&self, alias: &str) -> Result<Alias, RequestError> {
        let alias = alias.to_owned();
        let make = move |request, _| to_frame(&ChangeAlias { request, alias: alias.clone() });
        let renamed: Renamed = decode(self.once(None, make).await?)?;
        Ok(Alias::parse(&renamed.alias).unwrap_or_else(|_| self.alias()))
    }

    /// Delete this account: it leaves its rooms, its sessions end, its alias stays reserved.
    ///
    /// # Errors
    ///
    /// The password is wrong, others could read it on the way, or the connection has ended otherwise than by this.
    pub async fn delete_account(&self, password: &str) -> Result<(), RequestError> {
        let password = Secret::from(password);
        let make = move |request, _| to_frame(&DeleteAccount { request, password: password.clone() });
        self.secretly(None, true, make).await.map(drop)
    }

    /// The sessions that this principal has: an account may have several.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub async fn sessions(&self) -> Result<Vec<OwnSession>, RequestError> {
        let (mut sessions, mut after) = (Vec::new(), None);
        loop {
            let make = move |request, _| to_frame(&ListSessions { request, after });
            let page: SessionsPage = decode(self.again(None, make).await?)?;
            sessions.extend(page.sessions);
            // A server that names one twice would be asked for ever.
            match page.next {
                Some(next) if after.is_none_or(|after| next > after) => after = Some(next),
                _ => break,
            }
        }
        let own = |entry: SessionEntry| {
            let SessionEntry { session, current, connected, address, agent } = entry;
            OwnSession { session, current, connected, address, agent }
        };
        Ok(sessions.into_iter().map(own).collect())
    }

    /// End a session of this principal's.
    ///
    /// # Errors
    ///
    /// There is no such session, or the connection has ended.
    pub async fn end_session(&self, session: SessionId) -> Result<(), RequestError> {
        let reply = self.once(None, move |request, _| to_frame(&EndSession { request, session })).await?;
        decode::<Done>(reply).map(drop)
    }
}

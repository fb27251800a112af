//! Who may do what in a room: the one table.
//!
//! | | banned | stranger | muted | member | moderator | owner | admin |
//! |---|---|---|---|---|---|---|---|
//! | come in | – | by kind | yes | yes | yes | yes | yes |
//! | talk | – | – | – | unless announcement-only | yes | yes | yes |
//! | be called otherwise | – | – | – | yes | yes | yes | yes |
//! | invite | – | – | – | unless invite-only | yes | yes | yes |
//! | set the topic | – | – | – | – | yes | yes | yes |
//! | kick, mute, ban; see the bans | – | – | – | – | yes | yes | yes |
//! | delete others' messages | – | – | – | – | yes | yes | yes |
//! | change settings | – | – | – | – | – | yes | yes |
//! | give ranks, hand over | – | – | – | – | – | yes | yes |
//!
//! In an archived room nobody talks. *Be called otherwise*: whoever may not in one of the rooms that they are in may not at
//! all, because an alias is something said, too. *By kind*: everybody comes into a public and a hidden room, who knows the password
//! into one with a password, who was invited into any; and nobody once the member limit is reached, but those who keep
//! order. The limit counts accounts that are members, here or not, and guests that are here; who is a member already always
//! comes back. Whoever acts on somebody has to rank above them. Admins keep order everywhere but in directs. They are not
//! members by that: what is said in a room they read once they have joined it, as everybody sees.

use crate::protocol::Code;
use crate::protocol::message::{Rank, RoomKind, RoomSettings};

/// What somebody is in a room, the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// May not come in.
    Banned,
    /// Is not a member.
    Stranger,
    /// Is a member and may not talk.
    Muted,
    /// Is a member.
    Member,
    /// Keeps order.
    Moderator,
    /// Has the room.
    Owner,
    /// Keeps order on the whole server.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] =
        [Self::Banned, Self::Stranger, Self::Muted, Self::Member, Self::Moderator, Self::Owner, Self::Admin];

    /// Whether somebody of this role may act on somebody of the other.
    pub(crate) fn outranks(self, other: Self) -> bool {
        self >= Self::Moderator && self > other
    }
}

impl From<Rank> for Role {
    fn from(rank: Rank) -> Self {
        match rank {
            Rank::Owner => Self::Owner,
            Rank::Moderator => Self::Moderator,
            _ => Self::Member,
        }
    }
}

/// What somebody may want to do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Become a member.
    Join,
    /// Say something.
    Speak,
    /// Change one's alias while one is here.
    ChangeAlias,
    /// Let somebody in.
    Invite,
    /// Say what the room is about.
    SetTopic,
    /// Put somebody out.
    Kick,
    /// Keep somebody from talking, or let them again.
    Mute,
    /// Keep somebody out, or let them in again.
    Ban,
    /// See who is kept out.
    SeeBans,
    /// Remove what somebody else said.
    DeleteOthers,
    /// Change how the room is.
    ChangeSettings,
    /// Give somebody a rank, or the room.
    GiveRank,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 12] = [
        Self::Join,
        Self::Speak,
        Self::ChangeAlias,
        Self::Invite,
        Self::SetTopic,
        Self::Kick,
        Self::Mute,
        Self::Ban,
        Self::SeeBans,
        Self::DeleteOthers,
        Self::ChangeSettings,
        Self::GiveRank,
    ];
}

/// A cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Say {
    Yes,
    No,
    /// As the room's kind says.
    ByKind,
    UnlessAnnouncements,
    UnlessInviteOnly,
}

use Say::{ByKind, No, UnlessAnnouncements, UnlessInviteOnly, Yes};

/// The row of an action; one cell a role, in the order of [`Role::ALL`].
const fn row(action: Action) -> [Say; 7] {
    match action {
        Action::Join => [No, ByKind, Yes, Yes, Yes, Yes, Yes],
        Action::Speak => [No, No, No, UnlessAnnouncements, Yes, Yes, Yes],
        Action::ChangeAlias => [No, No, No, Yes, Yes, Yes, Yes],
        Action::Invite => [No, No, No, UnlessInviteOnly, Yes, Yes, Yes],
        Action::SetTopic | Action::Kick | Action::Mute | Action::Ban | Action::SeeBans | Action::DeleteOthers => {
            [No, No, No, No, Yes, Yes, Yes]
        }
        Action::ChangeSettings | Action::GiveRank => [No, No, No, No, No, Yes, Yes],
    }
}

/// What else there is to say for somebody who wants to come in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) invited: bool,
    pub(crate) password: bool,
    /// The room has as many members as it may.
    pub(crate) full: bool,
}

/// Whether somebody of this role may do this; why not, as a code.
pub(crate) fn may(role: Role, action: Action, settings: &RoomSettings, ticket: Ticket) -> Result<(), Code> {
    let said = row(action)[role as usize];
    if action == Action::Speak && settings.archived && role >= Role::Member {
        return Err(Code::ARCHIVED);
    }
    match said {
        Yes => {}
        No => return Err(refusal(role, action)),
        ByKind if ticket.invited => {}
        ByKind => match settings.kind {
            RoomKind::Public | RoomKind::Hidden => {}
            RoomKind::Password if ticket.password => {}
            RoomKind::Password => return Err(Code::ROOM_PASSWORD),
            // A kind that isn't known here lets nobody in who wasn't invited.
            RoomKind::InviteOnly | RoomKind::Other(_) => return Err(Code::INVITE_ONLY),
        },
        UnlessAnnouncements if settings.announcement_only => return Err(Code::ANNOUNCEMENT_ONLY),
        UnlessInviteOnly if settings.kind == RoomKind::InviteOnly => return Err(Code::NOT_PERMITTED),
        UnlessAnnouncements | UnlessInviteOnly => {}
    }
    if action == Action::Join && ticket.full && role < Role::Moderator { Err(Code::ROOM_FULL) } else { Ok(()) }
}

fn refusal(role: Role, action: Action) -> Code {
    match (role, action) {
        (Role::Banned, _) => Code::ROOM_BANNED,
        (Role::Stranger, _) => Code::NOT_A_MEMBER,
        (Role::Muted, Action::Speak | Action::ChangeAlias) => Code::MUTED,
        _ => Code::NOT_PERMITTED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as it is meant, in a plain room: one letter a role, in the order of [`Role::ALL`].
    const MEANT: [(Action, &str); 12] = [
        (Action::Join, "-yyyyyy"),
        (Action::Speak, "---yyyy"),
        (Action::ChangeAlias, "---yyyy"),
        (Action::Invite, "---yyyy"),
        (Action::SetTopic, "----yyy"),
        (Action::Kick, "----yyy"),
        (Action::Mute, "----yyy"),
        (Action::Ban, "----yyy"),
        (Action::SeeBans, "----yyy"),
        (Action::DeleteOthers, "----yyy"),
        (Action::ChangeSettings, "-----yy"),
        (Action::GiveRank, "-----yy"),
    ];

    fn letters(action: Action, settings: &RoomSettings, ticket: Ticket) -> String {
        Role::ALL.iter().map(|&role| if may(role, action, settings, ticket).is_ok() { 'y' } else { '-' }).collect()
    }

    #[test]
    fn every_role_may_do_exactly_what_the_table_says() {
        assert_eq!(MEANT.map(|(action, _)| action), Action::ALL);
        for (action, meant) in MEANT {
            assert_eq!(letters(action, &RoomSettings::default(), Ticket::default()), meant, "{action:?}");
        }
    }

    #[test]
    fn settings_change_the_cells_they_name_and_no_others() {
        let plain = RoomSettings::default();
        let announcements = RoomSettings { announcement_only: true, ..plain.clone() };
        let archived = RoomSettings { archived: true, ..plain.clone() };
        let kind = |kind| RoomSettings { kind, ..plain.clone() };
        let cases: [(RoomSettings, &[(Action, &str)]); 7] = [
            (announcements, &[(Action::Speak, "----yyy")]),
            (archived, &[(Action::Speak, "-------")]),
            (kind(RoomKind::InviteOnly), &[(Action::Join, "--yyyyy"), (Action::Invite, "----yyy")]),
            (kind(RoomKind::Password), &[(Action::Join, "--yyyyy")]),
            (kind(RoomKind::Other(77)), &[(Action::Join, "--yyyyy")]),
            (kind(RoomKind::Hidden), &[]),
            (RoomSettings { topic: "tea".into(), limit: Some(3), ..plain.clone() }, &[]),
        ];
        for (settings, changed) in cases {
            for (action, meant) in MEANT {
                let meant = changed.iter().find(|(other, _)| *other == action).map_or(meant, |(_, meant)| meant);
                assert_eq!(letters(action, &settings, Ticket::default()), meant, "{action:?} in {settings:?}");
            }
        }
    }

    #[test]
    fn an_invitation_opens_every_kind_of_room_and_a_password_its_own_and_neither_a_ban_nor_a_full_one() {
        for kind in [RoomKind::Public, RoomKind::InviteOnly, RoomKind::Password, RoomKind::Hidden] {
            let settings = RoomSettings::new(kind);
            let invited = Ticket { invited: true, ..Ticket::default() };
            let full = Ticket { full: true, ..invited };
            assert_eq!(letters(Action::Join, &settings, invited), "-yyyyyy");
            assert_eq!(letters(Action::Join, &settings, full), "----yyy");
        }
        let password = Ticket { password: true, ..Ticket::default() };
        assert_eq!(letters(Action::Join, &RoomSettings::new(RoomKind::Password), password), "-yyyyyy");
        assert_eq!(letters(Action::Join, &RoomSettings::new(RoomKind::InviteOnly), password), "--yyyyy");
    }

    #[test]
    fn nobody_acts_on_somebody_of_their_own_rank_or_above() {
        for (i, actor) in Role::ALL.into_iter().enumerate() {
            for (j, target) in Role::ALL.into_iter().enumerate() {
                assert_eq!(actor.outranks(target), i > j && i >= 4, "{actor:?} on {target:?}");
            }
        }
    }
}

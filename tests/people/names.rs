//! Which names somebody may take anew.

use async_std::task::block_on;
use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::{Alias, HandleError};

use crate::steps::*;
use crate::support::*;

/// What commands take for something else, or what would pass for the server.
const NOBODY_S: [&str; 10] =
    ["*", "sp?m", "\"q x", "@bob", "#x", "/quit", "1.2.3.4", "10.0.0.0/8", "2001:db8::1", "server"];

#[test]
fn nobody_takes_an_alias_that_commands_take_for_something_else() {
    let server = open();
    let mut ada = Wire::guest(server.addr, "ada");
    drop(register(server.addr, "bob"));
    let bob = Alias::parse("bob").unwrap();
    for name in NOBODY_S {
        let mut wire = Wire::connect(server.addr);
        wire.hello();
        wire.send(&guest(name));
        assert_eq!(wire.skip_to::<ErrorReply>().code, Code::ALIAS_INVALID, "{name}");
        let registered = attempt(server.addr, &auth("register", name, PASSWORD, None));
        assert_eq!(registered.err().map(|e| e.code), Some(Code::ALIAS_INVALID), "{name}");
        ada.send(&ChangeAlias { request: 3, alias: name.into() });
        assert_eq!(ada.skip_to::<ErrorReply>().code, Code::ALIAS_INVALID, "{name}");
        // Nor does the one who runs the server give it to somebody.
        let alias = Alias::parse(name).unwrap();
        let made = block_on(server.handle.create_account(&alias, PASSWORD));
        assert!(matches!(made, Err(HandleError::Text(_))), "{name}: {made:?}");
        let renamed = block_on(server.handle.rename_account(&bob, &alias));
        assert!(matches!(renamed, Err(HandleError::Text(_))), "{name}: {renamed:?}");
    }
}

#[test]
fn a_new_room_is_not_called_like_a_direct_or_with_a_quote() {
    let server = TestServer::start();
    let mut ada = Wire::guest(server.addr, "ada");
    for name in ["@bob", "a\"b"] {
        assert_eq!(join(&mut ada, name), Err(Code::ROOM_NAME_INVALID), "{name}");
        let name = chatnet::RoomName::parse(name).unwrap();
        assert!(matches!(block_on(server.handle.publish(&name, "hello")), Err(HandleError::Text(_))), "{name}");
    }
    assert!(join(&mut ada, "#rust").is_ok());
}

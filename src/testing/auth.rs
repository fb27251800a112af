//! What every [`Authenticator`] has to keep to.

use crate::auth::{Attempt, Authenticator, Decision};

/// Hold an authenticator to its contract: `good` is what somebody shows who is to be let in at the first step, over and
/// over (mechanism and data), `wrong` the same with a wrong secret, `unknown` with a name that nobody has.
///
/// ```
/// # use chatnet::auth::{Attempt, Authenticator, Decision, Identity};
/// # #[derive(Debug)] struct Mine;
/// # impl Authenticator for Mine {
/// #     fn mechanisms(&self) -> Vec<String> { vec!["key".into()] }
/// #     async fn authenticate(&self, attempt: Attempt<'_>) -> Decision {
/// #         if attempt.mechanism != "key" || attempt.data != b"ada:sesame" { return Decision::Deny }
/// #         let principal = chatnet::PrincipalId::from_bytes([1; 16]);
/// #         Decision::Allow(Identity { principal, alias: chatnet::Alias::parse("ada").unwrap(), admin: false })
/// #     }
/// # }
/// # async_std::task::block_on(
/// chatnet::testing::authenticator_contract(&Mine, ("key", b"ada:sesame"), ("key", b"ada:please"), ("key", b"eve:please"))
/// # );
/// ```
///
/// # Panics
///
/// It breaks the contract; the message says how.
pub async fn authenticator_contract(
    authenticator: &impl Authenticator,
    good: (&str, &[u8]),
    wrong: (&str, &[u8]),
    unknown: (&str, &[u8]),
) {
    let mechanisms = authenticator.mechanisms();
    assert!(!mechanisms.is_empty(), "it offers no mechanism");
    assert_eq!(mechanisms, authenticator.mechanisms(), "its mechanisms change");
    for (i, name) in mechanisms.iter().enumerate() {
        assert!(!name.is_empty() && !mechanisms[..i].contains(name), "the mechanism {name:?} is empty, or there twice");
        assert!(name != "guest" && name != "session", "{name} is the server's own");
    }
    for (mechanism, _) in [good, wrong, unknown] {
        assert!(mechanisms.iter().any(|name| name == mechanism), "{mechanism} is none of its mechanisms");
    }
    let try_ = |(mechanism, data)| authenticator.authenticate(Attempt::new(mechanism, data));
    let first = try_(good).await;
    let Decision::Allow(identity) = &first else { panic!("who should be let in is told {first:?}") };
    let Decision::Allow(again) = try_(good).await else { panic!("who was let in is not the second time") };
    assert_eq!(identity.principal, again.principal, "the same person is another one the second time");
    assert!(identity.alias.clone().unreserved().is_ok(), "the alias {} is the server's own", identity.alias);
    assert_eq!(try_(wrong).await, Decision::Deny, "a wrong secret");
    assert_eq!(try_(unknown).await, Decision::Deny, "an unknown name: the answer has to be that for a wrong secret");
    let (a, b) = futures::join!(try_(good), try_(wrong));
    assert!(matches!(a, Decision::Allow(_)) && b == Decision::Deny, "two attempts at once mix");
    // Strangers send anything.
    for mechanism in mechanisms.iter().map(String::as_str).chain(["", "no such mechanism"]) {
        for data in [&b""[..], &[0xff; 4096], b"\0", &good.1[..good.1.len().saturating_sub(1)]] {
            let said = try_((mechanism, data)).await;
            assert!(!matches!(said, Decision::Allow(_)), "{mechanism:?} lets noise in");
        }
    }
}

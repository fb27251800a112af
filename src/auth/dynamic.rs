//! [`Authenticator`] as a trait object.

use std::fmt;

use futures::future::BoxFuture;

use super::{Attempt, Authenticator, Decision};

/// The object-safe twin of [`Authenticator`]; every one is one.
pub(crate) trait DynAuthenticator: fmt::Debug + Send + Sync {
    fn mechanisms(&self) -> Vec<String>;
    fn authenticate<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Decision>;
}

impl<A: Authenticator> DynAuthenticator for A {
    fn mechanisms(&self) -> Vec<String> {
        Authenticator::mechanisms(self)
    }

    fn authenticate<'a>(&'a self, attempt: Attempt<'a>) -> BoxFuture<'a, Decision> {
        Box::pin(Authenticator::authenticate(self, attempt))
    }
}

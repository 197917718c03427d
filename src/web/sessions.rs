//! The sessions of viewers that have shown the token. Each has a cookie that scripts cannot read, and a form token
//! that only a page of this origin can read.

use crate::limits::{SESSION_S, SESSIONS_MAX};
use constant_time_eq::constant_time_eq;
use data_encoding::HEXLOWER;
use rustix::rand::{GetRandomFlags, getrandom};
use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The random bytes of an ID.
const ID_BYTES: usize = 16;

/// The beginning of the cookie's name.
const COOKIE_PREFIX: &str = "firstline-web-";

/// A viewer that has shown the token.
#[derive(Clone, Debug)]
pub struct Session {
    /// The value of the cookie.
    pub id: String,
    /// The token that each form of the session must have.
    pub form_token: String,
    ends: Instant,
}

/// The sessions.
#[derive(Debug)]
pub struct Sessions {
    /// The name of the cookie.
    cookie: String,
    /// The oldest first.
    sessions: Mutex<VecDeque<Session>>,
}

impl Sessions {
    /// No sessions, with a new name for the cookie. A browser sends a cookie to all ports of a host, and keeps one of
    /// each name (RFC 6265bis, section 8.5). So programs that viewers reach by one host name must have different
    /// names. The name is random, because the program does not know the ports that viewers use: a container or a proxy
    /// may stand between. The sessions end with the program, so no later one needs the name.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> io::Result<Self> {
        Ok(Self { cookie: format!("{COOKIE_PREFIX}{}", random_id()?), sessions: Mutex::default() })
    }

    /// The name of the cookie.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Begins a session. If there are [`SESSIONS_MAX`], the oldest ends.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn begin(&self, now: Instant) -> io::Result<Session> {
        let ends = now + Duration::from_secs(SESSION_S);
        let session = Session { id: random_id()?, form_token: random_id()?, ends };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| session.ends > now);
        if sessions.len() == SESSIONS_MAX {
            sessions.pop_front();
        }
        sessions.push_back(session.clone());
        Ok(session)
    }

    /// The session that one of the cookies in a `Cookie` field names.
    pub fn find(&self, cookies: &str, now: Instant) -> Option<Session> {
        let ids = cookies
            .split(';')
            .filter_map(|cookie| cookie.trim().strip_prefix(&*self.cookie)?.strip_prefix('='));
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of = |session: &Session, id: &str| constant_time_eq(session.id.as_bytes(), id.as_bytes());
        ids.take(SESSIONS_MAX)
            .find_map(|id| sessions.iter().find(|session| session.ends > now && is_of(session, id)))
            .cloned()
    }

    /// Ends a session.
    pub fn end(&self, session: &Session) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other.id != session.id);
    }
}

fn random_id() -> io::Result<String> {
    let mut bytes = [0; ID_BYTES];
    // The kernel never cuts a request of up to 256 bytes short (getrandom(2)).
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(HEXLOWER.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_is_found_by_its_cookie_until_it_ends() {
        let (sessions, now) = (Sessions::new().unwrap(), Instant::now());
        let name = sessions.cookie();
        let session = sessions.begin(now).unwrap();
        let cookies = format!("a=b; {name}=nonsense; {name}={}", session.id);
        assert_eq!(sessions.find(&cookies, now).unwrap().form_token, session.form_token);
        assert!(sessions.find("", now).is_none() && sessions.find(&format!("{name}="), now).is_none());
        assert!(sessions.find(&cookies, now + Duration::from_secs(SESSION_S)).is_none());
        let other = sessions.begin(now).unwrap();
        assert!(
            other.id != session.id && other.form_token != session.form_token && other.id != other.form_token
        );
        sessions.end(&session);
        assert!(sessions.find(&cookies, now).is_none());
    }

    #[test]
    fn cookies_of_two_programs_behind_one_host_name_live_side_by_side() {
        let (one, other, now) = (Sessions::new().unwrap(), Sessions::new().unwrap(), Instant::now());
        assert_ne!(one.cookie(), other.cookie());
        let [of_one, of_other] = [&one, &other].map(|sessions| sessions.begin(now).unwrap());
        let cookies = format!("{}={}; {}={}", one.cookie(), of_one.id, other.cookie(), of_other.id);
        assert_eq!(one.find(&cookies, now).unwrap().id, of_one.id);
        assert_eq!(other.find(&cookies, now).unwrap().id, of_other.id);
    }

    #[test]
    fn number_of_sessions_is_bounded() {
        let (sessions, now) = (Sessions::new().unwrap(), Instant::now());
        let first = sessions.begin(now).unwrap();
        (0..SESSIONS_MAX).for_each(|_| drop(sessions.begin(now).unwrap()));
        assert_eq!(sessions.sessions.lock().unwrap().len(), SESSIONS_MAX);
        assert!(sessions.find(&format!("{}={}", sessions.cookie(), first.id), now).is_none());
    }
}

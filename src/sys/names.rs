//! Host and service names to addresses, through the system's resolver. Blocks: call it off the loop thread.

use super::failure;
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    /// Any.
    Unspecified,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Paths of this machine.
    Unix,
}

/// A question to the resolver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    /// A host name or address; `None` is every local address.
    pub(crate) host: Option<String>,
    /// A port or a service name.
    pub(crate) service: String,
    /// The family of the addresses.
    pub(crate) family: Family,
}

/// The addresses, at least one, or the reason as LuaSocket words it.
pub(crate) type Answer = Result<Vec<SocketAddr>, Cow<'static, str>>;

impl Family {
    /// Does the address belong to it?
    pub(crate) fn has(self, address: &SocketAddr) -> bool {
        match self {
            Family::Unspecified => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
            Family::Unix => false,
        }
    }

    /// The family of an address.
    pub(crate) fn of(address: &socket2::SockAddr) -> Family {
        match libc::c_int::from(address.family()) {
            libc::AF_INET => Family::V4,
            libc::AF_INET6 => Family::V6,
            libc::AF_UNIX => Family::Unix,
            _ => Family::Unspecified,
        }
    }

    /// The system's number for it.
    pub(super) fn number(self) -> libc::c_int {
        match self {
            Family::Unspecified => libc::AF_UNSPEC,
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
            Family::Unix => libc::AF_UNIX,
        }
    }
}

impl Question {
    /// The answer when no resolver is needed: host and port are numbers, or the host is every local address.
    pub(crate) fn numeric(&self) -> Option<Answer> {
        let port: u16 = self.service.parse().ok()?;
        let host: IpAddr = match (&self.host, self.family) {
            (Some(host), _) => host.parse().ok()?,
            (None, Family::V6) => Ipv6Addr::UNSPECIFIED.into(),
            (None, _) => Ipv4Addr::UNSPECIFIED.into(),
        };
        let address = SocketAddr::new(host, port);
        Some(if self.family.has(&address) {
            Ok(vec![address])
        } else {
            Err("Address family for hostname not supported".into())
        })
    }

    /// Asks the system's resolver.
    pub(crate) fn resolve(&self) -> Answer {
        if let Some(answer) = self.numeric() {
            return answer;
        }
        let addresses: Vec<SocketAddr> = look_up(
            self.host.as_deref(),
            Some(&self.service),
            self.family.number(),
        )?
        .iter()
        .filter_map(socket2::SockAddr::as_socket)
        .collect();
        if addresses.is_empty() {
            Err(UNKNOWN.into())
        } else {
            Ok(addresses)
        }
    }
}

/// What is said of a name that nobody knows.
const UNKNOWN: &str = "host or service not provided, or not known";

/// Asks the system's resolver for the addresses of streams; no host is every local address.
pub(super) fn look_up(
    host: Option<&str>,
    service: Option<&str>,
    family: libc::c_int,
) -> Result<Vec<socket2::SockAddr>, Cow<'static, str>> {
    let text = |text: Option<&str>| {
        let text = text.map(CString::new).transpose();
        text.map_err(|_| Cow::Borrowed(UNKNOWN))
    };
    let (name, service) = (text(host)?, text(service)?);
    // SAFETY: all-zero hints are what the call expects of unused fields.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = family;
    hints.ai_socktype = libc::SOCK_STREAM;
    hints.ai_flags = if host.is_none() { libc::AI_PASSIVE } else { 0 };
    let mut list = ptr::null_mut();
    let name = name.as_deref().map_or(ptr::null(), CStr::as_ptr);
    let service = service.as_deref().map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: the names are C strings or null, `hints` is set and `list` is a place for the answer.
    let status = unsafe { libc::getaddrinfo(name, service, &raw const hints, &raw mut list) };
    if status != 0 {
        return Err(word(status));
    }
    let addresses = read_list(list);
    // SAFETY: the list came from `getaddrinfo` and is read no more.
    unsafe { libc::freeaddrinfo(list) };
    Ok(addresses)
}

/// The addresses of a resolver's list.
fn read_list(mut entry: *const libc::addrinfo) -> Vec<socket2::SockAddr> {
    let mut addresses = Vec::new();
    // SAFETY: the list is the resolver's, not yet freed; its entries are valid and end with null.
    while let Some(info) = unsafe { entry.as_ref() } {
        // SAFETY: `init` writes an address of the length that it sets, as the resolver gives both.
        let address = unsafe {
            socket2::SockAddr::try_init(|storage, len| {
                ptr::copy_nonoverlapping(
                    info.ai_addr.cast::<u8>(),
                    storage.cast::<u8>(),
                    info.ai_addrlen as usize,
                );
                *len = info.ai_addrlen;
                Ok(())
            })
        };
        addresses.extend(address.ok().map(|((), address)| address));
        entry = info.ai_next;
    }
    addresses
}

/// The word for a resolver's error, as `socket_gaistrerror` of LuaSocket 3.1 chooses it.
pub(super) fn word(status: libc::c_int) -> Cow<'static, str> {
    Cow::Borrowed(match status {
        libc::EAI_AGAIN => "temporary failure in name resolution",
        libc::EAI_BADFLAGS => "invalid value for ai_flags",
        libc::EAI_FAIL => "non-recoverable failure in name resolution",
        libc::EAI_FAMILY => "ai_family not supported",
        libc::EAI_MEMORY => "memory allocation failure",
        libc::EAI_NONAME => "host or service not provided, or not known",
        libc::EAI_SERVICE => "service not supported for socket type",
        libc::EAI_SOCKTYPE => "ai_socktype not supported",
        libc::EAI_SYSTEM => return failure::word(&io::Error::last_os_error()),
        // SAFETY: the call answers a constant string for every number.
        _ => return unsafe { CStr::from_ptr(libc::gai_strerror(status)) }.to_string_lossy(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question for `host` and `service`.
    fn question(host: Option<&str>, service: &str, family: Family) -> Question {
        Question {
            host: host.map(String::from),
            service: service.into(),
            family,
        }
    }

    #[test]
    fn numbers_need_no_resolver() {
        let answer = question(Some("127.0.0.1"), "80", Family::Unspecified).numeric();
        assert_eq!(answer, Some(Ok(vec!["127.0.0.1:80".parse().unwrap()])));
        assert!(
            question(Some("localhost"), "80", Family::V4)
                .numeric()
                .is_none()
        );
        assert!(
            question(Some("::1"), "80", Family::V4)
                .numeric()
                .unwrap()
                .is_err()
        );
    }

    #[test]
    fn no_host_is_every_local_address() {
        assert_eq!(
            question(None, "7", Family::V4).resolve(),
            Ok(vec!["0.0.0.0:7".parse().unwrap()])
        );
    }

    #[test]
    fn a_service_that_nobody_knows_has_luasockets_word() {
        let answer = question(Some("127.0.0.1"), "no-such-service", Family::V4).resolve();
        assert_eq!(answer, Err("service not supported for socket type".into()));
    }
}

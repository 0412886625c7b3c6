//! Host and service names to addresses, through the system's resolver. Blocks: call it off the loop thread.

use super::failure;
use super::socket::Kind;
use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
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
    /// For what: some services are of streams or of messages alone.
    pub(crate) kind: Kind,
}

/// What is asked of the system's resolver beside host and service.
struct Hints {
    /// The system's number for the family.
    family: libc::c_int,
    /// Streams, or messages.
    kind: Kind,
    /// Flags.
    flags: libc::c_int,
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
        let mut zone = 0;
        let mut host: IpAddr = match (&self.host, self.family) {
            (Some(host), _) => match host.split_once('%') {
                None => host.parse().ok()?,
                Some((host, name)) => {
                    zone = zone_number(name)?;
                    host.parse::<Ipv6Addr>().ok()?.into()
                }
            },
            (None, Family::V6) => Ipv6Addr::UNSPECIFIED.into(),
            (None, _) => Ipv4Addr::UNSPECIFIED.into(),
        };
        if self.family == Family::V4 {
            host = host.to_canonical();
        }
        let address = match host {
            IpAddr::V6(host) => SocketAddrV6::new(host, port, 0, zone).into(),
            IpAddr::V4(_) => SocketAddr::new(host, port),
        };
        Some(if self.family.has(&address) {
            Ok(vec![address])
        } else {
            Err("Address family for hostname not supported".into())
        })
    }

    /// The answer where host and port are numbers in any form that the system knows: `127.1`, or `*`, which is this host
    /// here. Asks nobody else, and does not block; its reasons are the system's.
    pub(crate) fn written(&self) -> Answer {
        if let Some(answer) = self.numeric() {
            return answer;
        }
        self.ask(libc::AI_NUMERICHOST | libc::AI_NUMERICSERV)
            .map_err(system_word)
    }

    /// Asks the system's resolver.
    pub(crate) fn resolve(&self) -> Answer {
        if let Some(answer) = self.numeric() {
            return answer;
        }
        let flags = if self.host.is_none() {
            libc::AI_PASSIVE
        } else {
            0
        };
        let addresses = self.ask(flags).map_err(word)?;
        if addresses.is_empty() {
            Err(UNKNOWN.into())
        } else {
            Ok(addresses)
        }
    }

    /// Asks the system's resolver; a failure is its number.
    fn ask(&self, flags: libc::c_int) -> Result<Vec<SocketAddr>, libc::c_int> {
        let hints = Hints {
            family: self.family.number(),
            kind: self.kind,
            flags,
        };
        let all = ask(self.host.as_deref(), Some(&self.service), &hints)?;
        Ok(all
            .iter()
            .filter_map(socket2::SockAddr::as_socket)
            .collect())
    }
}

/// The number of the network device that stands behind the `%` of an address.
fn zone_number(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let name = CString::new(name).ok()?;
    // SAFETY: the name is a C string.
    let number = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (number > 0).then_some(number)
}

/// An address's host as text, with the network device where it belongs to one.
pub(crate) fn host_text(address: &SocketAddr) -> String {
    let SocketAddr::V6(address) = address else {
        return address.ip().to_string();
    };
    let (host, zone) = (address.ip(), address.scope_id());
    if zone == 0 {
        return host.to_string();
    }
    let mut room = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: there is room for the longest name.
    let name = unsafe { libc::if_indextoname(zone, room.as_mut_ptr().cast()) };
    match CStr::from_bytes_until_nul(&room) {
        Ok(name_of_zone) if !name.is_null() => {
            format!("{host}%{}", name_of_zone.to_string_lossy())
        }
        _ => format!("{host}%{zone}"),
    }
}

/// An IPv4 address in any form that the system knows, `127.1` for one.
pub(crate) fn v4_of(text: &str) -> Option<Ipv4Addr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let hints = Hints {
        family: libc::AF_INET,
        kind: Kind::Datagram,
        flags: libc::AI_NUMERICHOST,
    };
    let all = ask(Some(text), None, &hints).ok()?;
    all.first()?.as_socket_ipv4().map(|address| *address.ip())
}

/// What is said of a name that nobody knows.
const UNKNOWN: &str = "host or service not provided, or not known";

/// Asks the system's resolver for the addresses of streams.
pub(super) fn look_up(
    host: &str,
    service: Option<&str>,
) -> Result<Vec<socket2::SockAddr>, Cow<'static, str>> {
    let hints = Hints {
        family: libc::AF_UNSPEC,
        kind: Kind::Stream,
        flags: 0,
    };
    ask(Some(host), service, &hints).map_err(word)
}

/// Asks the system's resolver; a failure is its number. No host is this one, or every local address where the flags say so.
fn ask(
    host: Option<&str>,
    service: Option<&str>,
    wanted: &Hints,
) -> Result<Vec<socket2::SockAddr>, libc::c_int> {
    let text = |text: Option<&str>| {
        let text = text.map(CString::new).transpose();
        text.map_err(|_| libc::EAI_NONAME)
    };
    let (name, service) = (text(host)?, text(service)?);
    // SAFETY: all-zero hints are what the call expects of unused fields.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = wanted.family;
    hints.ai_socktype = match wanted.kind {
        Kind::Stream => libc::SOCK_STREAM,
        Kind::Datagram => libc::SOCK_DGRAM,
    };
    hints.ai_flags = wanted.flags;
    let mut list = ptr::null_mut();
    let name = name.as_deref().map_or(ptr::null(), CStr::as_ptr);
    let service = service.as_deref().map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: the names are C strings or null, `hints` is set and `list` is a place for the answer.
    let status = unsafe { libc::getaddrinfo(name, service, &raw const hints, &raw mut list) };
    if status != 0 {
        return Err(status);
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
        libc::EAI_NONAME => UNKNOWN,
        libc::EAI_SERVICE => "service not supported for socket type",
        libc::EAI_SOCKTYPE => "ai_socktype not supported",
        libc::EAI_SYSTEM => return failure::word(&io::Error::last_os_error()),
        _ => return system_word(status),
    })
}

/// The system's words for a resolver's error.
fn system_word(status: libc::c_int) -> Cow<'static, str> {
    // SAFETY: the call answers a constant string for every number.
    unsafe { CStr::from_ptr(libc::gai_strerror(status)) }.to_string_lossy()
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
            kind: Kind::Stream,
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
    fn an_address_keeps_its_network_device() {
        let answer = question(Some("fe80::1%1"), "7", Family::Unspecified).numeric();
        let address = SocketAddr::from(SocketAddrV6::new("fe80::1".parse().unwrap(), 7, 0, 1));
        assert_eq!(answer, Some(Ok(vec![address])));
        let text = host_text(&address);
        assert_eq!(question(Some(&text), "7", Family::V6).numeric(), answer);
        let nowhere = SocketAddrV6::new("fe80::1".parse().unwrap(), 7, 0, u32::MAX);
        assert_eq!(host_text(&nowhere.into()), format!("fe80::1%{}", u32::MAX));
        assert_eq!(
            question(Some("fe80::1%no-such"), "7", Family::V6).numeric(),
            None
        );
        assert_eq!(
            question(Some("127.0.0.1%1"), "7", Family::V4).numeric(),
            None
        );
    }

    #[test]
    fn an_ipv4_address_within_ipv6_is_one_where_only_ipv4_will_do() {
        let ask = |family| question(Some("::ffff:127.0.0.1"), "7", family).numeric();
        assert_eq!(
            ask(Family::V4),
            Some(Ok(vec!["127.0.0.1:7".parse().unwrap()]))
        );
        let within = "[::ffff:127.0.0.1]:7".parse().unwrap();
        assert_eq!(ask(Family::Unspecified), Some(Ok(vec![within])));
    }

    #[test]
    fn other_forms_of_numbers_are_the_systems() {
        let home = Some(Ok(vec!["127.0.0.1:7".parse().unwrap()]));
        for host in ["127.1", "0x7f.1", "2130706433"] {
            assert_eq!(Some(question(Some(host), "7", Family::V4).written()), home);
            assert_eq!(v4_of(host), Some(Ipv4Addr::LOCALHOST));
        }
        for host in ["localhost", "", "1.2.3.4.5"] {
            assert!(question(Some(host), "7", Family::V4).written().is_err());
            assert_eq!(v4_of(host), None);
        }
        assert!(
            question(Some("127.0.0.1"), "domain", Family::V4)
                .written()
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
